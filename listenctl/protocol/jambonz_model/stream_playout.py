"""
A stream of binary audio on its way to the caller's ear: as the media server plays it, and as documented.

Both take the same calls. ``MediaServerStream`` holds audio in a pre-buffer, at the sender's rate, and then in a playout
buffer, at the call's (protocol.md 6.2); its marks are samples of value -1 (6.4). ``ExactStream`` plays at once and has
each mark where it belongs.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

from listenctl.protocol.audio import SAMPLE_BYTES, Resampler, ResamplerFactory
from listenctl.protocol.jambonz_model.mark_playout import MarkAnswer, MarkLists, PendingMark

FIRST_RELEASE = 1280
"""Samples that the pre-buffer wants at first, at the sender's rate and for each whole multiple of the call's."""
LATER_RELEASE = 640
MARKER = b"\xff\xff"

MarkerFate = Literal["", "lost", "moved"]
"""What resampling does to the markers of a stream; empty where they keep their places."""


@dataclass(frozen=True, slots=True)
class StreamTick:
    """What a stream does in one tick: ``killed`` samples came after a killAudio and were cleared with the rest."""

    audio: bytes = b""
    answers: tuple[MarkAnswer, ...] = ()
    killed: int = 0


class Stream(Protocol):
    """What both streams can do; samples are at the call's rate unless it says otherwise."""

    @property
    def buffered(self) -> int:
        """Samples that the next ticks play."""

    @property
    def held(self) -> int:
        """Samples, at the sender's rate, that wait for more to come."""

    @property
    def held_sound(self) -> int:
        """How many of them there are up to the last one that isn't silence."""

    @property
    def outstanding(self) -> tuple[PendingMark, ...]:
        """The marks that are still to be answered, oldest first."""

    @property
    def stuck(self) -> tuple[PendingMark, ...]:
        """The marks that are not answered when nothing is left to play, unless more is sent."""

    @property
    def lost(self) -> tuple[PendingMark, ...]:
        """The outstanding marks whose markers resampling has lost."""

    @property
    def marker_fate(self) -> MarkerFate:
        """What resampling does to markers here."""

    def feed(self, samples: bytes) -> None:
        """Take whole samples at the sender's rate."""

    def mark(self, mark: PendingMark) -> bool:
        """Take a mark; False if it is dropped."""

    def kill(self) -> None:
        """Drop what plays and clear the marks; the next tick answers them."""

    def forget_marks(self) -> tuple[PendingMark, ...]:
        """Drop the marks without an answer and return them."""

    def tick(self, samples: int) -> StreamTick:
        """Play up to so many samples."""


class MediaServerStream:
    """
    The streaming of CURRENT, fault for fault.

    What resampling does to a marker is simplified: going down it vanishes, while its mark stays in use, and going up
    it comes out in front of everything, so that marks are answered at once. Measured were none, two and five answers
    to five marks, for 16 to 8, 24 to 8 and 8 to 16 kHz (protocol.md 6.4); the two were real samples of value -1.
    """

    def __init__(self, sample_rate: int, call_rate: int, resampler: ResamplerFactory) -> None:
        self._resampler: Resampler | None = resampler(sample_rate, call_rate) if sample_rate != call_rate else None
        self.marker_fate: MarkerFate = _marker_fate(sample_rate, call_rate)
        self._factor = max(1, sample_rate // call_rate)
        self._threshold = FIRST_RELEASE * self._factor
        self._marks = MarkLists()
        # Markers stand in the audio as samples; beside it stands whose they are, to say what went wrong.
        self._held = bytearray()
        self._held_markers: list[tuple[int, PendingMark]] = []
        self._playing = bytearray()
        self._markers: deque[tuple[int, PendingMark]] = deque()
        self._surfaced = 0
        self._position = 0
        self._kill_from: int | None = None

    @property
    def buffered(self) -> int:
        """Samples that the next ticks play, markers included."""
        return len(self._playing) // SAMPLE_BYTES

    @property
    def held(self) -> int:
        """Samples in the pre-buffer, markers included."""
        return len(self._held) // SAMPLE_BYTES

    @property
    def held_sound(self) -> int:
        """Samples in the pre-buffer without the zeros at its end."""
        return (len(self._held.rstrip(b"\0")) + 1) // SAMPLE_BYTES

    @property
    def outstanding(self) -> tuple[PendingMark, ...]:
        """The marks that are still to be answered, oldest first."""
        return self._marks.outstanding

    @property
    def stuck(self) -> tuple[PendingMark, ...]:
        """All outstanding marks, as soon as one of them is in the audio or was cleared there (protocol.md 6.4)."""
        return self._marks.outstanding if self._marks.listening else ()

    @property
    def lost(self) -> tuple[PendingMark, ...]:
        """The marks whose markers have left the pre-buffer and are nowhere."""
        if self.marker_fate != "lost":
            return ()
        held = {mark for _, mark in self._held_markers}
        return tuple(mark for mark in self._marks.in_use if mark not in held)

    def feed(self, samples: bytes) -> None:
        """Take samples behind the marks that wait for them; release all when there are enough."""
        for mark in self._marks.put_in_use():
            self._held_markers.append((self.held, mark))
            self._held += MARKER
        self._held += samples
        if self.held >= self._threshold:
            self._threshold = LATER_RELEASE * self._factor
            self._release(self.held - self.held % self._factor)

    def mark(self, mark: PendingMark) -> bool:
        """Take a mark, unless 30 are outstanding."""
        return self._marks.add(mark)

    def kill(self) -> None:
        """Have the next tick clear the playout buffer; the pre-buffer stays (protocol.md 6.3)."""
        if self._kill_from is None:
            self._kill_from = self._position + self.buffered

    def forget_marks(self) -> tuple[PendingMark, ...]:
        """Drop the marks without an answer; their markers stay."""
        return self._marks.forget()

    def tick(self, samples: int) -> StreamTick:
        """Play up to so many samples, or clear the buffer if that is due."""
        if self._kill_from is not None:
            return self._clear(self._kill_from)
        data = bytes(self._playing[: samples * SAMPLE_BYTES])
        if self._marks.listening:
            audio, answers = self._listen(data)
        else:
            audio, answers = data, [] if data else [self._marks.reach_end()]
        self._pass(len(data) // SAMPLE_BYTES)
        return StreamTick(audio, tuple(answer for answer in answers if answer))

    def _release(self, samples: int) -> None:
        released = self._held[: samples * SAMPLE_BYTES]
        del self._held[: samples * SAMPLE_BYTES]
        markers = [(index, mark) for index, mark in self._held_markers if index < samples]
        self._held_markers = [(index - samples, mark) for index, mark in self._held_markers[len(markers) :]]
        if self._resampler is None:
            start = self._position + self.buffered
            self._markers.extend((start + index, mark) for index, mark in markers)
            self._playing += released
            return
        for index, _ in reversed(markers):
            del released[index * SAMPLE_BYTES : (index + 1) * SAMPLE_BYTES]
        self._playing += self._resampler(bytes(released))
        self._surfaced += len(markers) if self.marker_fate == "moved" else 0

    def _listen(self, data: bytes) -> tuple[bytes, list[MarkAnswer | None]]:
        """Take every -1 out of what is about to be played, whether it answers a mark or not."""
        answers = [self._marks.surface() for _ in range(self._surfaced)] if data else []
        self._surfaced = 0 if data else self._surfaced
        audio = bytearray()
        start = 0
        while (at := _find_marker(data, start)) >= 0:
            audio += data[start:at]
            answers.append(self._reach(self._position + at // SAMPLE_BYTES))
            start = at + SAMPLE_BYTES
        return bytes(audio + data[start:]), answers

    def _reach(self, position: int) -> MarkAnswer | None:
        # After resampling a -1 need not be one that was sent, and is never a marker.
        return self._marks.surface() if self._resampler else self._marks.reach(self._marker_at(position))

    def _marker_at(self, position: int) -> PendingMark | None:
        self._skip_markers(position)
        return self._markers[0][1] if self._markers and self._markers[0][0] == position else None

    def _pass(self, samples: int) -> None:
        self._position += samples
        del self._playing[: samples * SAMPLE_BYTES]
        self._skip_markers(self._position)

    def _skip_markers(self, position: int) -> None:
        while self._markers and self._markers[0][0] < position:
            self._markers.popleft()

    def _clear(self, kill_from: int) -> StreamTick:
        killed = self._position + self.buffered - kill_from
        self._kill_from = None
        self._surfaced = 0
        self._pass(self.buffered)
        return StreamTick(answers=tuple(self._marks.kill()), killed=killed)


class ExactStream:
    """A stream as the documentation describes it."""

    held = held_sound = 0
    stuck: tuple[PendingMark, ...] = ()
    lost: tuple[PendingMark, ...] = ()
    marker_fate: MarkerFate = ""

    def __init__(self, sample_rate: int, call_rate: int, resampler: ResamplerFactory) -> None:
        self._resampler: Resampler | None = resampler(sample_rate, call_rate) if sample_rate != call_rate else None
        self._playing = bytearray()
        self._position = 0
        self._marks: deque[tuple[int, PendingMark]] = deque()
        self._killed: tuple[PendingMark, ...] = ()

    @property
    def buffered(self) -> int:
        """Samples that the next ticks play."""
        return len(self._playing) // SAMPLE_BYTES

    @property
    def outstanding(self) -> tuple[PendingMark, ...]:
        """The marks that are still to be answered, oldest first."""
        return tuple(mark for _, mark in self._marks)

    def feed(self, samples: bytes) -> None:
        """Take samples; they are played in their turn, however few they are."""
        self._playing += self._resampler(samples) if self._resampler else samples

    def mark(self, mark: PendingMark) -> bool:
        """Take a mark, always."""
        self._marks.append((self._position + self.buffered, mark))
        return True

    def kill(self) -> None:
        """Drop at once what was sent before."""
        self._killed += self.forget_marks()
        self._position += self.buffered
        self._playing.clear()

    def forget_marks(self) -> tuple[PendingMark, ...]:
        """Drop the marks without an answer and return them."""
        marks = self.outstanding
        self._marks.clear()
        return marks

    def tick(self, samples: int) -> StreamTick:
        """Play up to so many samples; answer the marks in or before them."""
        answers = [MarkAnswer(mark, "cleared") for mark in self._killed]
        self._killed = ()
        while self._marks and self._marks[0][0] < self._position + samples:
            answers.append(MarkAnswer(self._marks.popleft()[1], "playout"))
        audio = bytes(self._playing[: samples * SAMPLE_BYTES])
        del self._playing[: samples * SAMPLE_BYTES]
        self._position += len(audio) // SAMPLE_BYTES
        return StreamTick(audio, tuple(answers))


def _marker_fate(sample_rate: int, call_rate: int) -> MarkerFate:
    if sample_rate == call_rate:
        return ""
    return "lost" if sample_rate > call_rate else "moved"


def _find_marker(data: bytes, start: int) -> int:
    at = data.find(MARKER, start)
    while at % SAMPLE_BYTES and at >= 0:
        at = data.find(MARKER, at + 1)
    return at
