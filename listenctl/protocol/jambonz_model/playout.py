"""How jambonz plays what an application sends (listenctl-protocol(7) 5, 6), in ticks of 20 ms of FreeSWITCH's clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from listenctl.protocol.application_commands import (
    ClearMarks,
    Command,
    Disconnect,
    KillAudio,
    MarkCommand,
    PlayAudio,
    UnknownCommand,
    parse_command,
)
from listenctl.protocol.audio import SAMPLE_BYTES, ResamplerFactory, add_wrapping
from listenctl.protocol.jambonz_messages import Mark, PlayDone
from listenctl.protocol.jambonz_model.clip_decoder import ClipDecoder, WavReader
from listenctl.protocol.jambonz_model.clip_playout import ClipPlayout
from listenctl.protocol.jambonz_model.command_verdicts import CommandOutcome, PlayoutOutbox, Verdict, VerdictReason
from listenctl.protocol.jambonz_model.profiles import CURRENT, Profile
from listenctl.protocol.jambonz_model.stream_playout import ExactStream, MediaServerStream, StreamPlayout
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio

TICKS_PER_SECOND = 50
MAX_FRAGMENTED_BYTES = 665_600
"""jambonz loses longer texts in fragments; one in a single frame has no limit (listenctl-protocol(7) 5.1)."""
_BUFFER_STEP = 8192

_UNKNOWN = {
    None: (VerdictReason.NO_JSON, "is not JSON"),
    "json": (VerdictReason.NO_TYPE, "has no string `type`"),
    "playAudio": (VerdictReason.NO_DATA, "a playAudio without an object as its `data`"),
    "mark": (VerdictReason.NO_NAME, "a mark without a string as the `name` in its `data`"),
    "transcription": (VerdictReason.NO_EFFECT, "nothing in jambonz listens to it"),
    "transfer": (VerdictReason.NO_EFFECT, "nothing in jambonz listens to it"),
}


@dataclass(frozen=True, slots=True)
class PlayoutTick:
    """20 ms of a call: what the caller heard, at the call's rate, and what jambonz sends to the application."""

    audio: bytes
    messages: tuple[Mark | PlayDone, ...]
    verdicts: tuple[Verdict, ...]


class Playout:
    """Play what one application sends; each verdict names its message, numbered from 1 over texts and audio."""

    def __init__(
        self,
        profile: Profile = CURRENT,
        option: BidirectionalAudio | None = None,
        *,
        call_rate: int = 8000,
        resampler: ResamplerFactory,
        wav_reader: WavReader,
    ) -> None:
        option = option or BidirectionalAudio()
        self.profile = profile
        self.call_rate = call_rate  # sample rate of the call itself: 8000 for G.711, 16000 for G.722
        self._outbox = PlayoutOutbox()
        self._sample_rate = option.sample_rate or call_rate
        # Whether binary audio is played; otherwise clips are.
        self.streams = _streams(profile, option)
        self._ticks = 0
        self._finished = False
        self._mode: StreamPlayout | ClipPlayout
        if self.streams:
            kind = ExactStream if profile.exact_stream else MediaServerStream
            stream = kind(self._sample_rate, call_rate, resampler)
            self._mode = StreamPlayout(stream, self._outbox, sample_rate=self._sample_rate, call_rate=call_rate)
        else:
            reader = ClipDecoder(profile, call_rate, resampler, wav_reader, self._outbox)
            disabled = profile.streams and not option.enabled
            self._mode = ClipPlayout(reader, why_no_stream=_why_no_stream(profile, option), disabled=disabled)

    @property
    def time(self) -> float:
        return self._ticks / TICKS_PER_SECOND

    @property
    def tick_samples(self) -> int:
        """Samples of the next tick; at 11025 Hz the number alternates."""
        return (self._ticks + 1) * self.call_rate // TICKS_PER_SECOND - self._ticks * self.call_rate // TICKS_PER_SECOND

    @property
    def message_number(self) -> int:
        return self._outbox.number

    @property
    def buffered(self) -> float:
        """Seconds of audio that will play even if nothing more is sent."""
        return self._mode.buffered / self.call_rate

    @property
    def held(self) -> float:
        """Seconds of audio that will only play if more is sent (listenctl-protocol(7) 6.2)."""
        return self._mode.held / self._sample_rate

    @property
    def outstanding_marks(self) -> tuple[str, ...]:
        return tuple(mark.name for mark in self._mode.outstanding_marks)

    def take_text(self, raw: bytes, *, fragments: Sequence[int] = ()) -> tuple[Verdict, ...]:
        """Take a text; ``fragments`` is the bytes of each frame if it came in several."""
        if _outgrow_buffer(fragments):
            self._report_lost(len(raw))
            return self._outbox.take_verdicts()
        return self.take_command(parse_command(raw))

    def take_command(self, command: Command) -> tuple[Verdict, ...]:
        self._outbox.number += 1
        match command:
            case PlayAudio():
                self._mode.play_clip(command)
            case KillAudio():
                self._mode.kill_audio()
            case MarkCommand() | ClearMarks() if not self.profile.streams:
                sentence = f"the profile {self.profile.name} has no marks"
                self._outbox.add_verdict(CommandOutcome.IGNORED, VerdictReason.UNSUPPORTED, sentence)
            case MarkCommand(name=name):
                self._mode.add_mark(name)
            case ClearMarks():
                self._mode.clear_marks()
            case Disconnect():
                sentence = "jambonz closes the connection with 1000"
                self._outbox.add_verdict(CommandOutcome.OBEYED, VerdictReason.NONE, sentence)
            case UnknownCommand():
                self._report_unknown(command)
        return self._outbox.take_verdicts()

    def take_audio(self, data: bytes, *, fragments: Sequence[int] = ()) -> tuple[Verdict, ...]:
        """Take a binary message, with ``fragments`` as in ``take_text``; an empty one is ignored."""
        if data:
            self._outbox.number += 1
            self._mode.take_audio(data, fragments)
        return self._outbox.take_verdicts()

    def play_tick(self, beneath: bytes = b"") -> PlayoutTick:
        """Play 20 ms; a stream is added to the call's other audio ``beneath``, a clip replaces it."""
        size = self.tick_samples * SAMPLE_BYTES
        audio = b"" if self._finished else self._mode.play_tick(self.tick_samples)
        if audio:
            audio = audio.ljust(size, b"\0")
        if audio and beneath and self.streams:
            audio = add_wrapping(beneath, audio)
        self._ticks += 1
        heard = audio or beneath or bytes(size)
        return PlayoutTick(heard, self._outbox.take_messages(), self._outbox.take_verdicts())

    def end_listen(self) -> tuple[Verdict, ...]:
        self._finished = True
        self._mode.end_listen()
        return self._outbox.take_verdicts()

    def _report_unknown(self, command: UnknownCommand) -> None:
        if command.type == "error":
            sentence = "ends the verb, while the connection stays open and audio goes on; send disconnect instead"
            self._outbox.add_verdict(CommandOutcome.MISREAD, VerdictReason.ENDS_VERB_ONLY, sentence)
        elif command.type in _UNKNOWN:
            self._outbox.add_verdict(CommandOutcome.IGNORED, *_UNKNOWN[command.type])
        else:
            self._report_unknown_type(command.type or "")

    def _report_unknown_type(self, kind: str) -> None:
        sentence = f"jambonz knows no type {kind[:40]!r}"
        self._outbox.add_verdict(CommandOutcome.IGNORED, VerdictReason.UNKNOWN_TYPE, sentence)

    def _report_lost(self, size: int) -> None:
        self._outbox.number += 1
        sentence = f"lost: {size} bytes in fragments, for which the buffer is too small; use a single frame"
        self._outbox.add_verdict(CommandOutcome.IGNORED, VerdictReason.FRAGMENTS_TOO_LONG, sentence)


def _outgrow_buffer(fragments: Sequence[int]) -> bool:
    """Return whether a text is too long for its buffer: as large as the first frame, it grows in steps to a limit."""
    steps = math.ceil(sum(fragments[1:]) / _BUFFER_STEP)
    return steps > 0 and fragments[0] + steps * _BUFFER_STEP > MAX_FRAGMENTED_BYTES


def _streams(profile: Profile, option: BidirectionalAudio) -> bool:
    enabled = option.enabled or not profile.honours_enabled
    return profile.streams and enabled and option.streaming and bool(option.sample_rate)


def _why_no_stream(profile: Profile, option: BidirectionalAudio) -> VerdictReason:
    if not profile.streams:
        return VerdictReason.UNSUPPORTED
    enabled = option.enabled or not profile.honours_enabled
    return VerdictReason.NOT_STREAMING if enabled else VerdictReason.DISABLED
