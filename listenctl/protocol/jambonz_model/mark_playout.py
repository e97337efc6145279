"""
When the mark of a stream counts as played, as the media server decides it (listenctl-protocol(7) 6.4).

A mark waits in the *inventory* until audio follows it. Then a sample of value -1 is put in front of that audio, and
the mark is *in use*; each -1 that is played answers the oldest mark in use. All faults come from this: a real -1 counts
too, and a mark that was *cleared* while in use still swallows the next -1, its own or another's.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from listenctl.protocol.jambonz_model.command_verdicts import VerdictReason

MAX_MARKS = 30


@dataclass(frozen=True, slots=True)
class PendingMark:
    """A mark without an answer; ``command`` is the number of its message, because names may repeat."""

    command: int
    name: str


@dataclass(frozen=True, slots=True)
class MarkAnswer:
    """The answer to a mark; ``fault`` says why this is not its place, empty if it is."""

    mark: PendingMark
    event: Literal["playout", "cleared"]
    fault: VerdictReason = VerdictReason.NONE


class MarkLists:
    def __init__(self) -> None:
        self._inventory: deque[PendingMark] = deque()
        self._in_use: deque[PendingMark] = deque()
        # Only their number: a server can clear marks without end.
        self._cleared = 0

    @property
    def outstanding(self) -> tuple[PendingMark, ...]:
        return (*self._in_use, *self._inventory)

    @property
    def in_use(self) -> tuple[PendingMark, ...]:
        """Unanswered marks that audio has followed, oldest first."""
        return tuple(self._in_use)

    @property
    def counts_markers(self) -> bool:
        """Whether a sample of value -1 counts as a mark now."""
        return bool(self._in_use or self._cleared)

    def add_mark(self, mark: PendingMark) -> bool:
        if len(self._inventory) + len(self._in_use) >= MAX_MARKS:
            return False
        self._inventory.append(mark)
        return True

    def put_in_use(self) -> Iterable[PendingMark]:
        """Empty the inventory because audio follows; return the marks whose markers go in front of it."""
        marks = tuple(self._inventory)
        self._in_use.extend(marks)
        self._inventory.clear()
        return marks

    def answer_marker(self, marker_of: int | None) -> MarkAnswer | None:
        """Return what a played -1 answers; it is the marker of the command ``marker_of``, or just audio."""
        if self._cleared:
            self._cleared -= 1
            return None
        if not self._in_use:
            return None
        mark = self._in_use.popleft()
        if mark.command == marker_of:
            return MarkAnswer(mark, "playout")
        # A marker whose mark a real -1 has answered already answers a later mark, too early like that one.
        early = marker_of is None or mark.command > marker_of
        return MarkAnswer(mark, "playout", VerdictReason.SAMPLE_VALUE if early else VerdictReason.SHIFTED)

    def answer_moved_marker(self) -> MarkAnswer | None:
        """Return what a -1 answers that resampling made or moved, where no mark has its place."""
        answer = self.answer_marker(None)
        return answer and MarkAnswer(answer.mark, answer.event, VerdictReason.RESAMPLED)

    def answer_at_end(self) -> MarkAnswer | None:
        """Return the answer to the oldest mark that no audio follows, when nothing is left to play."""
        return MarkAnswer(self._inventory.popleft(), "playout") if self._inventory else None

    def clear_marks(self) -> Iterable[MarkAnswer]:
        """Answer all marks as cleared; those in use will swallow later answers."""
        answers = [MarkAnswer(mark, "cleared") for mark in self.outstanding]
        self._cleared += len(self._in_use)
        self._in_use.clear()
        self._inventory.clear()
        return answers

    def forget_marks(self) -> tuple[PendingMark, ...]:
        """Drop all marks without an answer; each will swallow a later one, even those that no audio followed."""
        marks = self.outstanding
        self._cleared += len(marks)
        self._in_use.clear()
        self._inventory.clear()
        return marks
