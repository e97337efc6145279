import pytest

from listenctl.protocol.gaps.lateness import Stall


def begin(late: float = 0.5) -> Stall:
    return Stall(position=8000, uncertainty=160, latest=late, sudden=True, located=False)


def test_lateness_that_stays_is_over_after_two_windows() -> None:
    stall = begin()

    stall.add_lateness(0.52, 8160, 0.0)
    assert not stall.is_settled(0.9)
    assert not stall.is_settled(1.0)
    stall.add_lateness(0.51, 16_000, 1.5)
    assert stall.is_settled(2.0)
    assert stall.level == 0.51


def test_lateness_that_grows_or_shrinks_is_not_over() -> None:
    stall = begin()

    for second, late in enumerate((1.5, 2.5, 2.0, 1.5, 1.0)):
        stall.add_lateness(late, 8000, second)
        assert not stall.is_settled(second)


@pytest.mark.parametrize(("left", "caught_up"), [(1.0, True), (2.8, False)])
def test_much_late_audio_at_once_is_noticed_with_its_end(left: float, caught_up: bool) -> None:
    stall = begin(3.0)

    stall.add_lateness(3.2, 8000, 0.0)
    stall.add_lateness(left, 27_200, 0.1)

    assert stall.caught_up is caught_up
    assert stall.caught_up_until == 27_200


def test_audio_flows_once_it_arrives_at_its_own_pace() -> None:
    stall = begin()

    for at, late in [(0.0, 0.5), (0.02, 0.4), (0.1, 0.39)]:
        stall.add_lateness(late, 8000, at)
        assert not stall.flows
    stall.add_lateness(0.41, 8000, 0.125)
    assert stall.flows


def test_a_stall_that_begins_again_forgets_what_arrived() -> None:
    stall = begin()
    stall.add_lateness(0.5, 8160, 0.0)

    stall.begin_again(8160, 0, 3.0)
    stall.add_lateness(2.9, 8320, 3.0)

    assert (stall.position, stall.uncertainty, stall.latest, stall.level) == (8160, 0, 3.0, 2.9)


def test_the_last_interval_of_a_call_is_not_missing() -> None:
    stall = begin(0.35)
    stall.add_lateness(0.35, 8160, 5.0)

    assert stall.is_end(5.0, 0.4)
    assert not stall.is_end(6.0, 0.4)
