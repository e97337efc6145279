"""
The waiting clips of all tools of a call: jambonz queues 11 and silently drops the rest (listenctl-protocol(7) 5.1), so
only a few are there at a time. Some are never answered; each clip is given up when it must have ended.
"""

import base64
import binascii
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.sound_containers import sound_container

MAX_AT_JAMBONZ = 3
"""Clips at jambonz at once: enough to play without a pause, and few, because they can't be taken back."""
MAX_WAITING = 1000
MAX_WAITING_BYTES = 256 * 1024 * 1024
MAX_PASSED_BYTES = 4 * 1024 * 1024
"""Bytes passed on at once, unless a single clip is longer."""
GIVE_UP_AFTER = 5.0
"""Seconds after its computed end at which a clip is given up."""
UNKNOWN_SECONDS = 60.0
_MAX_SECONDS = 3600.0
_PASS_EVERY = 0.05
# Rates of raw audio; jambonz uses the wide one for every unknown sampleRate too (listenctl-protocol(7) 5.1).
_NARROW, _WIDE = 8000, 16000
_HEADER_DIGITS = 4096


@dataclass(frozen=True, slots=True)
class QueuedClip:
    """A clip with its name on the wire, the tool that sent it, and its length in seconds, None if unknown."""

    name: str
    tool: int
    text: bytes
    seconds: float | None


class ClipQueue:
    """The clips of one call in order; all times are seconds on one clock."""

    def __init__(self) -> None:
        self._waiting: deque[QueuedClip] = deque()
        self._waiting_bytes = 0
        # In the order in which they play; the first began at ``_began_at``, or later.
        self._at_jambonz: deque[QueuedClip] = deque()
        self._began_at = 0.0
        self._next_pass = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def deadline(self) -> float | None:
        """When to call ``take_due_clips``, unless a clip ends before; None while nothing waits."""
        if not self._waiting:
            return None
        if len(self._at_jambonz) < MAX_AT_JAMBONZ:
            return self._next_pass
        return self._end_of_first()

    @property
    def at_jambonz(self) -> list[str]:
        return [clip.name for clip in self._at_jambonz]

    def seconds_left(self, now: float) -> float | None:
        """Return how long all clips still play, by the clock; None if a length is unknown."""
        self._give_up(now)
        total = 0.0
        for clip in (*self._at_jambonz, *self._waiting):
            if clip.seconds is None:
                return None
            total += clip.seconds
        if not self._at_jambonz:
            return total
        return total - min(max(0.0, now - self._began_at), self._at_jambonz[0].seconds or 0.0)

    def has_room(self, size: int) -> bool:
        return len(self._waiting) < MAX_WAITING and self._waiting_bytes + size <= MAX_WAITING_BYTES

    def add_clip(self, clip: QueuedClip) -> None:
        self._waiting.append(clip)
        self._waiting_bytes += len(clip.text)

    def take_due_clips(self, now: float) -> list[QueuedClip]:
        self._give_up(now)
        passed: list[QueuedClip] = []
        size = 0
        while self._waiting and len(self._at_jambonz) < MAX_AT_JAMBONZ and (not passed or size < MAX_PASSED_BYTES):
            clip = self._waiting.popleft()
            size += len(clip.text)
            if not self._at_jambonz:
                self._began_at = now
            # The content isn't needed any more.
            self._at_jambonz.append(QueuedClip(clip.name, clip.tool, b"", clip.seconds))
            passed.append(clip)
        self._waiting_bytes -= size
        self._next_pass = now + _PASS_EVERY
        return passed

    def end_clip(self, name: str, now: float) -> None:
        """Record that a clip has ended, and with it those before it."""
        if any(clip.name == name for clip in self._at_jambonz):
            while self._at_jambonz.popleft().name != name:
                pass
            self._began_at = now

    def is_waiting(self, name: str) -> bool:
        return any(clip.name == name for clip in self._waiting)

    def last_waiting(self, tool: int) -> str | None:
        return next((clip.name for clip in reversed(self._waiting) if clip.tool == tool), None)

    def drop_waiting(self) -> list[QueuedClip]:
        dropped, self._waiting, self._waiting_bytes = list(self._waiting), deque(), 0
        return dropped

    def interrupt_by_clip(self, seconds: float | None) -> list[QueuedClip]:
        """Drop and return the waiting clips: one of ``seconds`` without queuePlay interrupts the one that plays."""
        self._began_at += UNKNOWN_SECONDS if seconds is None else seconds
        dropped = list(self._at_jambonz)[1:]
        self._at_jambonz = deque(list(self._at_jambonz)[:1])
        return dropped + self.drop_waiting()

    def forget_tool(self, tool: int) -> None:
        self._set_waiting(clip for clip in self._waiting if clip.tool != tool)

    def withdraw_clips(self, names: Collection[str]) -> list[str]:
        self._set_waiting(clip for clip in self._waiting if clip.name not in names)
        return [clip.name for clip in self._at_jambonz if clip.name in names]

    def end_clips(self, names: Collection[str], now: float) -> None:
        if self._at_jambonz and self._at_jambonz[0].name in names:
            self._began_at = now
        self._at_jambonz = deque(clip for clip in self._at_jambonz if clip.name not in names)

    def _set_waiting(self, clips: Iterable[QueuedClip]) -> None:
        self._waiting = deque(clips)
        self._waiting_bytes = sum(len(clip.text) for clip in self._waiting)

    def _give_up(self, now: float) -> None:
        while self._at_jambonz and (end := self._end_of_first()) <= now:
            self._at_jambonz.popleft()
            self._began_at = end

    def _end_of_first(self) -> float:
        seconds = self._at_jambonz[0].seconds
        return self._began_at + (UNKNOWN_SECONDS if seconds is None else seconds) + GIVE_UP_AFTER


def seconds_of(clip: PlayAudio) -> float | None:
    """Return how long a clip plays at most, None if unknown; a clip without content takes no time."""
    if not isinstance(clip.audio_content, str):
        return 0.0
    size = len(clip.audio_content) * 3 // 4
    if clip.audio_content_type == "raw":
        rate = _NARROW if clip.sample_rate == _NARROW else _WIDE
        return min(size / (rate * SAMPLE_BYTES), _MAX_SECONDS)
    byte_rate = _byte_rate(clip.audio_content[:_HEADER_DIGITS])
    return min(size / byte_rate, _MAX_SECONDS) if byte_rate else None


def _byte_rate(content: str) -> int:
    try:
        head = base64.b64decode(content[: len(content) // 4 * 4])
    except (binascii.Error, ValueError):
        return 0
    at = head.find(b"fmt ")
    return int.from_bytes(head[at + 16 : at + 20], "little") if sound_container(head) == "WAV" and at > 0 else 0
