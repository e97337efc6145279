import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.call_sharing.shared_stream import PlayoutClock

SECOND = 16_000
"""Bytes at 8000 Hz."""


def test_audio_is_played_from_when_it_comes() -> None:
    clock = PlayoutClock()

    clock.add_bytes(2 * SECOND, 8000, 10.0)

    assert [clock.seconds_left(8000, at) for at in (10.0, 10.5, 12.0, 99.0)] == [2.0, 1.5, 0.0, 0.0]


def test_time_in_which_nothing_played_is_not_made_up_for() -> None:
    clock = PlayoutClock()
    clock.add_bytes(SECOND, 8000, 0.0)

    clock.add_bytes(SECOND, 8000, 60.0)

    assert clock.seconds_left(8000, 60.25) == 0.75


def test_audio_that_comes_while_other_plays_comes_on_top() -> None:
    clock = PlayoutClock()

    for at in (0.0, 0.2, 0.4):
        clock.add_bytes(SECOND, 8000, at)

    assert clock.seconds_left(8000, 0.5) == pytest.approx(2.5)


def test_a_kill_leaves_nothing() -> None:
    clock = PlayoutClock()
    clock.add_bytes(9 * SECOND, 8000, 0.0)

    clock.drop_audio(1.0)

    assert clock.seconds_left(8000, 1.0) == 0.0


def test_without_a_rate_it_knows_only_that_nothing_was_sent() -> None:
    clock = PlayoutClock()
    assert clock.seconds_left(None, 0.0) == 0.0

    clock.add_bytes(SECOND, None, 1.0)

    assert clock.seconds_left(None, 1.5) is None
    # What was played until the rate became known is known then.
    assert clock.seconds_left(8000, 1.5) == 0.5


@given(st.lists(st.tuples(st.integers(0, 50_000), st.floats(0, 5)), max_size=30))
def test_never_more_than_was_sent_nor_less_than_what_time_can_have_played(sent: list[tuple[int, float]]) -> None:
    clock, now, total = PlayoutClock(), 0.0, 0.0

    for size, pause in sent:
        clock.add_bytes(size, 8000, now)
        total += size / SECOND
        now += pause
        left = clock.seconds_left(8000, now)
        assert left is not None
        assert max(0.0, total - now) - 1e-6 <= left <= total + 1e-6
