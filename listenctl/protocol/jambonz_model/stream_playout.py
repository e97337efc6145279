"""
Streaming mode: binary audio is played and marks are answered, clips are not (listenctl-protocol(7) 6).
``MediaServerStream`` plays as CURRENT does: audio waits in a pre-buffer at the sender's rate, then in a playout buffer
at the call's rate, and marks are samples of value -1. ``ExactStream`` plays as documented.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from listenctl.protocol.application_commands import PlayAudio, mark_name_is_safe
from listenctl.protocol.audio import SAMPLE_BYTES, Resampler, ResamplerFactory, SampleAssembler
from listenctl.protocol.jambonz_messages import Mark
from listenctl.protocol.jambonz_model.command_verdicts import (
    MAX_PLAYOUT_BYTES,
    TOO_MUCH_AUDIO,
    CommandOutcome,
    PlayoutOutbox,
    VerdictReason,
)
from listenctl.protocol.jambonz_model.mark_playout import MarkAnswer, MarkLists, PendingMark

FIRST_RELEASE = 1280
"""Samples in the pre-buffer at which it first releases audio, for each whole multiple of the call's rate."""
LATER_RELEASE = 640
MARKER = b"\xff\xff"
PIECE_BYTES = 1024
"""How much of a binary frame the media server handles at once (listenctl-protocol(7) 6.1)."""
SENDING_TICKS = 10
"""An application that sent audio within so many ticks is still streaming: 200 ms, ten frames of a paced stream."""

MAX_EXACT_MARKS = 5000
MAX_EXACT_NAMES = 16 << 20
"""Marks that ``ExactStream`` keeps, and characters of their names."""

MarkerFate = Literal["", "lost", "moved"]
"""What resampling does to the markers of a stream; empty if they keep their places."""

_ANSWERED = {
    VerdictReason.NONE: "playout reached it",
    VerdictReason.SAMPLE_VALUE: (
        "answered early: a sample of value -1 in the audio was taken for it; send 0 or -2 instead"
    ),
    VerdictReason.SHIFTED: "answered in the place of another mark, because cleared marks swallowed answers",
}
_ANSWERED_AFTER_RESAMPLING = {"lost": "answered by chance, at a sample of value -1", "moved": "answered early"}
_REMEDY = "stream at the call's own rate if you need marks"


@dataclass(frozen=True, slots=True)
class StreamTick:
    """One tick of a stream; ``killed`` samples arrived after a killAudio and were cleared with the rest."""

    audio: bytes = b""
    answers: tuple[MarkAnswer, ...] = ()
    killed: int = 0


class MediaServerStream:
    """
    The stream of CURRENT, fault for fault.

    The effect of resampling on markers is simplified. Downsampling loses the marker while its mark stays in use;
    upsampling moves it to the front, so that marks are answered at once. Of five marks, none, two and five were
    answered in tests from 16 to 8, 24 to 8 and 8 to 16 kHz (listenctl-protocol(7) 6.4); the two were real -1 samples.
    """

    def __init__(self, sample_rate: int, call_rate: int, resampler: ResamplerFactory) -> None:
        self._resampler: Resampler | None = resampler(sample_rate, call_rate) if sample_rate != call_rate else None
        self.marker_fate: MarkerFate = _marker_fate(sample_rate, call_rate)
        self._factor = max(1, sample_rate // call_rate)
        self._threshold = FIRST_RELEASE * self._factor
        self._marks = MarkLists()
        # Markers are samples in the audio; their commands are kept beside it, to explain what went wrong.
        self._held = bytearray()
        self._held_markers: list[tuple[int, int]] = []
        self._playing = bytearray()
        self._markers: deque[tuple[int, int]] = deque()
        self._moved_markers = 0
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
        return self._marks.outstanding

    @property
    def stuck(self) -> tuple[PendingMark, ...]:
        """All unanswered marks, once one of them is in the audio or was cleared there (listenctl-protocol(7) 6.4)."""
        return self._marks.outstanding if self._marks.counts_markers else ()

    @property
    def lost(self) -> tuple[PendingMark, ...]:
        """Unanswered marks whose markers were lost when they left the pre-buffer."""
        if self.marker_fate != "lost":
            return ()
        held = {command for _, command in self._held_markers}
        return tuple(mark for mark in self._marks.in_use if mark.command not in held)

    def add_samples(self, samples: bytes) -> None:
        """Add samples at the sender's rate, behind the waiting marks; release the pre-buffer when it holds enough."""
        for mark in self._marks.put_in_use():
            self._held_markers.append((self.held, mark.command))
            self._held += MARKER
        self._held += samples
        if self.held >= self._threshold:
            self._threshold = LATER_RELEASE * self._factor
            self._release(self.held - self.held % self._factor)

    def add_mark(self, mark: PendingMark) -> bool:
        return self._marks.add_mark(mark)

    def kill_audio(self) -> None:
        """Clear the playout buffer at the next tick; the pre-buffer stays (listenctl-protocol(7) 6.3)."""
        if self._kill_from is None:
            self._kill_from = self._position + self.buffered

    def forget_marks(self) -> tuple[PendingMark, ...]:
        return self._marks.forget_marks()

    def play_tick(self, samples: int) -> StreamTick:
        if self._kill_from is not None:
            return self._clear_buffer(self._kill_from)
        data = bytes(self._playing[: samples * SAMPLE_BYTES])
        if self._marks.counts_markers:
            audio, answers = self._take_markers(data)
        else:
            audio, answers = data, [] if data else [self._marks.answer_at_end()]
        self._advance(len(data) // SAMPLE_BYTES)
        return StreamTick(audio, tuple(answer for answer in answers if answer))

    def _release(self, samples: int) -> None:
        released = self._held[: samples * SAMPLE_BYTES]
        del self._held[: samples * SAMPLE_BYTES]
        markers = [(index, command) for index, command in self._held_markers if index < samples]
        self._held_markers = [(index - samples, command) for index, command in self._held_markers[len(markers) :]]
        if self._resampler is None:
            start = self._position + self.buffered
            self._markers.extend((start + index, command) for index, command in markers)
            self._playing += released
            return
        for index, _ in reversed(markers):
            del released[index * SAMPLE_BYTES : (index + 1) * SAMPLE_BYTES]
        self._playing += self._resampler(bytes(released))
        self._moved_markers += len(markers) if self.marker_fate == "moved" else 0

    def _take_markers(self, data: bytes) -> tuple[bytes, list[MarkAnswer | None]]:
        """Remove every -1 from the audio to be played; return the audio and what each -1 answers."""
        answers = [self._marks.answer_moved_marker() for _ in range(self._moved_markers)] if data else []
        self._moved_markers = 0 if data else self._moved_markers
        audio = bytearray()
        start = 0
        while (at := _find_marker(data, start)) >= 0:
            audio += data[start:at]
            answers.append(self._answer_marker(self._position + at // SAMPLE_BYTES))
            start = at + SAMPLE_BYTES
        return bytes(audio + data[start:]), answers

    def _answer_marker(self, position: int) -> MarkAnswer | None:
        # After resampling a -1 is never a marker, and need not have been sent.
        return (
            self._marks.answer_moved_marker()
            if self._resampler
            else self._marks.answer_marker(self._marker_at(position))
        )

    def _marker_at(self, position: int) -> int | None:
        self._skip_markers(position)
        return self._markers[0][1] if self._markers and self._markers[0][0] == position else None

    def _advance(self, samples: int) -> None:
        self._position += samples
        del self._playing[: samples * SAMPLE_BYTES]
        self._skip_markers(self._position)

    def _skip_markers(self, position: int) -> None:
        while self._markers and self._markers[0][0] < position:
            self._markers.popleft()

    def _clear_buffer(self, kill_from: int) -> StreamTick:
        killed = self._position + self.buffered - kill_from
        self._kill_from = None
        self._moved_markers = 0
        self._advance(self.buffered)
        return StreamTick(answers=tuple(self._marks.clear_marks()), killed=killed)


class ExactStream:
    """A stream as documented; unlike ``MediaServerStream`` it plays at once and takes many more marks."""

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
        return len(self._playing) // SAMPLE_BYTES

    @property
    def outstanding(self) -> tuple[PendingMark, ...]:
        return tuple(mark for _, mark in self._marks)

    def add_samples(self, samples: bytes) -> None:
        self._playing += self._resampler(samples) if self._resampler else samples

    def add_mark(self, mark: PendingMark) -> bool:
        kept = (*self._killed, *self.outstanding)
        if len(kept) >= MAX_EXACT_MARKS or sum(len(one.name) for one in kept) > MAX_EXACT_NAMES:
            return False
        self._marks.append((self._position + self.buffered, mark))
        return True

    def kill_audio(self) -> None:
        """Drop audio and marks at once; the next tick answers the marks."""
        self._killed += self.forget_marks()
        self._position += self.buffered
        self._playing.clear()

    def forget_marks(self) -> tuple[PendingMark, ...]:
        marks = self.outstanding
        self._marks.clear()
        return marks

    def play_tick(self, samples: int) -> StreamTick:
        answers = [MarkAnswer(mark, "cleared") for mark in self._killed]
        self._killed = ()
        while self._marks and self._marks[0][0] < self._position + samples:
            answers.append(MarkAnswer(self._marks.popleft()[1], "playout"))
        audio = bytes(self._playing[: samples * SAMPLE_BYTES])
        del self._playing[: samples * SAMPLE_BYTES]
        self._position += len(audio) // SAMPLE_BYTES
        return StreamTick(audio, tuple(answers))


class StreamPlayout:
    def __init__(
        self, stream: MediaServerStream | ExactStream, outbox: PlayoutOutbox, *, sample_rate: int, call_rate: int
    ) -> None:
        self._stream = stream
        self._outbox = outbox
        self._sample_rate = sample_rate
        self._call_rate = call_rate
        self._rates = f"from {sample_rate} to {call_rate} Hz"
        self._assembler = SampleAssembler(SAMPLE_BYTES)
        self._last_audio = 0
        self._ticks_since_audio = 0
        self._knows_resampling = False
        self._was_full = False

    @property
    def buffered(self) -> int:
        return self._stream.buffered

    @property
    def held(self) -> int:
        return self._stream.held

    @property
    def outstanding_marks(self) -> tuple[PendingMark, ...]:
        return self._stream.outstanding

    def play_clip(self, command: PlayAudio) -> None:  # noqa: ARG002 - every clip is ignored
        sentence = "playAudio does nothing in streaming mode"
        self._outbox.add_verdict(CommandOutcome.IGNORED, VerdictReason.STREAMING, sentence)

    def kill_audio(self) -> None:
        self._stream.kill_audio()
        self._outbox.add_verdict(CommandOutcome.OBEYED, VerdictReason.NONE, "clears the playout buffer and the marks")

    def add_mark(self, name: str) -> None:
        if not self._stream.add_mark(PendingMark(self._outbox.number, name)):
            sentence = f"dropped: {len(self._stream.outstanding)} marks are outstanding already"
            self._outbox.add_verdict(CommandOutcome.IGNORED, VerdictReason.TOO_MANY_MARKS, sentence)
        elif not mark_name_is_safe(name):
            sentence = "answered with broken JSON, since its name is not escaped"
            self._outbox.add_verdict(CommandOutcome.MISREAD, VerdictReason.NAME_NOT_ESCAPED, sentence)
        elif (fate := self._stream.marker_fate) and not self._knows_resampling:
            # No fault yet: a mark that no audio follows is still answered in its place.
            self._knows_resampling = True
            sentence = f"if more audio follows, resampling {self._rates} will have {fate} its marker: {_REMEDY}"
            self._outbox.add_verdict(CommandOutcome.QUEUED, VerdictReason.RESAMPLED, sentence)
        else:
            self._outbox.add_verdict(CommandOutcome.QUEUED, VerdictReason.NONE, "answered when playout reaches it")

    def clear_marks(self) -> None:
        forgotten = self._stream.forget_marks()
        sentence = "forgotten because of clearMarks"
        for mark in forgotten:
            self._add_mark_verdict(mark, CommandOutcome.INTERRUPTED, VerdictReason.FORGOTTEN, sentence)
        self._outbox.add_verdict(CommandOutcome.OBEYED, VerdictReason.NONE, f"forgets {len(forgotten)} marks")

    def take_audio(self, data: bytes, fragments: Sequence[int] = ()) -> None:
        """Add audio in pieces of each frame, as the media server does; an odd byte waits for the next piece."""
        self._last_audio = self._outbox.number
        self._ticks_since_audio = 0
        start = 0
        for size in fragments or (len(data),):
            end = start + size
            for at in range(start, end, PIECE_BYTES):
                if self._is_full():
                    return
                self._stream.add_samples(self._assembler.feed(data[at : min(at + PIECE_BYTES, end)]))
            start = end

    def _is_full(self) -> bool:
        """Return whether no more audio is kept; report when that begins."""
        full = self._stream.buffered * SAMPLE_BYTES > MAX_PLAYOUT_BYTES
        if full and not self._was_full:
            self._outbox.add_verdict(CommandOutcome.IGNORED, VerdictReason.TOO_LONG, TOO_MUCH_AUDIO, wrong=False)
        self._was_full = full
        return full

    def play_tick(self, samples: int) -> bytes:
        self._ticks_since_audio += 1
        ticked = self._stream.play_tick(samples)
        for answer in ticked.answers:
            self._send_answer(answer)
        if ticked.killed:
            sentence = f"{ticked.killed} samples came too soon after killAudio and were cleared too; wait 40 ms"
            self._outbox.add_verdict(CommandOutcome.IGNORED, VerdictReason.TOO_SOON, sentence, command=self._last_audio)
        return ticked.audio

    def end_listen(self) -> None:
        idle = self._ticks_since_audio >= SENDING_TICKS and not self._stream.buffered
        self._report_unplayed(idle=idle)
        for mark in self._stream.outstanding:
            self._report_unanswered(mark, idle=idle)

    def _report_unplayed(self, *, idle: bool) -> None:
        seconds = self._stream.buffered / self._call_rate + self._stream.held / self._sample_rate
        if idle and (samples := self._stream.held_sound):
            # Twice as much as listenctl-protocol(7) 6.2 asks for, because the very first release needs twice as much.
            sentence = f"the last {samples} samples were never played; end with 160 ms of zeros"
            outcome, reason = CommandOutcome.TRUNCATED, VerdictReason.TAIL_HELD
        elif seconds and not idle:
            sentence = f"{_duration(seconds)} of audio were still to be played when the call ended"
            outcome, reason = CommandOutcome.INTERRUPTED, VerdictReason.CALL_ENDED
        else:
            return
        self._outbox.add_verdict(outcome, reason, sentence, command=self._last_audio)

    def _report_unanswered(self, mark: PendingMark, *, idle: bool) -> None:
        if lost := self._stream.lost:
            # Marks behind a lost one wait for it forever (listenctl-protocol(7) 6.4).
            whose = "its marker" if mark in lost else "the marker of one before it"
            sentence = f"never answered, since {self._resampling(whose)}"
            self._add_mark_verdict(mark, CommandOutcome.INTERRUPTED, VerdictReason.RESAMPLED, sentence, wrong=True)
            return
        stuck = idle and mark in self._stream.stuck
        sentence = "stuck: it would never be answered" if stuck else "not answered before the end of the listen"
        self._add_mark_verdict(mark, CommandOutcome.INTERRUPTED, VerdictReason.UNANSWERED, sentence, wrong=stuck)

    def _send_answer(self, answer: MarkAnswer) -> None:
        mark, fault = answer.mark, answer.fault
        self._outbox.add_message(Mark(mark.name, answer.event))
        if answer.event == "cleared":
            self._add_mark_verdict(mark, CommandOutcome.INTERRUPTED, VerdictReason.KILLED, "cleared by killAudio")
        else:
            sentence = self._answer_sentence(answer)
            self._add_mark_verdict(mark, CommandOutcome.FINISHED, fault, sentence, wrong=bool(fault))

    def _add_mark_verdict(
        self, mark: PendingMark, outcome: CommandOutcome, reason: VerdictReason, sentence: str, *, wrong: bool = False
    ) -> None:
        self._outbox.add_verdict(outcome, reason, sentence, wrong=wrong, command=mark.command)

    def _answer_sentence(self, answer: MarkAnswer) -> str:
        if answer.fault is not VerdictReason.RESAMPLED:
            return _ANSWERED[answer.fault]
        return f"{_ANSWERED_AFTER_RESAMPLING[self._stream.marker_fate]}, since {self._resampling()}"

    def _resampling(self, whose: str = "its marker") -> str:
        return f"resampling {self._rates} {self._stream.marker_fate} {whose}: {_REMEDY}"


def _marker_fate(sample_rate: int, call_rate: int) -> MarkerFate:
    if sample_rate == call_rate:
        return ""
    return "lost" if sample_rate > call_rate else "moved"


def _find_marker(data: bytes, start: int) -> int:
    at = data.find(MARKER, start)
    while at % SAMPLE_BYTES and at >= 0:
        at = data.find(MARKER, at + 1)
    return at


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{max(1, round(seconds * 1000))} ms"
