import pytest

from listenctl.protocol.gaps.lateness import Stall


def begin(late: float = 0.5) -> Stall:
    return Stall(
        position=8000, uncertainty=160, window_from=0.0, latest=late, lowest=late, low=late, sudden=True, dry=False
    )


def test_lateness_that_stays_is_over_after_two_windows() -> None:
    stall = begin()

    stall.add_lateness(0.52, 8160)
    assert not stall.is_settled(0.9)
    assert not stall.is_settled(1.0)
    stall.add_lateness(0.51, 16_000)
    assert stall.is_settled(2.0)
    assert stall.low == 0.51


def test_lateness_that_grows_or_shrinks_is_not_over() -> None:
    stall = begin()

    for second, late in enumerate((1.5, 2.5, 2.0, 1.5, 1.0), start=1):
        stall.add_lateness(late, 8000)
        assert not stall.is_settled(second)


def test_late_audio_that_comes_is_noticed_with_its_end() -> None:
    stall = begin(3.0)

    stall.add_lateness(3.4, 8000)
    stall.add_lateness(1.0, 27_200)

    assert stall.caught_up
    assert stall.caught_up_until == 27_200


def test_a_stall_begins_where_nothing_more_came_the_first_time() -> None:
    stall = begin()

    stall.begin_at(8160)
    stall.begin_at(12_000)

    assert (stall.position, stall.uncertainty) == (8160, 0)


def test_the_last_interval_of_a_call_is_not_missing() -> None:
    assert begin().least_missing(0.35, 0.4) == 0
    assert begin().least_missing(5.35, 0.4) == pytest.approx(4.95)
