import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pytest

from listenctl.protocol.audio import AudioFormat
from listenctl.server.read_schedule import CATCH_UP, SPOKES, TICK, ReadSchedule, TimingWheel
from tests.helpers.simulated_time import START, simulated_loop

if TYPE_CHECKING:
    from listenctl.net.nonblocking_socket import NonblockingSocket

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
    return TimingWheel(simulated_loop(), lambda _, began: None if batches is None else batches.append(ticks(began)))


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


class BrokenVisit(Visit):
    def __call__(self, now: float) -> float | None:
        super().__call__(now)
        raise OSError("broken")


async def test_a_visit_that_fails_is_the_last_of_its_own_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    wheel = new_wheel()
    broken, others = BrokenVisit(1), [Visit(1), Visit(CATCH_UP)]
    for visit in [broken, *others]:
        wheel.add_visit(visit, TICK)

    await asyncio.sleep(3.5 * TICK)

    assert broken.ticks == [1]
    assert [visit.ticks[-1] for visit in others] == [3, 3]
    assert "broken" in caplog.text


async def test_a_failure_after_a_tick_does_not_stop_the_wheel() -> None:
    def fail(due: float, began: float) -> None:
        raise OSError(f"broken at {began}, due at {due}")

    failures: list[object] = []
    simulated_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
    wheel, visit = TimingWheel(simulated_loop(), fail), Visit(1)
    wheel.add_visit(visit, TICK)

    await asyncio.sleep(3.5 * TICK)

    assert visit.ticks == [1, 2, 3]
    assert len(failures) == 3


async def test_a_late_event_loop_does_not_shift_the_wheel() -> None:
    visit = Visit(5)
    new_wheel().add_visit(visit, TICK)
    await asyncio.sleep(1.5 * TICK)

    simulated_loop().advance(6 * TICK)
    await asyncio.sleep(9 * TICK)

    assert visit.ticks == [1, 7.5, 11, 16]


class SlowVisit(Visit):
    """Takes some time, as far as the clock of the loop says."""

    def __init__(self, seconds: float, delay: float, *, rounds: int) -> None:
        super().__init__(*[delay / TICK] * rounds, None)
        self._seconds = seconds

    def __call__(self, now: float) -> float | None:
        simulated_loop().advance(self._seconds)
        return super().__call__(now)


async def test_visits_that_catch_up_share_half_a_tick_after_the_others_and_take_turns() -> None:
    wheel = new_wheel()
    slow = [SlowVisit(TICK / 4, CATCH_UP, rounds=4) for _ in range(6)]
    usual = Visit(1)

    for visit in [*slow, usual]:
        wheel.add_visit(visit, TICK)
    await asyncio.sleep(40 * TICK)

    # All are visited once before they are known to be slow; from then on two fit into each tick.
    assert [len(visit.ticks) for visit in slow] == [5] * 6
    for number in range(1, 5):
        assert max(visit.ticks[number] for visit in slow) - min(visit.ticks[number] for visit in slow) < 4
    late = [after - before for before, after in zip(usual.ticks[2:], usual.ticks[3:], strict=False)]
    assert max(late) <= 1.5


class NoSocket:
    """A socket of which nobody reads."""

    def __init__(self) -> None:
        self.is_watched = False

    def call_when_readable(self, callback: Callable[[], object] | None) -> None:
        self.is_watched = callback is not None


@pytest.mark.parametrize("at_once", [True, False])
def test_a_connection_that_is_behind_is_read_in_ticks_until_it_has_caught_up(at_once: bool) -> None:
    socket = NoSocket()
    schedule = ReadSchedule(cast("NonblockingSocket", socket), lambda: None)
    schedule.set_format(AudioFormat(8000, 1), 0.7)
    if at_once:
        schedule.read_at_once()
    before = (schedule.interval, socket.is_watched)

    schedule.visit(10.0)
    schedule.fall_behind(10.0)
    schedule.read_at_once() if at_once else schedule.read_in_batches()
    assert (schedule.interval, socket.is_watched) == (CATCH_UP, False)
    assert schedule.visit(13.0) == 0.0
    schedule.fall_behind(13.0)

    assert schedule.catch_up(14.0) == 4.0
    assert (schedule.interval, socket.is_watched) == before
    assert schedule.catch_up(15.0) == 0.0


@pytest.mark.parametrize("at_once", [True, False])
def test_a_visit_that_is_overdue_says_for_how_long(at_once: bool) -> None:
    schedule = ReadSchedule(cast("NonblockingSocket", NoSocket()), lambda: None)
    schedule.set_format(AudioFormat(8000, 1), 0.7)
    if at_once:
        schedule.read_at_once()

    assert schedule.visit(10.0) == 0.0
    assert schedule.visit(10.0 + schedule.interval + 0.4) == 0.0
    assert schedule.visit(15.0) == pytest.approx(15.0 - 10.4 - 2 * schedule.interval)


def test_a_read_between_visits_counts_as_one_unless_it_is_overdue() -> None:
    schedule = ReadSchedule(cast("NonblockingSocket", NoSocket()), lambda: None)
    schedule.visit(10.0)

    assert schedule.note_read(10.4)
    assert not schedule.note_read(10.4 + schedule.interval + 1.0)
    assert schedule.visit(10.4 + schedule.interval + 1.0) == pytest.approx(1.0)
