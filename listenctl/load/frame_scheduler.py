"""
One wheel for the frames of all calls: a turn takes 20 ms, and each of its slots sends one frame for each of its calls.

A wake-up of the loop costs as much as five frames, so a slot is 2 ms: the timers of the loop are exact to 1 ms anyway.
A heap of deadlines costs a sixth more for each frame, and a sleeping task for each call three times as much.
"""

import asyncio
from math import ceil
from typing import Protocol

FRAME_SECONDS = 0.02
_SLOTS = 10
_SLOT_SECONDS = FRAME_SECONDS / _SLOTS
_SLOT_STEP = 7
"""Slots between one call and the next: coprime to their number and near its golden section, so any few are spread."""


class ScheduledCall(Protocol):
    start: float  # when its first frame is due

    def send_frame(self, due: float) -> bool:
        """Send the frame that was due at a time; return whether there is another one."""


class FrameScheduler:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoch = loop.time()
        self._slots: list[list[ScheduledCall]] = [[] for _ in range(_SLOTS)]
        self._tick = 0  # the next slot to send, counted from the epoch through all turns
        self._added = 0
        self._timer: asyncio.TimerHandle | None = None

    def add_call(self, call: ScheduledCall) -> None:
        """Schedule a call from now on, and set its start: calls are spread over one frame."""
        now = ceil((self._loop.time() - self._epoch) / _SLOT_SECONDS)
        slot = self._added * _SLOT_STEP % _SLOTS
        call.start = self._due(now + (slot - now) % _SLOTS)
        if not any(self._slots):
            self._tick = now
        self._slots[slot].append(call)
        self._added += 1
        self._set_timer()

    def _due(self, tick: int) -> float:
        return self._epoch + tick * _SLOT_SECONDS

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        ticks = range(self._tick, self._tick + _SLOTS)
        following = next((tick for tick in ticks if self._slots[tick % _SLOTS]), None)
        self._timer = None if following is None else self._loop.call_at(self._due(following), self._send_due_frames)

    def _send_due_frames(self) -> None:
        self._timer = None
        # What becomes due meanwhile waits for the next turn of the loop, so that it also reads if we are too slow.
        now = self._loop.time()
        while (due := self._due(self._tick)) <= now:
            slot = self._tick % _SLOTS
            # A call can be added while the wheel is late.
            self._slots[slot] = [call for call in self._slots[slot] if due < call.start or call.send_frame(due)]
            self._tick += 1
        self._set_timer()
