"""
Events and listings: what listenctl reports to other programs, one JSON object each (`listenctl-events(5)`).

Each kind of event is a frozen dataclass whose fields are the fields of its JSON; `Reporter` adds what all events have.
Our names are snake_case; objects from the wire stand in them unchanged. Lengths and positions are samples per channel,
times are seconds. A field that is ``ABSENT`` does not appear in the JSON.
"""

import json
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from typing import ClassVar, Literal, Self, TypedDict, TypeVar, Unpack, dataclass_transform

from listenctl.json_lines import MAX_TEXT, PARTY_NAMES, VERSION, JsonObject, timestamp
from listenctl.protocol.application_commands import Command, MarkCommand, PlainCommand, PlayAudio, UnknownCommand
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.gaps.gap import Gap
from listenctl.protocol.jambonz_messages import Dtmf, JambonzMessage, Mark, PlayDone, SessionSummary, UnknownMessage

T = TypeVar("T")

MAX_MESSAGE_TEXT = 16 * 1024
"""Characters of a text of jambonz that are reported; all that it sends is far shorter."""

Sink = Callable[[JsonObject], None]
Counter = Callable[["EventFields", str | None], None]
Forward = Callable[["EventFields", float | None, "CallIdentity"], None]


class Absent(Enum):
    ABSENT = "absent"


ABSENT: Literal[Absent.ABSENT] = Absent.ABSENT


class Place(TypedDict, total=False):
    """Where in a call's audio something happened: samples per channel, and the same in seconds."""

    position: int
    time: float


class CallIdentity(TypedDict, total=False):
    """Which call an event is about; ``trace_id`` is the one that jambonz gave it."""

    call: str | None
    call_sid: str | None
    trace_id: str | None


class Completeness(TypedDict):
    """How much of a call's audio there is; ``completeness`` and ``complete`` are None while the call lasts."""

    received_samples: int
    lost_samples: int
    paused_samples: int
    unrecorded_samples: int
    completeness: float | None
    complete: bool | None
    clock_drift_ppm: int | None


@dataclass_transform(kw_only_default=True, frozen_default=True)
def json_object(cls: type[T]) -> type[T]:
    """
    Make a class a dataclass whose fields are those of a JSON object.

    Type checkers take it for frozen. At run time it is not, and has no other methods than it needs: generating those of
    all frozen dataclasses here takes 25 ms at start-up, these take 6 ms.
    """
    return dataclass(kw_only=True, eq=False, repr=False, match_args=False)(cls)


@json_object
class EventFields:
    event: ClassVar[str]

    def serialize(self) -> JsonObject:
        names = _names_of(type(self))  # type: ignore[arg-type] # a class has a hash, whatever its instances have
        return {shown: value for name, shown in names if (value := getattr(self, name)) is not ABSENT}


@json_object
class PlacedEvent(EventFields):
    """An event that has a place in the call's audio: ``position`` in samples per channel, and the same in seconds."""

    position: int | Absent = ABSENT
    time: float | Absent = ABSENT

    def serialize(self) -> JsonObject:
        report = EventFields.serialize(self)
        place = {name: report.pop(name) for name in ("position", "time") if name in report}
        return report | place


@cache
def _names_of(kind: type[EventFields]) -> list[tuple[str, str]]:
    """Return the name of each field, and its name in JSON."""
    return [(field.name, PARTY_NAMES.get(field.name, field.name)) for field in fields(kind)]


class Parties(TypedDict):
    """Who calls whom, from the metadata; None where they lack it or have something else."""

    caller: str | None
    callee: str | None
    direction: str | None


def parties_of(metadata: CallMetadata) -> Parties:
    caller, callee, direction = metadata.caller, metadata.callee, metadata.direction
    return Parties(
        caller=caller and caller[:MAX_TEXT],
        callee=callee and callee[:MAX_TEXT],
        direction=direction and direction[:MAX_TEXT],
    )


@json_object
class ServerStartedEvent(EventFields):
    event: ClassVar[str] = "server-started"
    url: str
    host: str
    port: int
    path: str | None
    tls: bool
    auth: bool
    max_calls: int
    recording: bool
    upstream: str | None
    control: str | None
    admin: str | None


@json_object
class ServerEndedEvent(EventFields):
    """
    ``lost_seconds`` did not arrive, ``unrecorded_seconds`` arrived but are not in the recordings, and programs of
    ``--exec`` did not read ``unread_seconds``.
    """

    event: ClassVar[str] = "server-ended"
    calls: int
    complete_calls: int
    lost_seconds: float
    unrecorded_seconds: float
    unread_seconds: float


@json_object
class CallStartedEvent(EventFields):
    """``metadata_valid`` is None where no metadata came."""

    event: ClassVar[str] = "call-started"
    caller: str | None
    callee: str | None
    direction: str | None
    remote: str
    target: str
    subprotocol: str | None
    upstream: str | None
    sample_rate: int
    channels: int
    mix_type: str | None
    metadata: Mapping[str, object]
    metadata_valid: bool | None


@json_object
class SimulatedCallStartedEvent(EventFields):
    event: ClassVar[str] = "call-started"
    url: str
    kind: str
    profile: str
    sample_rate: int
    channels: int
    mix_type: str
    streaming: bool
    stream_rate: int | None
    metadata: Mapping[str, object]
    metadata_valid: bool


@json_object
class DtmfEvent(PlacedEvent):
    """``duration`` is the wire's own value."""

    event: ClassVar[str] = "dtmf"
    digit: str
    duration_ms: float | None
    duration: object


@json_object
class DtmfToneEvent(PlacedEvent):
    event: ClassVar[str] = "dtmf-tone"
    digit: str
    channel: int
    duration_ms: float


@json_object
class MarkEvent(PlacedEvent):
    """``round_trip`` is seconds from the command to the answer, None where no command is known."""

    event: ClassVar[str] = "mark"
    name: str
    result: str
    round_trip: float | Absent | None = ABSENT


@json_object
class PlayDoneEvent(PlacedEvent):
    event: ClassVar[str] = "play-done"
    id: object
    reason: str | None
    played_ms: float | None
    round_trip: float | Absent | None = ABSENT


@json_object
class MessageEvent(PlacedEvent):
    """Any other text of jambonz: ``data`` of a session summary, ``text`` of what is unknown."""

    event: ClassVar[str] = "message"
    type: str | None
    data: Mapping[str, object] | Absent = ABSENT
    text: str | Absent = ABSENT
    text_length: int | Absent = ABSENT  # characters of a text of which only the beginning is reported


@json_object
class CommandEvent(PlacedEvent):
    """A command of the application; its clip's size replaces the audio."""

    event: ClassVar[str] = "command"
    type: object
    id: object = ABSENT
    audio_content_type: object = ABSENT
    sample_rate: object = ABSENT
    queue_play: object = ABSENT
    content_size: int | Absent | None = ABSENT
    name: object = ABSENT
    text: str | Absent = ABSENT

    @classmethod
    def of(cls, command: Command, **place: Unpack[Place]) -> Self:
        match command:
            case PlayAudio():
                content = command.audio_content
                return cls(
                    type=command.type,
                    id=_bounded(command.id),
                    audio_content_type=_bounded(command.audio_content_type),
                    sample_rate=_bounded(command.sample_rate),
                    queue_play=_bounded(command.queue_play),
                    content_size=len(content) if isinstance(content, str) else None,
                    **place,
                )
            case MarkCommand():
                return cls(type=command.type, name=_bounded(command.name), **place)
            case PlainCommand():
                return cls(type=command.type, **place)
            case UnknownCommand():
                return cls(type=_bounded(command.type), text=command.text[:MAX_TEXT], **place)


def _bounded_text(value: str) -> str:
    return value[:MAX_TEXT]


def _bounded(value: object) -> object:
    """Return a value of the wire, or the beginning of it as JSON where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= MAX_TEXT else text[:MAX_TEXT]


def message_event(
    message: JambonzMessage, *, round_trip: float | Absent | None = ABSENT, **place: Unpack[Place]
) -> DtmfEvent | MarkEvent | PlayDoneEvent | MessageEvent:
    """Return the event of a text from jambonz; only answers to commands have a ``round_trip``."""
    if isinstance(round_trip, float):
        round_trip = round(round_trip, 3)
    match message:
        case Dtmf(digit=digit, duration=duration):
            return DtmfEvent(digit=digit, duration_ms=message.duration_ms, duration=_bounded(duration), **place)
        case Mark(name=name):
            return MarkEvent(
                name=_bounded_text(name), result=_bounded_text(message.event), round_trip=round_trip, **place
            )
        case PlayDone(reason=reason):
            return PlayDoneEvent(
                id=_bounded(message.id),
                reason=None if reason is None else _bounded_text(reason),
                played_ms=message.duration_ms,
                round_trip=round_trip,
                **place,
            )
        case SessionSummary():
            return MessageEvent(type="session:summary", data=dict(message.data), **place)
        case UnknownMessage():
            kind, text = message.type, message.text
            return MessageEvent(
                type=None if kind is None else _bounded_text(kind),
                text=text[:MAX_MESSAGE_TEXT],
                text_length=ABSENT if len(text) <= MAX_MESSAGE_TEXT else len(text),
                **place,
            )


@json_object
class LevelsEvent(EventFields):
    """One object of ``peak_db``, ``rms_db`` and ``clipped`` for each channel."""

    event: ClassVar[str] = "levels"
    position: int
    time: float
    channels: Sequence[Mapping[str, object]]


@json_object
class GapEvent(EventFields):
    """Missing or late audio; a simulated call knows its gaps exactly and reports no uncertainty."""

    event: ClassVar[str] = "gap"
    kind: str
    position: int
    time: float
    length: float
    missing: int
    resolution: float | Absent = ABSENT
    position_uncertainty: int | Absent = ABSENT
    at_least: bool | Absent = ABSENT

    @classmethod
    def of(cls, gap: Gap, sample_rate: int, *, position: int | None = None) -> Self:
        """Return the event of a gap, at ``position`` where that differs from the position in the call."""
        place = gap.position if position is None else position
        return cls(
            kind=str(gap.kind),
            position=place,
            time=round(place / sample_rate, 3),
            length=round(gap.length, 3),
            missing=gap.missing,
            resolution=round(gap.resolution, 3),
            position_uncertainty=gap.position_uncertainty,
            at_least=gap.at_least,
        )


@json_object
class WarningEvent(PlacedEvent):
    """``calls`` is the number of live calls that a stopping server closes, or waits for."""

    event: ClassVar[str] = "warning"
    rule: str
    detail: str
    calls: int | Absent = ABSENT


@json_object
class LogEvent(EventFields):
    """A record of Python's logging, from listenctl itself or a library; only logs on stderr have it."""

    event: ClassVar[str] = "log"
    level: str
    logger: str
    detail: str
    exception: str | None


@json_object
class PlayedEvent(EventFields):
    event: ClassVar[str] = "played"
    source: str
    mode: str | None
    sample_rate: int | None
    known_by: str | None
    outcome: str
    evidence: str | None
    seconds: float
    detail: str


@json_object
class ExecStartedEvent(EventFields):
    event: ClassVar[str] = "exec-started"
    command: str
    pid: int


@json_object
class ExecSaidEvent(EventFields):
    event: ClassVar[str] = "exec-said"
    pid: int
    line: str


@json_object
class ExecFailedEvent(EventFields):
    event: ClassVar[str] = "exec-failed"
    command: str
    reason: str


@json_object
class ExecEndedEvent(EventFields):
    """``spoken_seconds`` is audio that the program played, what was dropped it was too slow to read."""

    event: ClassVar[str] = "exec-ended"
    pid: int
    status: int | None
    signal: str | None
    seconds: float
    spoken_seconds: float
    dropped_samples: int
    dropped_seconds: float
    dropped_lines: int


@json_object
class ConnectionRefusedEvent(EventFields):
    event: ClassVar[str] = "connection-refused"
    remote: str
    target: str | None
    status: int
    reason: str
    limit: str | None


@json_object
class RecordingSavedEvent(EventFields):
    event: ClassVar[str] = "recording-saved"
    path: str
    paths: Sequence[str]
    sidecar: str | None
    format: str
    samples: int
    seconds: float
    bytes: int
    lost_samples: int
    unrecorded_samples: int
    complete: bool | None
    warnings: Sequence[str]
    url: str | Absent = ABSENT
    urls: Sequence[str] | Absent = ABSENT
    sidecar_url: str | Absent = ABSENT


@json_object
class RecordingFailedEvent(EventFields):
    event: ClassVar[str] = "recording-failed"
    path: str
    reason: str


@json_object
class RecordingDeletedEvent(EventFields):
    """``reason`` is ``age`` or ``bytes``, the limit that the recording exceeded."""

    event: ClassVar[str] = "recording-deleted"
    path: str
    paths: Sequence[str]
    sidecar: str
    bytes: int
    ended: str
    reason: str


@json_object
class DumpSavedEvent(EventFields):
    event: ClassVar[str] = "dump-saved"
    path: str
    frames: int
    bytes: int
    lost_frames: int


@json_object
class DumpFailedEvent(EventFields):
    event: ClassVar[str] = "dump-failed"
    path: str
    reason: str


@json_object
class CallEndedEvent(EventFields):
    event: ClassVar[str] = "call-ended"
    caller: str | None
    callee: str | None
    direction: str | None
    duration: float
    seconds: float
    close_code: int | None
    close_reason: str
    closed_by: str
    warnings: int
    received_samples: int
    lost_samples: int
    paused_samples: int
    unrecorded_samples: int
    completeness: float | None
    complete: bool | None
    clock_drift_ppm: int | None


@json_object
class SimulatedCallEndedEvent(EventFields):
    """``taken`` is whether the server has everything that was sent and the connection ended in order."""

    event: ClassVar[str] = "call-ended"
    seconds: float
    samples: int
    frames: int
    duration: float
    cause: str
    closed_by: str
    close_code: int | None
    close_reason: str
    detail: str
    lost_samples: int
    stalled_samples: int
    lateness_ms: Mapping[str, object] | None
    commands: int
    received_audio_bytes: int
    received_audio_messages: int
    wrong: int
    digits: str
    taken: bool


@json_object
class ConnectedEvent(EventFields):
    event: ClassVar[str] = "connected"
    url: str
    remote: str
    subprotocol: str | None
    handshake_ms: Mapping[str, float]
    redirects: Sequence[str]
    tls: bool


@json_object
class CallFailedEvent(EventFields):
    event: ClassVar[str] = "call-failed"
    url: str
    detail: str


@json_object
class FaultEvent(EventFields):
    event: ClassVar[str] = "fault"
    name: str
    value: str
    detail: str
    time: float


@json_object
class VerdictEvent(EventFields):
    """What jambonz makes of message ``number`` of the server."""

    event: ClassVar[str] = "verdict"
    number: int
    command: str
    outcome: str
    reason: str
    detail: str
    advice: str
    wrong: bool
    time: float


@json_object
class ActionHookEvent(EventFields):
    event: ClassVar[str] = "action-hook"
    url: str
    status: int | None
    detail: str


def describe_event(event: EventFields, at: float, **about: Unpack[CallIdentity]) -> JsonObject:
    """Return the JSON object of an event at a Unix time, with the fields of all events."""
    call_sid, trace_id = about.get("call_sid"), about.get("trace_id")
    head: JsonObject = {
        "v": VERSION,
        "ts": timestamp(at),
        "event": event.event,
        "call": about.get("call"),
        "call_sid": call_sid and _bounded_text(call_sid),
        "trace_id": trace_id and _bounded_text(trace_id),
    }
    return head | event.serialize()


class Reporter:
    """Give each event, completed with the fields of all events, to every sink that wants its kind."""

    def __init__(self, *sinks: Sink, clock: Callable[[], float] = time.time, forward: Forward | None = None) -> None:
        self._forward = forward  # gets every event, its Unix time or None if it is counted only, and its call
        self._sinks: list[tuple[Sink, Container[str] | None]] = [(sink, None) for sink in sinks]
        self._counters: list[tuple[Counter, Container[str]]] = []
        self._clock = clock

    def add_sink(self, sink: Sink, kinds: Container[str] | None = None) -> None:
        self._sinks.append((sink, kinds))

    def add_counter(self, counter: Counter, kinds: Container[str]) -> None:
        """Call ``counter`` with events of these kinds and the call of each; without a sink they never become JSON."""
        self._counters.append((counter, kinds))

    def remove_sink(self, sink: Sink) -> None:
        self._sinks = [(other, kinds) for other, kinds in self._sinks if other is not sink]

    def wants(self, event: str) -> bool:
        """Return whether any sink wants ``event``; a caller may save itself the work of describing it."""
        return (
            self._forward is not None or self._reaches_sink(event) or any(event in kinds for _, kinds in self._counters)
        )

    def count(self, event: EventFields, call: str | None = None) -> None:
        """Give an event to the counters only."""
        self._count(event, call)
        if self._forward is not None:
            self._forward(event, None, {"call": call})

    def emit(self, event: EventFields, **about: Unpack[CallIdentity]) -> None:
        self.pass_on(event, self._clock(), about)

    def pass_on(self, event: EventFields, at: float, about: CallIdentity) -> None:
        """Report an event that happened at a Unix time, such as one of another process."""
        self._count(event, about.get("call"))
        if self._forward is not None:
            self._forward(event, at, about)
        if not self._reaches_sink(event.event):
            return
        report = describe_event(event, at, **about)
        for sink, kinds in self._sinks:
            if kinds is None or event.event in kinds:
                sink(report)

    def _count(self, event: EventFields, call: str | None) -> None:
        for counter, counted in self._counters:
            if event.event in counted:
                counter(event, call)

    def _reaches_sink(self, event: str) -> bool:
        return any(kinds is None or event in kinds for _, kinds in self._sinks)
