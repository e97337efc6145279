import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import cast

from listenctl.load.frame_scheduler import FRAME_SECONDS, FrameScheduler


class FakeTimers:
    """An event loop's clock and timers, with time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 50.0
        self._timers: list[FakeTimer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> "FakeTimer":
        timer = FakeTimer(when, callback)
        self._timers.append(timer)
        return timer

    def advance_to(self, moment: float, *, late_by: float = 0.0) -> None:
        """Run what is due until ``moment``, each timer late by so much."""
        while due := [timer for timer in self._timers if not timer.done and timer.when + late_by <= moment]:
            first = min(due, key=lambda timer: timer.when)
            self.now = max(self.now, first.when + late_by)
            first.done = True
            first.callback()
        self.now = moment


class FakeTimer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.done = False

    def cancel(self) -> None:
        self.done = True


class Sender:
    """Sends ``count`` frames, and notes when each was due and when it was sent."""

    def __init__(self, timers: FakeTimers, count: int) -> None:
        self.sent: list[tuple[float, float]] = []
        self._timers = timers
        self._count = count

    def send_due(self, due: float) -> float | None:
        self.sent.append((due, self._timers.now))
        start = self.sent[0][0]
        return start + len(self.sent) * FRAME_SECONDS if len(self.sent) < self._count else None


def scheduler(timers: FakeTimers) -> FrameScheduler:
    return FrameScheduler(cast(asyncio.AbstractEventLoop, timers))


def test_frames_leave_at_deadlines_that_count_from_the_start() -> None:
    timers = FakeTimers()
    sender = Sender(timers, count=5)

    start = scheduler(timers).add(sender)
    timers.advance_to(60.0)

    assert [round(due - start, 6) for due, _ in sender.sent] == [0, 0.02, 0.04, 0.06, 0.08]
    assert all(due == sent for due, sent in sender.sent)


def test_a_late_wakeup_makes_no_later_frame_late() -> None:
    timers = FakeTimers()
    sender = Sender(timers, count=6)
    start = scheduler(timers).add(sender)

    timers.advance_to(start + 0.005)
    timers.now = start + 0.05
    timers.advance_to(start + 0.2)

    assert [round(sent - start, 6) for _, sent in sender.sent] == [0, 0.05, 0.05, 0.06, 0.08, 0.1]


def test_calls_are_spread_over_a_frame() -> None:
    timers = FakeTimers()
    frames = scheduler(timers)

    phases = sorted(frames.add(Sender(timers, count=1)) for _ in range(100))

    gaps = [later - earlier for earlier, later in pairwise(phases)]
    assert phases[-1] - phases[0] < FRAME_SECONDS
    assert max(gaps) < 3 * FRAME_SECONDS / 100


def test_a_call_without_more_to_send_is_forgotten_and_others_go_on() -> None:
    timers = FakeTimers()
    frames = scheduler(timers)
    short, long = Sender(timers, count=1), Sender(timers, count=4)

    frames.add(short)
    frames.add(long)
    timers.advance_to(60.0)

    assert (len(short.sent), len(long.sent)) == (1, 4)


def test_a_call_can_be_added_when_all_others_are_over() -> None:
    timers = FakeTimers()
    frames = scheduler(timers)
    frames.add(Sender(timers, count=1))
    timers.advance_to(60.0)
    late = Sender(timers, count=2)

    frames.add(late)
    timers.advance_to(61.0)

    assert len(late.sent) == 2
