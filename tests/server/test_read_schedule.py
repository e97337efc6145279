import asyncio

import pytest

from listenctl.server.read_schedule import SPOKES, TICK, TimingWheel
from tests.helpers.simulated_time import START, simulated_loop

pytestmark = pytest.mark.simulated_time


class Visit:
    """Records the ticks in which it is visited; answers with ``delays`` in ticks, with the last one for ever."""

    def __init__(self, *delays: float | None) -> None:
        self.delays = list(delays)
        self.ticks: list[float] = []

    def __call__(self, now: float) -> float | None:
        self.ticks.append(ticks(now))
        delay = self.delays.pop(0) if len(self.delays) > 1 else self.delays[0]
        return None if delay is None else delay * TICK


def ticks(now: float) -> float:
    return round((now - START) / TICK, 3)


def new_wheel(batches: list[float] | None = None) -> TimingWheel:
    return TimingWheel(simulated_loop(), lambda now: None if batches is None else batches.append(ticks(now)))


@pytest.mark.parametrize(
    ("delays", "visited"),
    [
        ([5], [1, 6, 11, 16, 21, 26]),
        ([1, None], [1, 2]),
        # An interval that is longer than a turn of the wheel is a turn.
        ([10_000], [1, SPOKES]),
    ],
)
async def test_each_visit_says_when_the_next_one_is(delays: list[float | None], visited: list[float]) -> None:
    visit = Visit(*delays)

    new_wheel().add_visit(visit, TICK)
    await asyncio.sleep(26.5 * TICK)

    assert visit.ticks == visited


async def test_an_empty_wheel_stands_still_and_turns_again_for_the_next_visit() -> None:
    batches: list[float] = []
    wheel = new_wheel(batches)
    wheel.add_visit(Visit(None), TICK)
    await asyncio.sleep(100 * TICK)
    visit = Visit(5)

    wheel.add_visit(visit, TICK)
    await asyncio.sleep(1.5 * TICK)

    assert visit.ticks == [101]
    assert batches == [1, 101]


async def test_visits_are_spread_over_the_wheel() -> None:
    wheel, visits = new_wheel(), [Visit(10) for _ in range(12)]

    for visit in visits:
        wheel.add_visit(visit, 10 * TICK)
    await asyncio.sleep(10.5 * TICK)

    # Six spokes are near enough: the fifth to the tenth.
    assert sorted(visit.ticks[0] for visit in visits) == sorted([5, 6, 7, 8, 9, 10] * 2)


async def test_each_batch_of_visits_is_followed_by_one_call() -> None:
    batches: list[float] = []
    wheel = new_wheel(batches)

    for _ in range(2):
        wheel.add_visit(Visit(1), TICK)
    await asyncio.sleep(3.5 * TICK)

    assert batches == [1, 2, 3]


async def test_a_late_event_loop_does_not_shift_the_wheel() -> None:
    visit = Visit(5)
    new_wheel().add_visit(visit, TICK)
    await asyncio.sleep(1.5 * TICK)

    simulated_loop().advance(6 * TICK)
    await asyncio.sleep(9 * TICK)

    assert visit.ticks == [1, 7.5, 11, 16]
