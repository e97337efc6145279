"""The timing wheel, on an event loop whose time is made up."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from listenctl.server.read_schedule import SPOKES, TICK, TimingWheel


class FakeLoop(asyncio.SelectorEventLoop):
    """Runs only what ``advance`` lets come due."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:  # type: ignore[override]
        self.calls.append((when, callback))
        return asyncio.TimerHandle(when, callback, (), self)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds + 1e-9
        while self.calls and min(when for when, _ in self.calls) <= end:
            call = min(self.calls, key=lambda item: item[0])
            self.calls.remove(call)
            self.now = max(self.now, call[0])
            call[1]()
        self.now = end


class Visit:
    """Notes the ticks in which it is visited; it answers with ``delays`` in ticks, the last one for ever."""

    def __init__(self, *delays: float | None) -> None:
        self.delays = list(delays)
        self.ticks: list[float] = []

    def visit(self, now: float) -> float | None:
        self.ticks.append(round(now / TICK, 3))
        delay = self.delays.pop(0) if len(self.delays) > 1 else self.delays[0]
        return None if delay is None else delay * TICK


@pytest.fixture
def loop() -> Iterator[FakeLoop]:
    loop = FakeLoop()
    yield loop
    loop.close()


@pytest.fixture
def ticks() -> list[float]:
    return []


@pytest.fixture
def wheel(loop: FakeLoop, ticks: list[float]) -> TimingWheel:
    return TimingWheel(loop, lambda now: ticks.append(round(now / TICK, 3)))


def test_what_asks_for_an_interval_is_visited_at_it(loop: FakeLoop, wheel: TimingWheel) -> None:
    visit = Visit(5)

    wheel.add(visit, TICK)
    loop.advance(26.5 * TICK)

    assert visit.ticks == [1, 6, 11, 16, 21, 26]


def test_what_is_over_is_visited_no_more_and_an_empty_wheel_stands_still(loop: FakeLoop, wheel: TimingWheel) -> None:
    visit = Visit(1, None)

    wheel.add(visit, TICK)
    loop.advance(100 * TICK)

    assert visit.ticks == [1, 2]
    assert loop.calls == []


def test_a_wheel_that_stood_still_turns_again(loop: FakeLoop, wheel: TimingWheel) -> None:
    wheel.add(Visit(None), TICK)
    loop.advance(100 * TICK)
    visit = Visit(5)

    wheel.add(visit, TICK)
    loop.advance(1.5 * TICK)

    assert visit.ticks == [101]


def test_a_longer_interval_than_a_turn_is_a_turn(loop: FakeLoop, wheel: TimingWheel) -> None:
    visit = Visit(10_000)

    wheel.add(visit, TICK)
    loop.advance(SPOKES * TICK + TICK / 2)

    assert visit.ticks == [1, SPOKES]


def test_things_are_spread_over_the_wheel(loop: FakeLoop, wheel: TimingWheel) -> None:
    visits = [Visit(10) for _ in range(12)]

    for visit in visits:
        wheel.add(visit, 10 * TICK)
    loop.advance(10.5 * TICK)

    # Six spokes are near enough: the fifth to the tenth.
    firsts = [visit.ticks[0] for visit in visits]
    assert sorted(firsts) == sorted([5, 6, 7, 8, 9, 10] * 2)


def test_each_batch_is_followed_by_what_is_done_once_for_all(
    loop: FakeLoop, wheel: TimingWheel, ticks: list[float]
) -> None:
    wheel.add(Visit(1), TICK)
    wheel.add(Visit(1), TICK)
    loop.advance(3.5 * TICK)

    assert ticks == [1, 2, 3]


def test_a_loop_that_was_late_does_not_shift_the_wheel(loop: FakeLoop, wheel: TimingWheel) -> None:
    visit = Visit(5)
    wheel.add(visit, TICK)
    loop.advance(1.5 * TICK)

    loop.now = 7.5 * TICK
    loop.advance(9 * TICK)

    assert visit.ticks == [1, 7.5, 11, 16]
