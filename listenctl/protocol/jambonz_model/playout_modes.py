"""
The two ways in which jambonz plays what it is sent: a stream of binary audio, or clips (protocol.md 5).

A call has one of them from its beginning to its end; each does to every command what jambonz does in that mode.
"""

from typing import Protocol

from listenctl.protocol.application_commands import PlayAudio, mark_name_is_safe
from listenctl.protocol.audio import SAMPLE_BYTES, SampleAssembler
from listenctl.protocol.jambonz_messages import Mark
from listenctl.protocol.jambonz_model.clip_decoder import ClipReader
from listenctl.protocol.jambonz_model.clip_playout import ClipPlayer
from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, PlayoutOutbox
from listenctl.protocol.jambonz_model.mark_playout import MarkAnswer, PendingMark
from listenctl.protocol.jambonz_model.stream_playout import Stream

PIECE_BYTES = 1024
"""The most of a binary message that the media server handles at once (protocol.md 6.1)."""

_ANSWERED = {
    "": "playout reached it",
    "sample-value": "answered early: a sample of value -1 in the audio was taken for it; send 0 or -2 instead",
    "shifted": "answered in another mark's place, since marks that were cleared have swallowed answers",
}
_ANSWERED_AFTER_RESAMPLING = {"lost": "answered by chance, at a sample of value -1", "moved": "answered early"}
_REMEDY = "stream at the call's own rate if you need marks"
SENDING_TICKS = 10
"""An application whose last audio is fewer ticks ago is still sending: 200 ms, ten frames of a paced stream."""


class PlayoutMode(Protocol):
    """What both modes do; samples are at the call's rate."""

    @property
    def buffered(self) -> int:
        """Samples that will play without more being sent."""

    @property
    def held(self) -> int:
        """Samples, at the sender's rate, that won't play unless more is sent."""

    @property
    def outstanding_marks(self) -> tuple[PendingMark, ...]:
        """The marks that are still to be answered, oldest first."""

    def play(self, command: PlayAudio) -> None:
        """Take a playAudio."""

    def kill(self) -> None:
        """Take a killAudio."""

    def mark(self, name: str) -> None:
        """Take a mark."""

    def clear_marks(self) -> None:
        """Take a clearMarks."""

    def audio(self, data: bytes) -> None:
        """Take a binary message."""

    def tick(self, samples: int) -> bytes:
        """Play up to so many samples."""

    def finish(self) -> None:
        """Say what the end of the listen cuts off."""


class StreamMode:
    """
    Binary audio is played, with marks; clips are not.

    Args:
        sample_rate: what the application sends at.
    """

    def __init__(self, stream: Stream, outbox: PlayoutOutbox, *, sample_rate: int, call_rate: int) -> None:
        self._stream = stream
        self._outbox = outbox
        self._sample_rate = sample_rate
        self._call_rate = call_rate
        self._rates = f"from {sample_rate} to {call_rate} Hz"
        self._assembler = SampleAssembler(SAMPLE_BYTES)
        self._last_audio = 0
        self._ticks_since_audio = 0
        self._knows_resampling = False

    @property
    def buffered(self) -> int:
        """Samples that will play without more being sent."""
        return self._stream.buffered

    @property
    def held(self) -> int:
        """Samples, at the sender's rate, in the pre-buffer."""
        return self._stream.held

    @property
    def outstanding_marks(self) -> tuple[PendingMark, ...]:
        """The marks that are still to be answered, oldest first."""
        return self._stream.outstanding

    def play(self, command: PlayAudio) -> None:  # noqa: ARG002 - no part of it matters here
        """Ignore a clip."""
        self._outbox.add_verdict(
            CommandOutcome.IGNORED, "streaming", "playAudio does nothing in streaming mode", wrong=True
        )

    def kill(self) -> None:
        """Clear what plays, and the marks."""
        self._stream.kill()
        self._outbox.add_verdict(CommandOutcome.OBEYED, "", "clears the playout buffer and the marks")

    def mark(self, name: str) -> None:
        """Take a mark, unless there are too many."""
        if not self._stream.mark(PendingMark(self._outbox.number, name)):
            sentence = f"dropped: {len(self._stream.outstanding)} marks are outstanding already"
            self._outbox.add_verdict(CommandOutcome.IGNORED, "too-many-marks", sentence, wrong=True)
        elif not mark_name_is_safe(name):
            sentence = "answered with broken JSON, since its name is not escaped"
            self._outbox.add_verdict(CommandOutcome.MISREAD, "name-not-escaped", sentence, wrong=True)
        elif (fate := self._stream.marker_fate) and not self._knows_resampling:
            # No fault yet: a mark that nothing follows is answered in its place all the same.
            self._knows_resampling = True
            sentence = f"if more audio follows, resampling {self._rates} will have {fate} its marker: {_REMEDY}"
            self._outbox.add_verdict(CommandOutcome.QUEUED, "resampled", sentence)
        else:
            self._outbox.add_verdict(CommandOutcome.QUEUED, "", "answered when playout reaches it")

    def clear_marks(self) -> None:
        """Forget the marks."""
        forgotten = self._stream.forget_marks()
        for mark in forgotten:
            self._outbox.add_verdict(
                CommandOutcome.INTERRUPTED, "forgotten", "forgotten because of clearMarks", command=mark.command
            )
        self._outbox.add_verdict(CommandOutcome.OBEYED, "", f"forgets {len(forgotten)} marks")

    def audio(self, data: bytes) -> None:
        """Take audio in pieces; an odd byte waits for the next one."""
        self._last_audio = self._outbox.number
        self._ticks_since_audio = 0
        for at in range(0, len(data), PIECE_BYTES):
            self._stream.feed(self._assembler.feed(data[at : at + PIECE_BYTES]))

    def tick(self, samples: int) -> bytes:
        """Play, and answer the marks that are reached."""
        self._ticks_since_audio += 1
        ticked = self._stream.tick(samples)
        for answer in ticked.answers:
            self._answer(answer)
        if ticked.killed:
            sentence = f"{ticked.killed} samples came too soon after killAudio and were cleared too; wait 40 ms"
            self._outbox.add_verdict(CommandOutcome.IGNORED, "too-soon", sentence, wrong=True, command=self._last_audio)
        return ticked.audio

    def finish(self) -> None:
        """Say what the end of the listen cuts off, what stayed in the pre-buffer, and which marks were not answered."""
        idle = self._ticks_since_audio >= SENDING_TICKS and not self._stream.buffered
        self._judge_rest(idle=idle)
        for mark in self._stream.outstanding:
            self._judge_unanswered(mark, idle=idle)

    def _judge_rest(self, *, idle: bool) -> None:
        held = self._stream.held
        seconds = self._stream.buffered / self._call_rate + held / self._sample_rate
        if idle:
            self._judge_tail(self._stream.held_sound)
        elif seconds:
            sentence = f"{_duration(seconds)} of audio were still to be played when the call ended"
            self._outbox.add_verdict(CommandOutcome.INTERRUPTED, "call-ended", sentence, command=self._last_audio)

    def _judge_tail(self, samples: int) -> None:
        if samples:
            # Twice what protocol.md 6.2 asks for, since the first release of all takes twice as much.
            sentence = f"the last {samples} samples were never played; end with 160 ms of zeros"
            self._outbox.add_verdict(
                CommandOutcome.TRUNCATED, "tail-held", sentence, wrong=True, command=self._last_audio
            )

    def _judge_unanswered(self, mark: PendingMark, *, idle: bool) -> None:
        if lost := self._stream.lost:
            # Those behind a lost mark wait for it for ever (protocol.md 6.4).
            whose = "its marker" if mark in lost else "the marker of one before it"
            sentence = f"never answered, since {self._resampled(whose)}"
            self._outbox.add_verdict(
                CommandOutcome.INTERRUPTED, "resampled", sentence, wrong=True, command=mark.command
            )
            return
        stuck = idle and mark in self._stream.stuck
        sentence = "stuck: it would never be answered" if stuck else "not answered before the end of the listen"
        self._outbox.add_verdict(CommandOutcome.INTERRUPTED, "unanswered", sentence, wrong=stuck, command=mark.command)

    def _answer(self, answer: MarkAnswer) -> None:
        self._outbox.add_message(Mark(answer.mark.name, answer.event))
        command = answer.mark.command
        if answer.event == "cleared":
            self._outbox.add_verdict(CommandOutcome.INTERRUPTED, "killed", "cleared by killAudio", command=command)
        else:
            wrong = bool(answer.fault)
            self._outbox.add_verdict(
                CommandOutcome.FINISHED, answer.fault, self._answered(answer), wrong=wrong, command=command
            )

    def _answered(self, answer: MarkAnswer) -> str:
        if answer.fault != "resampled":
            return _ANSWERED[answer.fault]
        return f"{_ANSWERED_AFTER_RESAMPLING[self._stream.marker_fate]}, since {self._resampled()}"

    def _resampled(self, whose: str = "its marker") -> str:
        return f"resampling {self._rates} {self._stream.marker_fate} {whose}: {_REMEDY}"


class ClipMode:
    """
    Clips are played; binary audio and marks are not.

    Args:
        why_no_stream: the reason for the verdict on those.
        disabled: clips are taken too, but not played.
    """

    held = 0
    outstanding_marks: tuple[PendingMark, ...] = ()

    def __init__(self, reader: ClipReader, *, why_no_stream: str, disabled: bool) -> None:
        self._reader = reader
        self._profile = reader.profile
        self._outbox = reader.outbox
        self._player = ClipPlayer(reader.profile, reader.outbox)
        self._why_no_stream = why_no_stream
        self._disabled = disabled
        self._swallows_audio = False

    @property
    def buffered(self) -> int:
        """Samples of the clips that play and wait."""
        return self._player.buffered

    def play(self, command: PlayAudio) -> None:
        """Play or queue a clip, if there is one."""
        crashes = self._profile.crashes_without_type and not isinstance(command.audio_content_type, str)
        if self._disabled and not crashes:
            self._outbox.add_verdict(CommandOutcome.IGNORED, "disabled", "bidirectional audio is disabled", wrong=True)
            return
        clip = self._reader.read(command)
        queue = self._profile.queues_always or _is_true(command.queue_play)
        if clip:
            self._player.add(clip, queue=queue)
        elif not queue:
            # The feature server empties its queue before it sees that there is no file.
            self._player.drop_waiting()

    def kill(self) -> None:
        """Stop the clip that plays."""
        if self._player.kill():
            self._outbox.add_verdict(CommandOutcome.OBEYED, "", "stops the clip that plays")
        else:
            self._outbox.add_verdict(CommandOutcome.OBEYED, "nothing-playing", "nothing plays")

    def mark(self, name: str) -> None:  # noqa: ARG002 - no name changes it
        """Ignore a mark."""
        self._ignore("marks are never answered in this mode")

    def clear_marks(self) -> None:
        """Ignore it."""
        self._ignore("there are no marks in this mode")

    def audio(self, data: bytes) -> None:  # noqa: ARG002 - nobody hears it
        """Swallow audio; say so once, not fifty times a second."""
        if not self._swallows_audio:
            self._ignore("binary audio is not played in this mode")
        self._swallows_audio = True

    def tick(self, samples: int) -> bytes:
        """Play the clip whose turn it is."""
        return self._player.tick(samples)

    def finish(self) -> None:
        """Say which clips are cut off."""
        self._player.end()

    def _ignore(self, sentence: str) -> None:
        self._outbox.add_verdict(CommandOutcome.IGNORED, self._why_no_stream, sentence, wrong=True)


def _is_true(value: object) -> bool:
    """Tell what JavaScript takes for true."""
    return value is not None and (bool(value) or isinstance(value, list | dict))


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{max(1, round(seconds * 1000))} ms"
