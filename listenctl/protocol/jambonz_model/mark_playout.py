"""
The marks of a stream, as the media server keeps them (protocol.md 6.4).

A mark waits in the *inventory* until audio follows it. Then a sample of value -1 goes into the audio in front, and the
mark is *in use*; at each -1 that is played the oldest one in use is answered. That is where all the faults come from: a
real -1 counts too, and a mark that was *cleared* while in use still swallows the next -1, its own or another's.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

MAX_MARKS = 30


@dataclass(frozen=True, slots=True)
class PendingMark:
    """A mark that was sent; ``command`` counts what was sent, since names may repeat."""

    command: int
    name: str


@dataclass(frozen=True, slots=True)
class MarkAnswer:
    """A mark that is answered now; ``fault`` is empty, or a word for why this is not its place."""

    mark: PendingMark
    event: Literal["playout", "cleared"]
    fault: Literal["", "sample-value", "shifted", "resampled"] = ""


class MarkLists:
    """Which marks wait, which are in the audio and which will swallow another's answer."""

    def __init__(self) -> None:
        self._inventory: deque[PendingMark] = deque()
        self._in_use: deque[PendingMark] = deque()
        self._cleared: deque[PendingMark] = deque()

    @property
    def outstanding(self) -> tuple[PendingMark, ...]:
        """The marks that are still to be answered, oldest first."""
        return (*self._in_use, *self._inventory)

    @property
    def in_use(self) -> tuple[PendingMark, ...]:
        """The marks that audio has followed, oldest first."""
        return tuple(self._in_use)

    @property
    def listening(self) -> bool:
        """Whether samples of value -1 are taken for marks now."""
        return bool(self._in_use or self._cleared)

    def add(self, mark: PendingMark) -> bool:
        """Put a mark into the inventory, unless there are too many."""
        if len(self._inventory) + len(self._in_use) >= MAX_MARKS:
            return False
        self._inventory.append(mark)
        return True

    def put_in_use(self) -> Iterable[PendingMark]:
        """Empty the inventory, because audio follows; return the marks that go in front of it."""
        marks = tuple(self._inventory)
        self._in_use.extend(marks)
        self._inventory.clear()
        return marks

    def reach(self, marker_of: PendingMark | None) -> MarkAnswer | None:
        """Take a sample of value -1, which is the marker of a mark or just audio; return what it answers."""
        if self._cleared:
            self._cleared.popleft()
            return None
        if not self._in_use:
            return None
        mark = self._in_use.popleft()
        if marker_of is None:
            return MarkAnswer(mark, "playout", "sample-value")
        return MarkAnswer(mark, "playout", "" if mark is marker_of else "shifted")

    def surface(self) -> MarkAnswer | None:
        """Take a marker that resampling has moved to the front, or a -1 of its making: no mark has its place there."""
        answer = self.reach(None)
        return answer and MarkAnswer(answer.mark, answer.event, "resampled")

    def reach_end(self) -> MarkAnswer | None:
        """Return the answer to the oldest mark that no audio follows; nothing is left to play."""
        return MarkAnswer(self._inventory.popleft(), "playout") if self._inventory else None

    def kill(self) -> Iterable[MarkAnswer]:
        """Answer all marks as cleared; those in use stay behind to swallow later ones."""
        answers = [MarkAnswer(mark, "cleared") for mark in self.outstanding]
        self._cleared.extend(self._in_use)
        self._in_use.clear()
        self._inventory.clear()
        return answers

    def forget(self) -> tuple[PendingMark, ...]:
        """Drop all marks without an answer; each swallows a later one, also those that never were in the audio."""
        marks = self.outstanding
        self._cleared.extend(marks)
        self._in_use.clear()
        self._inventory.clear()
        return marks
