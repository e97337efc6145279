"""
One listen conversation, in any role: takes what each side sent and when, returns events.

A server passes what jambonz sent, a simulator what the application sent, an inspector both. ``receive_message`` never
raises because of a peer: the peer's faults are events.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from listenctl.protocol.application_commands import ClearMarks, Command, MarkCommand, PlayAudio, parse_command
from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat, SampleAssembler
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.frames.websocket_messages import BinaryMessages, ReceivedMessage, TextMessage
from listenctl.protocol.gaps.gap import Gap
from listenctl.protocol.gaps.gap_ledger import GapLedger
from listenctl.protocol.jambonz_messages import JambonzMessage, Mark, PlayDone, parse_texts

# Audio before the metadata is held until they arrive; beyond these limits the call starts with the defaults.
MAX_HELD_BYTES = 4 * 1024 * 1024
MAX_HELD_MESSAGES = 10_000
# Commands whose answers are awaited; jambonz keeps far fewer marks, and answers none of the others.
MAX_OUTSTANDING = 1000
MAX_OUTSTANDING_OF_NAME = 100
MAX_NAME = 1024


AudioRead: TypeAlias = tuple[float, int]
"""When audio messages were read together, and how many."""


class Sender(StrEnum):
    """The sender of a message: the media server, or the application that it connects to."""

    JAMBONZ = "jambonz"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The audio format is known, from the metadata or by default; audio follows."""

    metadata: CallMetadata
    audio_format: AudioFormat


@dataclass(frozen=True, slots=True)
class MetadataArrived:
    """Metadata that arrived after the call had started without; ``audio_format`` is valid for the whole call."""

    metadata: CallMetadata
    audio_format: AudioFormat


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """Whole sample frames from jambonz; ``position`` is the number of samples per channel before them."""

    position: int
    data: bytes


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A text from jambonz after the first one."""

    position: int
    message: JambonzMessage
    round_trip: float | None = None
    """Seconds since the command that a mark or playDone answers, None without such a command."""


@dataclass(frozen=True, slots=True)
class CommandSent:
    position: int
    command: Command


@dataclass(frozen=True, slots=True)
class AudioSent:
    data: bytes
    fragments: Sequence[int] = ()  # as in ``BinaryMessages``


@dataclass(frozen=True, slots=True)
class GapFound:
    gap: Gap


@dataclass(frozen=True, slots=True)
class FlushRequested:
    """An empty binary message: the media server shuts down and won't close the call (listenctl-protocol(7) 13)."""

    position: int


@dataclass(frozen=True, slots=True)
class ProtocolViolation:
    """Something that a peer must not send, and how it was handled."""

    position: int
    rule: str
    detail: str


SessionEvent = (
    CallStarted
    | MetadataArrived
    | AudioReceived
    | MessageReceived
    | CommandSent
    | AudioSent
    | GapFound
    | FlushRequested
    | ProtocolViolation
)


class ListenSession:
    """Follow one listen conversation."""

    def __init__(self, *, started_at: float, default_format: AudioFormat) -> None:
        self._started_at = started_at  # time of the opening handshake, on the clock of all other times
        self._default_format = default_format  # of the audio where the metadata don't say
        self._held: list[tuple[float, BinaryMessages]] = []
        self._held_bytes = 0
        self._outstanding_marks: dict[str, deque[float]] = {}
        self._outstanding_clips: dict[str, float] = {}
        self.metadata: CallMetadata | None = None
        self.audio_format = default_format
        self.ledger = GapLedger(default_format, started_at)
        self._assembler = SampleAssembler(default_format.frame_bytes)
        self._measured_rate: int | None = None
        self.position = 0

    @property
    def started(self) -> bool:
        return self.metadata is not None

    @property
    def holds_audio(self) -> bool:
        """Whether audio has arrived that waits for the start of the call."""
        return bool(self._held)

    def receive_message(self, sender: Sender, message: ReceivedMessage, at: float) -> Sequence[SessionEvent]:
        if isinstance(message, BinaryMessages):
            if sender is Sender.APPLICATION:
                return (AudioSent(message.data, message.fragments),)
            return self._take_audio(message) if self.started else self._hold_audio(message, at)
        if isinstance(message, TextMessage):
            if sender is Sender.APPLICATION:
                return self.receive_command(parse_command(message.data), at)
            return self._take_text(message.data, at)
        return ()

    def receive_command(self, command: Command, at: float) -> Sequence[SessionEvent]:
        match command:
            case MarkCommand(name=name):
                if len(name) <= MAX_NAME:
                    self._outstanding_marks.setdefault(name, deque(maxlen=MAX_OUTSTANDING_OF_NAME)).append(at)
                    _forget_oldest(self._outstanding_marks)
            case ClearMarks():
                self._outstanding_marks.clear()
            case PlayAudio():
                self._outstanding_clips[str(command.id)[:MAX_NAME]] = at
                _forget_oldest(self._outstanding_clips)
        return (CommandSent(self.position, command),)

    def take_samples(self, audio: BinaryMessages) -> tuple[int, bytes]:
        """
        Take audio that is not empty, of a call that has started, as ``receive_message`` does, without an event.

        Returns the samples per channel before it, and its whole sample frames.
        """
        self.ledger.add_messages(audio.message_bytes, audio.messages)
        return self._assemble_samples(audio.data)

    def receive_audio_reads(self, audio: BinaryMessages, reads: Sequence[AudioRead]) -> Sequence[SessionEvent]:
        """
        Take messages of jambonz from several reads, after the start of the call.

        The events are those of ``receive_message`` and ``find_gaps`` for each read, but audio without a gap is joined.
        """
        events: list[SessionEvent] = []
        begin = end = 0
        for at, messages in reads:
            self.ledger.add_messages(audio.message_bytes, messages)
            end += messages * audio.message_bytes
            gaps = self.ledger.find_gaps(at)
            if gaps or end == len(audio.data) or self.ledger.measured_rate != self._measured_rate:
                position, data = self._assemble_samples(audio.data[begin:end])
                if data:
                    events.append(AudioReceived(position, data))
                events += self._gap_events(gaps)
                begin = end
        return events

    def receive_audio_run(self, before: float, times: Sequence[float], size: int) -> int:
        """
        Take audio messages of one size in whole sample frames while they cause no gap; return how many were taken.

        Args:
            before: time of the last message before these.
        """
        frame_bytes = self.audio_format.frame_bytes
        if not self.started or self._assembler.rest or size % frame_bytes:
            return 0
        taken = self.ledger.add_audio_run(before, times, size)
        self.position += taken * (size // frame_bytes)
        return taken

    def start_with_defaults(self, at: float) -> Sequence[SessionEvent]:
        if self.started:
            return ()
        default = self._default_format
        assumed = f"{default.sample_rate} Hz, {default.channels} channel{'s' * (default.channels > 1)}"
        detail = f"no metadata arrived in {at - self._started_at:.1f} s; assuming {assumed}"
        started = self._start(CallMetadata.missing(), default)
        return [started, ProtocolViolation(0, "no-metadata", detail), *self._release_held_audio()]

    def find_gaps(self, at: float) -> Sequence[SessionEvent]:
        """Return the new gaps; everything that had arrived by ``at`` must have been passed before."""
        return self._gap_events(self.ledger.find_gaps(at))

    def end_call(self, at: float | None) -> Sequence[SessionEvent]:
        """Return the events of the end of the call; ``at`` is None if nobody knows when the connection broke."""
        events = list(self.start_with_defaults(self._started_at if at is None else at)) if self._held else []
        events += [GapFound(gap) for gap in self.ledger.end_call(at)]
        if self.ledger.measured_rate != self._measured_rate:
            events.append(self._take_measured_rate())
        if rest := self._assembler.rest:
            detail = f"the audio ended within a sample; {len(rest)} bytes were dropped"
            events.append(ProtocolViolation(self.position, "half-sample", detail))
        return events

    def _gap_events(self, gaps: Sequence[Gap]) -> Sequence[SessionEvent]:
        if self.ledger.measured_rate != self._measured_rate:
            return [self._take_measured_rate(), *map(GapFound, gaps)]
        return [GapFound(gap) for gap in gaps] if gaps else ()

    def _take_measured_rate(self) -> ProtocolViolation:
        measured, rate = self.ledger.measured_rate, self.audio_format.sample_rate
        self._measured_rate = measured
        if self.metadata is None or self.metadata.sample_rate is None:
            return ProtocolViolation(
                self.position, "rate-assumed", f"the audio arrives at {measured} Hz; {rate} Hz was assumed"
            )
        detail = f"the audio is declared as {rate} Hz but arrives at {measured} Hz"
        return ProtocolViolation(self.position, "format-wrong", detail)

    def _take_audio(self, audio: BinaryMessages) -> Sequence[SessionEvent]:
        if not audio.message_bytes:
            self.ledger.expect_end()
            return (FlushRequested(self.position),)
        position, data = self.take_samples(audio)
        return (AudioReceived(position, data),) if data else ()

    def _assemble_samples(self, data: bytes) -> tuple[int, bytes]:
        samples = self._assembler.feed(data)
        position = self.position
        self.position += len(samples) // self._assembler.frame_bytes
        return position, samples

    def _hold_audio(self, audio: BinaryMessages, at: float) -> Sequence[SessionEvent]:
        self._held.append((at, audio))
        self._held_bytes += len(audio.data)
        full = self._held_bytes > MAX_HELD_BYTES or len(self._held) > MAX_HELD_MESSAGES
        return self.start_with_defaults(at) if full else ()

    def _start(self, metadata: CallMetadata, audio_format: AudioFormat) -> CallStarted:
        self.metadata = metadata
        self.audio_format = audio_format
        self.ledger = GapLedger(audio_format, self._started_at)
        self._assembler = SampleAssembler(audio_format.frame_bytes)
        return CallStarted(metadata, audio_format)

    def _release_held_audio(self) -> list[SessionEvent]:
        held, self._held = self._held, []
        events: list[SessionEvent] = []
        for at, read in groupby(held, key=itemgetter(0)):
            for _, audio in read:
                events += self._take_audio(audio)
            events += self.find_gaps(at)
        return events

    def _take_text(self, raw: bytes, at: float) -> Sequence[SessionEvent]:
        # Metadata come first, or late after the call has started with the defaults; any other text is a message.
        if self.metadata is None or not self.metadata.fields:
            metadata = CallMetadata.parse(raw)
            if not metadata.is_message and (self.metadata is None or metadata.call_sid):
                return self._take_metadata(metadata, at)
        started = self.start_with_defaults(at)
        return [*started, *self._take_messages(raw, at)]

    def _take_metadata(self, metadata: CallMetadata, at: float) -> Sequence[SessionEvent]:
        audio_format, faults = _audio_format_of(metadata, self.audio_format)
        events: list[SessionEvent] = []
        events += (
            self._take_late_metadata(metadata, audio_format) if self.started else [self._start(metadata, audio_format)]
        )
        details = (*metadata.repairs, *faults)
        events += [ProtocolViolation(self.position, "first-frame", detail) for detail in details]
        events += self._release_held_audio()
        return [*events, *self._take_messages(metadata.rest, at)] if metadata.rest else events

    def _take_late_metadata(self, metadata: CallMetadata, audio_format: AudioFormat) -> list[SessionEvent]:
        """Take metadata that arrived after the defaults were assumed; the same bytes may now mean another position."""
        if audio_format != self.audio_format:
            received = self.position * self.audio_format.frame_bytes
            self.ledger.change_format(audio_format)
            self._measured_rate = None
            self._assembler.frame_bytes = audio_format.frame_bytes
            self.position = received // audio_format.frame_bytes
            self.audio_format = audio_format
        self.metadata = metadata
        detail = "the metadata arrived after the call had started without them"
        return [MetadataArrived(metadata, audio_format), ProtocolViolation(self.position, "late-metadata", detail)]

    def _take_messages(self, raw: bytes, at: float) -> list[SessionEvent]:
        return [MessageReceived(self.position, message, self._round_trip(message, at)) for message in parse_texts(raw)]

    def _round_trip(self, message: JambonzMessage, at: float) -> float | None:
        match message:
            case Mark(name=name) if name in self._outstanding_marks:
                sent = self._outstanding_marks[name]
                round_trip = at - sent.popleft()
                if not sent:
                    del self._outstanding_marks[name]
                return round_trip
            case PlayDone(id=clip) if (name := str(clip)[:MAX_NAME]) in self._outstanding_clips:
                return at - self._outstanding_clips.pop(name)
        return None


def _forget_oldest(outstanding: dict[str, deque[float]] | dict[str, float]) -> None:
    if len(outstanding) > MAX_OUTSTANDING:
        del outstanding[next(iter(outstanding))]


def _audio_format_of(metadata: CallMetadata, default: AudioFormat) -> tuple[AudioFormat, list[str]]:
    faults = []
    audio_format = default
    if metadata.sample_rate is None:
        faults.append(f"no usable sampleRate; assuming {default.sample_rate}")
    else:
        audio_format = replace(audio_format, sample_rate=metadata.sample_rate)
    if metadata.is_member_tap:
        audio_format = replace(audio_format, channels=1)
    elif metadata.mix_type is None:
        faults.append(f"no usable mixType; assuming {default.channels} channel{'s' * (default.channels > 1)}")
    else:
        audio_format = replace(audio_format, channels=MIX_CHANNELS[metadata.mix_type])
    return audio_format, faults
