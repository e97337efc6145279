"""
Clip mode: ``playAudio`` clips are played, binary audio and marks are not (listenctl-protocol(7) 5.1).
The feature server keeps the queue; the media server plays the clip started last, then continues interrupted ones.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.jambonz_model.clip_decoder import Clip, ClipDecoder
from listenctl.protocol.jambonz_model.command_verdicts import (
    MAX_PLAYOUT_BYTES,
    TOO_MUCH_AUDIO,
    CommandOutcome,
    VerdictReason,
)
from listenctl.protocol.jambonz_model.mark_playout import PendingMark


@dataclass(slots=True)
class _Playing:
    clip: Clip
    from_queue: bool
    ticks_to_start: int
    position: int = 0

    @property
    def is_finished(self) -> bool:
        return not self.ticks_to_start and self.position >= len(self.clip.samples)


class ClipPlayout:
    """Play the clips of one call; whether killAudio may stop two is not verified (listenctl-protocol(7) 5.1)."""

    held = 0
    outstanding_marks: tuple[PendingMark, ...] = ()

    def __init__(self, reader: ClipDecoder, *, why_no_stream: VerdictReason, disabled: bool) -> None:
        self._reader = reader
        self._profile = reader.profile
        self._outbox = reader.outbox
        self._why_no_stream = why_no_stream  # reason of the verdict on binary audio and marks
        self._disabled = disabled
        self._ignored_audio = False
        # The last clip plays; the others were interrupted and go on after it.
        self._stack: list[_Playing] = []
        self._waiting: deque[Clip] = deque()
        # Whether the feature server starts the next clip of the queue when one from the queue has finished.
        self._serving_queue = False

    @property
    def buffered(self) -> int:
        playing = sum(len(one.clip.samples) - one.position for one in self._stack)
        return (playing + sum(len(clip.samples) for clip in self._waiting)) // SAMPLE_BYTES

    def play_clip(self, command: PlayAudio) -> None:
        crashes = self._profile.crashes_without_type and not isinstance(command.audio_content_type, str)
        if self._disabled and not crashes:
            self._outbox.add_verdict(CommandOutcome.IGNORED, VerdictReason.DISABLED, "bidirectional audio is disabled")
            return
        if self.buffered * SAMPLE_BYTES > MAX_PLAYOUT_BYTES and not crashes:
            self._outbox.add_verdict(CommandOutcome.IGNORED, VerdictReason.TOO_LONG, TOO_MUCH_AUDIO, wrong=False)
            return
        clip = self._reader.decode_clip(command)
        if self._profile.queues_always or _is_true(command.queue_play):
            if clip:
                self._queue_clip(clip)
            return
        # The feature server empties its queue before it notices that a clip has no file.
        self._empty_queue(
            VerdictReason.QUEUE_EMPTIED, "dropped before its turn by a clip without queuePlay", wrong=True
        )
        if clip:
            self._start_clip(clip, from_queue=False)
            self._serving_queue = False

    def kill_audio(self) -> None:
        """Stop the clip that plays; the interrupted or next one goes on at once."""
        if self._profile.kill_empties_queue:
            self._empty_queue(VerdictReason.KILLED, "stopped by killAudio before its turn")
        if not self._stack:
            self._outbox.add_verdict(CommandOutcome.OBEYED, VerdictReason.NOTHING_PLAYING, "nothing plays")
            return
        killed = self._stack.pop()
        played = killed.position // SAMPLE_BYTES
        self._outbox.add_message(killed.clip.play_done(self._profile.play_done, played=played, killed=True))
        sentence = f"stopped by killAudio after {played} samples"
        self._add_verdict(killed.clip, CommandOutcome.INTERRUPTED, VerdictReason.KILLED, sentence)
        self._start_next(killed)
        self._outbox.add_verdict(CommandOutcome.OBEYED, VerdictReason.NONE, "stops the clip that plays")

    def add_mark(self, name: str) -> None:  # noqa: ARG002 - every mark is ignored
        self._ignore("marks are never answered in this mode")

    def clear_marks(self) -> None:
        self._ignore("there are no marks in this mode")

    def take_audio(self, data: bytes, fragments: Sequence[int]) -> None:  # noqa: ARG002 - all audio is ignored
        """Ignore audio; report that once, not fifty times a second."""
        if not self._ignored_audio:
            self._ignore("binary audio is not played in this mode")
        self._ignored_audio = True

    def play_tick(self, samples: int) -> bytes:
        while self._stack and self._stack[-1].is_finished:
            self._finish_clip(self._stack.pop())
        if not self._stack:
            return b""
        playing = self._stack[-1]
        if playing.ticks_to_start:
            playing.ticks_to_start -= 1
            return b""
        audio = playing.clip.samples[playing.position : playing.position + samples * SAMPLE_BYTES]
        playing.position += len(audio)
        return audio

    def end_listen(self) -> None:
        """Report the clips that the end of the listen cuts off; jambonz sends nothing about them."""
        sentence = "cut off by the end of the listen"
        for playing in reversed(self._stack):
            self._add_verdict(playing.clip, CommandOutcome.INTERRUPTED, VerdictReason.ENDED, sentence)
        self._stack.clear()
        self._empty_queue(VerdictReason.ENDED, sentence)

    def _queue_clip(self, clip: Clip) -> None:
        waiting = len(self._waiting)
        if waiting >= self._profile.max_waiting:
            sentence = f"{waiting} clips are waiting already"
            self._add_verdict(clip, CommandOutcome.IGNORED, VerdictReason.QUEUE_FULL, sentence)
        elif self._serving_queue:
            self._waiting.append(clip)
            self._add_verdict(clip, CommandOutcome.QUEUED, VerdictReason.NONE, f"waits as number {waiting + 1}")
        else:
            self._serving_queue = True
            self._start_clip(clip, from_queue=True)

    def _start_clip(self, clip: Clip, *, from_queue: bool) -> None:
        if self._stack:
            sentence = "interrupts a clip that goes on afterwards; set queuePlay to queue it"
            self._add_verdict(clip, CommandOutcome.PLAYED, VerdictReason.ON_TOP, sentence)
        else:
            self._add_verdict(clip, CommandOutcome.PLAYED, VerdictReason.NONE, "plays")
        self._stack.append(_Playing(clip, from_queue, self._profile.start_ticks))

    def _finish_clip(self, finished: _Playing) -> None:
        played = finished.position // SAMPLE_BYTES
        self._outbox.add_message(finished.clip.play_done(self._profile.play_done, played=played, killed=False))
        sentence = f"played to its end, {played} samples"
        self._add_verdict(finished.clip, CommandOutcome.FINISHED, VerdictReason.NONE, sentence)
        self._start_next(finished)

    def _start_next(self, finished: _Playing) -> None:
        if not finished.from_queue:
            return
        if self._waiting:
            self._start_clip(self._waiting.popleft(), from_queue=True)
        else:
            self._serving_queue = False

    def _empty_queue(self, reason: VerdictReason, sentence: str, *, wrong: bool = False) -> None:
        for clip in self._waiting:
            self._add_verdict(clip, CommandOutcome.INTERRUPTED, reason, sentence, wrong=wrong)
        self._waiting.clear()

    def _add_verdict(
        self, clip: Clip, outcome: CommandOutcome, reason: VerdictReason, sentence: str, *, wrong: bool | None = None
    ) -> None:
        self._outbox.add_verdict(outcome, reason, sentence, wrong=wrong, command=clip.command)

    def _ignore(self, sentence: str) -> None:
        self._outbox.add_verdict(CommandOutcome.IGNORED, self._why_no_stream, sentence)


def _is_true(value: object) -> bool:
    """Return whether JavaScript takes a JSON value for true."""
    return value is not None and (bool(value) or isinstance(value, list | dict))
