"""Handshakes a second from one address."""

from listenctl.server.limits.handshake_rates import MAX_ADDRESSES, HandshakeRates


def test_a_burst_of_a_second_is_taken_and_then_as_many_as_the_rate_allows() -> None:
    rates = HandshakeRates()

    at_once = [rates.take_handshake("a", 100.0, 4.0) for _ in range(6)]
    later = [rates.take_handshake("a", 100.25, 4.0) for _ in range(2)]
    after_a_pause = [rates.take_handshake("a", 200.0, 4.0) for _ in range(6)]

    assert at_once == [True, True, True, True, False, False]
    assert later == [True, False]
    assert after_a_pause == at_once


def test_a_rate_of_less_than_one_a_second_takes_single_handshakes() -> None:
    rates = HandshakeRates()

    assert [rates.take_handshake("a", now, 0.5) for now in (0.0, 1.0, 2.0, 3.0)] == [True, False, True, False]


def test_one_address_does_not_use_up_what_another_may() -> None:
    rates = HandshakeRates()
    flood = [rates.take_handshake("a", 0.0, 2.0) for _ in range(1000)]

    assert flood.count(True) == 2
    assert rates.take_handshake("b", 0.0, 2.0)


def test_addresses_are_remembered_up_to_a_number() -> None:
    rates = HandshakeRates()
    for number in range(MAX_ADDRESSES + 5):
        rates.take_handshake(str(number), 0.0, 1.0)

    # The last ones are known, the first ones are new again.
    assert [rates.take_handshake(str(number), 0.0, 1.0) for number in (MAX_ADDRESSES + 4, 0)] == [False, True]
