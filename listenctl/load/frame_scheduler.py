"""
One timer for the frames of all calls: each leaves by a deadline that counts from the start of its call.

A task with a sleep for each call costs three times as much as a heap of deadlines, and wakes 25,000 times a second for
500 calls; one timer wakes about once a millisecond and sends all that is due.
"""

import asyncio
from heapq import heappop, heappush, heapreplace
from typing import Protocol

FRAME_SECONDS = 0.02
# Neighbours in this sequence are far apart, and any number of them is spread evenly.
_GOLDEN = 0.6180339887498949


class Paced(Protocol):
    """What the scheduler sends."""

    def send_due(self, due: float) -> float | None:
        """Send what was due at ``due``; return when the next is, later than that, None when there is no more."""


class FrameScheduler:
    """Send the frames of many calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoch = loop.time()
        self._heap: list[tuple[float, int, Paced]] = []
        self._added = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, paced: Paced) -> float:
        """Send from now on; return when the first is due, within a frame, so that calls are spread over it."""
        phase = self._added * _GOLDEN % 1 * FRAME_SECONDS
        now = self._loop.time()
        due = now + (phase - (now - self._epoch)) % FRAME_SECONDS
        heappush(self._heap, (due, self._added, paced))
        self._added += 1
        self._schedule()
        return due

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._heap[0][0], self._send_all) if self._heap else None

    def _send_all(self) -> None:
        self._timer = None
        heap = self._heap
        # What becomes due meanwhile waits for the next turn, so that the loop also reads when we are slower than time.
        now = self._loop.time()
        while heap and heap[0][0] <= now:
            due, order, paced = heap[0]
            following = paced.send_due(due)
            if following is None:
                heappop(heap)
            else:
                heapreplace(heap, (following, order, paced))
        self._schedule()
