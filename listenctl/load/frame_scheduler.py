"""
One timer for the frames of all calls: each frame leaves at a deadline that counts from the start of its call.
A sleeping task per call costs three times as much, and wakes up 25,000 times a second for 500 calls.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush, heapreplace
from typing import TypeAlias

FRAME_SECONDS = 0.02
# Multiples of this, modulo 1, are spread evenly, however many there are.
_GOLDEN = 0.6180339887498949

SendFrame: TypeAlias = Callable[[float], float | None]
"""Send the frame that was due at a time; return when the next is due, None if there is none."""


class FrameScheduler:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoch = loop.time()
        self._heap: list[tuple[float, int, SendFrame]] = []
        self._added = 0
        self._timer: asyncio.TimerHandle | None = None

    def add_call(self, send_frame: SendFrame) -> float:
        """Schedule a call from now on; return when its first frame is due: calls are spread over one frame."""
        phase = self._added * _GOLDEN % 1 * FRAME_SECONDS
        now = self._loop.time()
        due = now + (phase - (now - self._epoch)) % FRAME_SECONDS
        heappush(self._heap, (due, self._added, send_frame))
        self._added += 1
        self._set_timer()
        return due

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._heap[0][0], self._send_due_frames) if self._heap else None

    def _send_due_frames(self) -> None:
        self._timer = None
        heap = self._heap
        # What becomes due meanwhile waits for the next turn, so that the loop also reads if we are too slow.
        now = self._loop.time()
        while heap and heap[0][0] <= now:
            due, order, send_frame = heap[0]
            following = send_frame(due)
            if following is None:
                heappop(heap)
            else:
                heapreplace(heap, (following, order, send_frame))
        self._set_timer()
