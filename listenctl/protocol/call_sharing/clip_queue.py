"""
The clips of all tools of a call that wait for their turn, so that jambonz never has more than it keeps.

jambonz keeps 11 behind the one that plays and drops the rest without a word (protocol.md 5.1), so only a few are with
jambonz at a time and each that is over makes room for the next. Some are never answered, such as one that can't be
read; each is given up when it must be over.
"""

import base64
import binascii
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.jambonz_model.clip_decoder import is_wav

STOP_PATIENCE = 1.0
"""Seconds in which jambonz answers a clip that was stopped; one that it doesn't, never plays."""
AGAIN = 0.06
"""Seconds after which a killAudio is repeated: it may have come before the clip began, and then stops nothing."""
AGAIN_IF_OTHERS_FOLLOW = 0.5
"""The same where it must not stop the clip behind, of whose beginning we learn late."""


class ClipStops:
    """Keep the names of the clips that are being stopped; all times are seconds on one clock."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._until = self._next = self._every = 0.0

    @property
    def deadline(self) -> float | None:
        """When the next killAudio is due; None if nothing is to be stopped."""
        return min(self._next, self._until) if self.names else None

    def start_stopping(self, names: Collection[str], now: float, *, others_follow: bool) -> None:
        """Stop these, instead of those before; a killAudio has just been sent, or is due by ``kill_now``."""
        self.names = set(names)
        self._until = now + STOP_PATIENCE
        self._every = AGAIN_IF_OTHERS_FOLLOW if others_follow else AGAIN
        self._next = now + self._every

    def kill_now(self, now: float) -> None:
        """Have a killAudio sent now, since one clip has ended."""
        self._next = now

    def take_due_kill(self, now: float) -> bool:
        """Tell whether a killAudio is to be sent, once for each time."""
        due = bool(self.names) and self._next <= now < self._until
        if due:
            self._next = now + self._every
        return due

    def take_unanswered(self, now: float) -> set[str]:
        """Return the clips that should have been answered by now; they are waited for no more."""
        if now < self._until:
            return set()
        given_up, self.names = self.names, set()
        return given_up


MAX_AT_JAMBONZ = 3
"""Clips that jambonz has at once: enough to go on without a gap, and few, since there is no taking them back."""
MAX_WAITING = 1000
MAX_WAITING_BYTES = 256 * 1024 * 1024
MAX_PASSED_BYTES = 4 * 1024 * 1024
"""Passed on in one go, unless a single clip is longer."""
PATIENCE = 5.0
"""Seconds after its end at which a clip is given up."""
UNKNOWN_SECONDS = 60.0
_MAX_SECONDS = 3600.0
_PASS_EVERY = 0.05
# Rates of raw audio; the wide one is also taken for every sampleRate that isn't known (protocol.md 5.1).
_NARROW, _WIDE = 8000, 16000
_HEADER_DIGITS = 4096


@dataclass(frozen=True, slots=True)
class QueuedClip:
    """A clip: its name on the wire, the tool that sent it, and the seconds that it plays, None if unknown."""

    name: str
    tool: int
    text: bytes
    seconds: float | None


class ClipQueue:
    """Keep the clips of one call in order; all times are seconds on one clock."""

    def __init__(self) -> None:
        self._waiting: deque[QueuedClip] = deque()
        self._waiting_bytes = 0
        # In the order in which they play; the first began at ``_begin``, or later.
        self._at_jambonz: deque[QueuedClip] = deque()
        self._begin = 0.0
        self._next_pass = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def deadline(self) -> float | None:
        """When to call ``take_due_clips`` if nothing happens before; None while nothing waits."""
        if not self._waiting:
            return None
        if len(self._at_jambonz) < MAX_AT_JAMBONZ:
            return self._next_pass
        return self._end_of_first()

    @property
    def at_jambonz(self) -> list[str]:
        """The names of the clips that jambonz has, in the order in which they play."""
        return [clip.name for clip in self._at_jambonz]

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds of all clips that are still to be played, by the clock; None if a length is unknown."""
        self._give_up(now)
        total = 0.0
        for clip in (*self._at_jambonz, *self._waiting):
            if clip.seconds is None:
                return None
            total += clip.seconds
        if not self._at_jambonz:
            return total
        return total - min(max(0.0, now - self._begin), self._at_jambonz[0].seconds or 0.0)

    def has_room(self, size: int) -> bool:
        """Tell whether a clip of so many bytes may wait."""
        return len(self._waiting) < MAX_WAITING and self._waiting_bytes + size <= MAX_WAITING_BYTES

    def add_clip(self, clip: QueuedClip) -> None:
        """Have a clip wait, be it for a moment."""
        self._waiting.append(clip)
        self._waiting_bytes += len(clip.text)

    def take_due_clips(self, now: float) -> list[QueuedClip]:
        """Return the clips whose turn it is to go to jambonz."""
        self._give_up(now)
        passed: list[QueuedClip] = []
        size = 0
        while self._waiting and len(self._at_jambonz) < MAX_AT_JAMBONZ and (not passed or size < MAX_PASSED_BYTES):
            clip = self._waiting.popleft()
            size += len(clip.text)
            if not self._at_jambonz:
                self._begin = now
            # Its content isn't needed any more.
            self._at_jambonz.append(QueuedClip(clip.name, clip.tool, b"", clip.seconds))
            passed.append(clip)
        self._waiting_bytes -= size
        self._next_pass = now + _PASS_EVERY
        return passed

    def end_clip(self, name: str, now: float) -> None:
        """Take notice that a clip is over, and with it those before it."""
        if any(clip.name == name for clip in self._at_jambonz):
            while self._at_jambonz.popleft().name != name:
                pass
            self._begin = now

    def is_waiting(self, name: str) -> bool:
        """Tell whether a clip hasn't been passed on."""
        return any(clip.name == name for clip in self._waiting)

    def last_waiting(self, tool: int) -> str | None:
        """Return the name of a tool's last clip that waits, None if none does."""
        return next((clip.name for clip in reversed(self._waiting) if clip.tool == tool), None)

    def drop_waiting(self) -> list[QueuedClip]:
        """Return all that wait, which none does any more."""
        dropped, self._waiting, self._waiting_bytes = list(self._waiting), deque(), 0
        return dropped

    def interrupt_by_clip(self, seconds: float | None) -> list[QueuedClip]:
        """
        Return all that wait here and at jambonz, where a clip of so many seconds without queuePlay empties the queue.

        What plays goes on afterwards.
        """
        self._begin += UNKNOWN_SECONDS if seconds is None else seconds
        dropped = list(self._at_jambonz)[1:]
        self._at_jambonz = deque(list(self._at_jambonz)[:1])
        return dropped + self.drop_waiting()

    def forget_tool(self, tool: int) -> None:
        """Drop what waits of a tool that has left."""
        self._keep_waiting(clip for clip in self._waiting if clip.tool != tool)

    def withdraw_clips(self, names: Collection[str]) -> list[str]:
        """Drop clips that wait; return the names of those that jambonz has."""
        self._keep_waiting(clip for clip in self._waiting if clip.name not in names)
        return [clip.name for clip in self._at_jambonz if clip.name in names]

    def end_clips(self, names: Collection[str], now: float) -> None:
        """Take notice that jambonz plays some clips no more, nor ever will."""
        if self._at_jambonz and self._at_jambonz[0].name in names:
            self._begin = now
        self._at_jambonz = deque(clip for clip in self._at_jambonz if clip.name not in names)

    def _keep_waiting(self, clips: Iterable[QueuedClip]) -> None:
        self._waiting = deque(clips)
        self._waiting_bytes = sum(len(clip.text) for clip in self._waiting)

    def _give_up(self, now: float) -> None:
        while self._at_jambonz and (end := self._end_of_first()) <= now:
            self._at_jambonz.popleft()
            self._begin = end

    def _end_of_first(self) -> float:
        seconds = self._at_jambonz[0].seconds
        return self._begin + (UNKNOWN_SECONDS if seconds is None else seconds) + PATIENCE


def seconds_of(clip: PlayAudio) -> float | None:
    """Return how long a clip plays at most, None if that can't be seen; one without content takes no time."""
    if not isinstance(clip.audio_content, str):
        return 0.0
    size = len(clip.audio_content) * 3 // 4
    if clip.audio_content_type == "raw":
        rate = _NARROW if clip.sample_rate == _NARROW else _WIDE
        return min(size / (rate * SAMPLE_BYTES), _MAX_SECONDS)
    byte_rate = _byte_rate(clip.audio_content[:_HEADER_DIGITS])
    return min(size / byte_rate, _MAX_SECONDS) if byte_rate else None


def _byte_rate(content: str) -> int:
    """Return the bytes per second that the header of a WAV file says, 0 if there is none."""
    try:
        head = base64.b64decode(content[: len(content) // 4 * 4])
    except (binascii.Error, ValueError):
        return 0
    at = head.find(b"fmt ")
    return int.from_bytes(head[at + 16 : at + 20], "little") if is_wav(head) and at > 0 else 0
