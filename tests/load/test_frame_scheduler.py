"""Frames of many calls leave on time."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.load.frame_scheduler import FRAME_SECONDS, FrameScheduler
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time


class Sender:
    """Sends ``count`` frames, and notes when each was due and when it was sent; ``order`` is shared with others."""

    def __init__(self, count: int, order: list[float] | None = None) -> None:
        self.start = 0.0
        self.sent: list[tuple[float, float]] = []
        self._count = count
        self._order = [] if order is None else order

    def send_frame(self, due: float) -> bool:
        self.sent.append((due, simulated_loop().time()))
        self._order.append(due)
        return len(self.sent) < self._count


async def test_frames_leave_at_deadlines_that_count_from_the_start() -> None:
    sender = Sender(count=5)

    FrameScheduler(simulated_loop()).add_call(sender)
    await asyncio.sleep(10)

    assert [round(due - sender.start, 6) for due, _ in sender.sent] == [0, 0.02, 0.04, 0.06, 0.08]
    assert [sent for _, sent in sender.sent] == pytest.approx([due for due, _ in sender.sent])


async def test_a_late_wakeup_makes_no_later_frame_late() -> None:
    sender = Sender(count=6)
    FrameScheduler(simulated_loop()).add_call(sender)

    await asyncio.sleep(0.005)
    simulated_loop().advance(0.045)
    await asyncio.sleep(0.2)

    assert [round(sent - sender.start, 6) for _, sent in sender.sent] == [0, 0.05, 0.05, 0.06, 0.08, 0.1]


@pytest.mark.parametrize("calls", [2, 5, 20, 100])
async def test_calls_are_spread_over_a_frame(calls: int) -> None:
    frames = FrameScheduler(simulated_loop())

    senders = [Sender(count=1) for _ in range(calls)]
    for sender in senders:
        frames.add_call(sender)
    phases = sorted(sender.start for sender in senders)

    gaps = [later - earlier for earlier, later in pairwise([*phases, phases[0] + FRAME_SECONDS])]
    assert phases[-1] - phases[0] < FRAME_SECONDS
    assert max(gaps) < max(0.003, 2 * FRAME_SECONDS / calls)


async def test_a_call_added_while_others_are_late_sends_nothing_before_its_start() -> None:
    frames = FrameScheduler(simulated_loop())
    late = Sender(count=100)
    frames.add_call(late)
    await asyncio.sleep(0.1)
    simulated_loop().advance(1)

    new = Sender(count=3)
    frames.add_call(new)
    await asyncio.sleep(10)

    assert len(late.sent) == 100
    assert [due for due, _ in new.sent] == pytest.approx([new.start, new.start + 0.02, new.start + 0.04])
    assert [sent for _, sent in new.sent] == pytest.approx([due for due, _ in new.sent])


async def test_calls_come_and_go() -> None:
    frames = FrameScheduler(simulated_loop())
    short, long, late = Sender(count=1), Sender(count=4), Sender(count=2)

    frames.add_call(short)
    frames.add_call(long)
    await asyncio.sleep(10)
    frames.add_call(late)
    await asyncio.sleep(1)

    assert [len(sender.sent) for sender in (short, long, late)] == [1, 4, 2]


async def test_a_wheel_without_calls_does_not_turn() -> None:
    frames = FrameScheduler(simulated_loop())
    first, second = Sender(count=1), Sender(count=2)

    frames.add_call(first)
    await asyncio.sleep(3600)
    now = simulated_loop().time()
    frames.add_call(second)
    await asyncio.sleep(1)

    assert [sent for _, sent in second.sent] == pytest.approx([second.start, second.start + FRAME_SECONDS])
    assert -1e-6 < second.start - now < FRAME_SECONDS


@given(st.lists(st.tuples(st.sampled_from(["call", "sleep", "stall"]), st.integers(1, 60)), max_size=20))
async def test_frames_of_all_calls_are_sent_in_order_whatever_delays_them(steps: list[tuple[str, int]]) -> None:
    frames = FrameScheduler(simulated_loop())
    sent: list[float] = []
    calls: list[tuple[int, Sender]] = []
    for kind, amount in steps:
        match kind:
            case "call":
                calls.append((amount, Sender(count=amount, order=sent)))
                frames.add_call(calls[-1][1])
            case "sleep":
                await asyncio.sleep(amount / 1000)
            case _:
                simulated_loop().advance(amount / 1000)
    await asyncio.sleep(10)

    for count, sender in calls:
        assert [due for due, _ in sender.sent] == pytest.approx(
            [sender.start + at * FRAME_SECONDS for at in range(count)]
        )
        assert all(moment >= due - 1e-6 for due, moment in sender.sent)
    assert sent == sorted(sent)
