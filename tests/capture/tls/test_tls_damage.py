"""Sessions of which the capture lacks something, or has it wrong."""

import random
import ssl
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.tls.tls_events import DecryptedData, TlsEvent, TlsNotice, TlsParty, TlsProblem, TlsRecordsLost
from listenctl.capture.tls.tls_session import TlsSession
from tests.helpers.tls_wire import Flight, client_context, heard, read, server_context, talk

MESSAGES = [random.Random(number).randbytes(300 + number) for number in range(200)]


@dataclass(frozen=True, slots=True)
class Wire:
    """A session in which the client sends ``MESSAGES``, a record each; ``first`` is the first flight of them."""

    flights: list[Flight]
    first: int
    keylog: KeyLog


def wire(version: ssl.TLSVersion, ciphers: str, certificate: Path, folder: Path) -> Wire:
    session = talk(client_context(version, ciphers), server_context(certificate), folder)
    session.shake()
    first = len(session.flights)
    for data in MESSAGES:
        session.say(TlsParty.CLIENT, data)
    return Wire(session.flights, first, session.keylog)


@pytest.fixture(scope="module")
def tls13(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Wire:
    return wire(ssl.TLSVersion.TLSv1_3, "", certificate, tmp_path_factory.mktemp("wire"))


@pytest.fixture(
    scope="module",
    params=["", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA"],
    ids=["1.3", "gcm", "chacha20", "cbc"],
)
def every(request: pytest.FixtureRequest, certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Wire:
    version = ssl.TLSVersion.TLSv1_2 if request.param else ssl.TLSVersion.TLSv1_3
    return wire(version, request.param, certificate, tmp_path_factory.mktemp("wire"))


def read_lossy(wire: Wire, start: int, size: int, *, known: bool = True) -> list[TlsEvent]:
    """Return what is said when ``size`` bytes of what follows the handshake are missing, from ``start`` on."""
    decryptor = TlsSession(wire.keylog)
    for party, data in wire.flights[: wire.first]:
        (decryptor.client if party is TlsParty.CLIENT else decryptor.server)(data, 0.0)
    sent = b"".join(data for _, data in wire.flights[wire.first :])
    events = decryptor.client(sent[:start], 1.0)
    events += decryptor.hole(TlsParty.CLIENT, size if known else None, 2.0)
    for at in range(start + size, len(sent), 1448):
        events += decryptor.client(sent[at : at + 1448], 3.0)
    return events + decryptor.finish(4.0)


def places(wire: Wire) -> list[int]:
    """Return where each message's record starts, counted from the first one."""
    return list(accumulate((len(data) for _, data in wire.flights[wire.first :]), initial=0))


def contents(events: list[TlsEvent]) -> list[bytes]:
    return [event.data for event in events if isinstance(event, DecryptedData)]


@pytest.mark.parametrize("lost", [1, 2, 60, 150])
def test_whole_records_that_are_missing_are_counted(lost: int, every: Wire) -> None:
    at = places(every)

    events = read_lossy(every, at[10], at[10 + lost] - at[10])

    assert contents(events) == MESSAGES[:10] + MESSAGES[10 + lost :]
    (told,) = [event for event in events if isinstance(event, TlsRecordsLost)]
    assert told.records == lost
    # The padding of CBC hides how much was in a record.
    assert told.size in (None, sum(map(len, MESSAGES[10 : 10 + lost])))


def test_how_much_was_in_the_missing_records_is_known_with_an_aead(tls13: Wire) -> None:
    at = places(tls13)

    events = read_lossy(tls13, at[20] + 7, 1000)

    assert [event for event in events if isinstance(event, TlsRecordsLost)] == [
        TlsRecordsLost(3.0, TlsParty.CLIENT, 3, sum(map(len, MESSAGES[20:23])))
    ]


def test_records_are_found_behind_a_hole_of_unknown_size(every: Wire) -> None:
    at = places(every)

    events = read_lossy(every, at[20], at[120] - at[20], known=False)

    assert contents(events) == MESSAGES[:20] + MESSAGES[120:]
    assert [(event.records, event.size) for event in events if isinstance(event, TlsRecordsLost)] == [(100, None)]


def test_minutes_of_a_call_may_be_missing(certificate: Path, tmp_path: Path) -> None:
    session = talk(client_context(), server_context(certificate), tmp_path)
    session.shake()
    decryptor = TlsSession(session.keylog)
    for number in range(10_000):
        session.say(TlsParty.CLIENT, b"%05d" % number)
    for party, data in session.flights[:20]:
        (decryptor.client if party is TlsParty.CLIENT else decryptor.server)(data, 0.0)

    missing = sum(len(data) for party, data in session.flights[20:-1])
    decryptor.hole(TlsParty.CLIENT, missing, 1.0)
    events = decryptor.client(session.flights[-1][1], 2.0)

    assert {party for party, _ in session.flights[20:]} == {TlsParty.CLIENT}
    lost = len(session.flights) - 21
    assert events == [
        TlsRecordsLost(2.0, TlsParty.CLIENT, lost, 5 * lost),
        DecryptedData(2.0, TlsParty.CLIENT, b"09999"),
    ]


@given(st.data())
def test_only_the_records_are_lost_that_something_is_missing_of(every: Wire, data: st.DataObject) -> None:
    at = places(every)
    start = data.draw(st.integers(0, at[-1] - 1))
    size = data.draw(st.integers(1, min(at[-1] - start, 20_000)))

    events = read_lossy(every, start, size)

    whole = [
        message
        for message, begin, end in zip(MESSAGES, at, at[1:], strict=False)
        if end <= start or begin >= start + size
    ]
    assert contents(events) == whole


@given(st.data())
def test_a_damaged_byte_costs_its_record_at_most_with_the_next(every: Wire, data: st.DataObject) -> None:
    flights = list(every.flights)
    number = data.draw(st.integers(every.first, len(flights) - 1))
    party, record = flights[number]
    place = data.draw(st.integers(0, len(record) - 1))
    wrong = data.draw(st.integers(1, 255))
    flights[number] = party, record[:place] + bytes([record[place] ^ wrong]) + record[place + 1 :]

    events = read(flights, every.keylog)

    damaged = number - every.first
    kept = set(contents(events))
    missing = [index for index, message in enumerate(MESSAGES) if message not in kept]
    assert kept <= set(MESSAGES)
    assert missing in ([damaged], [damaged, damaged + 1])
    if missing[-1] < len(MESSAGES) - 1:
        assert [event.records for event in events if isinstance(event, TlsRecordsLost)] == [len(missing)]


def test_a_damaged_record_is_told_when_the_next_one_is_read(tls13: Wire) -> None:
    flights = list(tls13.flights)
    party, record = flights[tls13.first + 5]
    flights[tls13.first + 5] = party, record[:-1] + bytes([record[-1] ^ 1])

    events = read(flights, tls13.keylog)

    told = TlsRecordsLost(float(tls13.first + 6), TlsParty.CLIENT, 1, len(MESSAGES[5]))
    assert [event for event in events if not isinstance(event, DecryptedData)][1:] == [told]


def test_damage_at_the_end_is_told_when_nothing_follows(tls13: Wire) -> None:
    flights = list(tls13.flights)
    party, record = flights[-1]
    flights[-1] = party, record[:-1] + bytes([record[-1] ^ 1])

    events = read(flights, tls13.keylog)

    assert events[-1] == TlsRecordsLost(float(len(flights)), TlsParty.CLIENT, 1, None)


def test_a_capture_that_ends_in_the_middle_of_a_record_lacks_that_one_only(tls13: Wire) -> None:
    flights = [*tls13.flights[:-1], (TlsParty.CLIENT, tls13.flights[-1][1][:-1])]

    assert contents(read(flights, tls13.keylog)) == MESSAGES[:-1]


def lossy_handshake(wire: Wire, flight: int, start: int) -> list[TlsEvent]:
    """Return what is said when the capture lacks the rest of one flight of the handshake."""
    decryptor = TlsSession(wire.keylog)
    events: list[TlsEvent] = []
    for at, (party, data) in enumerate(wire.flights):
        feed = decryptor.client if party is TlsParty.CLIENT else decryptor.server
        if at == flight:
            events += feed(data[:start], float(at))
            events += decryptor.hole(party, len(data) - start, float(at))
        else:
            events += feed(data, float(at))
    return events + decryptor.finish(99.0)


def test_the_end_of_the_handshake_may_be_missing(every: Wire) -> None:
    # What the client sends last: ChangeCipherSpec and Finished.
    for start in range(0, len(every.flights[2][1]), 5):
        assert contents(lossy_handshake(every, 2, start)) == MESSAGES


def test_certificates_may_be_missing(every: Wire) -> None:
    # The ServerHello is the first of the server's flight.
    assert contents(lossy_handshake(every, 1, 300)) == MESSAGES


@pytest.mark.parametrize(("flight", "missing"), [(0, "ClientHello"), (1, "ServerHello")])
def test_without_the_hellos_nothing_can_be_read(flight: int, missing: str, every: Wire) -> None:
    events = lossy_handshake(every, flight, 20)

    (notice,) = events
    assert isinstance(notice, TlsNotice)
    assert notice.problem is TlsProblem.START_MISSING
    assert f"lacks its {missing}" in notice.text


def test_what_never_verifies_is_given_up(tls13: Wire) -> None:
    decryptor = TlsSession(tls13.keylog)
    for party, data in tls13.flights:
        (decryptor.client if party is TlsParty.CLIENT else decryptor.server)(data, 0.0)
    events: list[TlsEvent] = []

    for number in range(1000):
        events += decryptor.client(b"\x17\x03\x03\0\x40" + random.Random(number).randbytes(64), 1.0)

    assert [event.problem for event in events if isinstance(event, TlsNotice)] == [TlsProblem.UNREADABLE]
    assert decryptor.finish(2.0) == []


FLIGHTS = st.lists(st.tuples(st.sampled_from(TlsParty), st.binary(min_size=1, max_size=400)), max_size=10)
RECORD_LIKE = st.builds(
    lambda kind, body: bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body,
    st.sampled_from([20, 21, 22, 23]),
    st.binary(min_size=1, max_size=200),
)


@given(FLIGHTS)
def test_nothing_that_a_capture_holds_raises(flights: list[Flight]) -> None:
    assert heard(read(flights, KeyLog())) == []


@given(st.data())
def test_no_mutation_of_a_session_raises(every: Wire, data: st.DataObject) -> None:
    flights = every.flights[: every.first + 10]
    for _ in range(data.draw(st.integers(1, 5))):
        number = data.draw(st.integers(0, len(flights) - 1))
        party, flight = flights[number]
        start = data.draw(st.integers(0, len(flight)))
        end = data.draw(st.integers(start, len(flight)))
        put = data.draw(st.one_of(st.binary(max_size=20), RECORD_LIKE))
        flights[number : number + 1] = data.draw(
            st.sampled_from(
                [
                    [(party, flight[:start] + put + flight[end:] or b"\0")],
                    [],
                    [(party, flight), (party, flight)],
                    [(TlsParty.SERVER, flight)],
                ]
            )
        )
        if not flights:
            return

    events = read(flights, every.keylog)

    assert set(contents(events)) <= set(MESSAGES[:10])
