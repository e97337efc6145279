"""Frames of many calls leave on time."""

import asyncio
from itertools import pairwise

import pytest

from listenctl.load.frame_scheduler import FRAME_SECONDS, FrameScheduler
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time


class Sender:
    """Sends ``count`` frames, and notes when each was due and when it was sent."""

    def __init__(self, count: int) -> None:
        self.sent: list[tuple[float, float]] = []
        self._count = count

    def send_frame(self, due: float) -> float | None:
        self.sent.append((due, simulated_loop().time()))
        start = self.sent[0][0]
        return start + len(self.sent) * FRAME_SECONDS if len(self.sent) < self._count else None


async def test_frames_leave_at_deadlines_that_count_from_the_start() -> None:
    sender = Sender(count=5)

    start = FrameScheduler(simulated_loop()).add_call(sender.send_frame)
    await asyncio.sleep(10)

    assert [round(due - start, 6) for due, _ in sender.sent] == [0, 0.02, 0.04, 0.06, 0.08]
    assert [sent for _, sent in sender.sent] == pytest.approx([due for due, _ in sender.sent])


async def test_a_late_wakeup_makes_no_later_frame_late() -> None:
    sender = Sender(count=6)
    start = FrameScheduler(simulated_loop()).add_call(sender.send_frame)

    await asyncio.sleep(0.005)
    simulated_loop().advance(0.045)
    await asyncio.sleep(0.2)

    assert [round(sent - start, 6) for _, sent in sender.sent] == [0, 0.05, 0.05, 0.06, 0.08, 0.1]


async def test_calls_are_spread_over_a_frame() -> None:
    frames = FrameScheduler(simulated_loop())

    phases = sorted(frames.add_call(Sender(count=1).send_frame) for _ in range(100))

    gaps = [later - earlier for earlier, later in pairwise(phases)]
    assert phases[-1] - phases[0] < FRAME_SECONDS
    assert max(gaps) < 3 * FRAME_SECONDS / 100


async def test_calls_come_and_go() -> None:
    frames = FrameScheduler(simulated_loop())
    short, long, late = Sender(count=1), Sender(count=4), Sender(count=2)

    frames.add_call(short.send_frame)
    frames.add_call(long.send_frame)
    await asyncio.sleep(10)
    frames.add_call(late.send_frame)
    await asyncio.sleep(1)

    assert [len(sender.sent) for sender in (short, long, late)] == [1, 4, 2]
