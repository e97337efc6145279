"""
One span for each call, described when the call has ended and its recording is finished.

Nothing in it names a caller, a digit or a file. The ids of jambonz have the names that jambonz gives them in its own
spans, so that one search finds both.
"""

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from listenctl.events import (
    CallEndedEvent,
    CallStartedEvent,
    CommandEvent,
    DtmfEvent,
    DtmfToneEvent,
    EventFields,
    GapEvent,
    MarkEvent,
    PlayDoneEvent,
    PlayedEvent,
    RecordingFailedEvent,
    RecordingSavedEvent,
    WarningEvent,
)
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.server.calls.live_call_log import LiveCallLog

if TYPE_CHECKING:
    from listenctl.server.server import ListenServer

MAX_EVENTS = 128
"""Events of a span, as many as OpenTelemetry's own limit; of more, the last ones are kept."""
MAX_UNFINISHED = 2000
"""Ended calls that wait for their recording; of more, the oldest don't."""
MAX_ATTRIBUTE_TEXT = 256

_SHOWN: Mapping[str, tuple[str, ...]] = {
    GapEvent.event: ("kind", "position", "time", "length", "missing"),
    MarkEvent.event: ("name", "result", "round_trip", "time"),
    PlayDoneEvent.event: ("id", "reason", "played_ms", "round_trip", "time"),
    PlayedEvent.event: ("mode", "outcome", "seconds"),
    CommandEvent.event: ("type", "id", "name", "time"),
    DtmfEvent.event: ("duration_ms", "time"),
    DtmfToneEvent.event: ("channel", "duration_ms", "time"),
    WarningEvent.event: ("rule", "time"),
    RecordingSavedEvent.event: ("format", "seconds", "bytes", "complete"),
    RecordingFailedEvent.event: (),
}
"""The fields of each event that a span shows."""
_TRACED = frozenset({CallStartedEvent.event, CallEndedEvent.event, *_SHOWN})
_TRACE_ID = re.compile("[0-9a-fA-F]{32}")

logger = logging.getLogger(__name__)

Attributes: TypeAlias = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    name: str
    at: float  # Unix time
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class CallSpan:
    trace_id: int  # of jambonz; 0 if it gave none
    start: float  # Unix time; so is ``end``
    end: float
    attributes: Attributes
    events: Sequence[SpanEvent]
    failure: str  # what certainly went wrong; empty if nothing did


@dataclass(slots=True)
class _TracedCall:
    log: LiveCallLog
    events: deque[SpanEvent] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    event_count: int = 0
    ended: CallEndedEvent | None = None
    saved: RecordingSavedEvent | None = None
    recording_failed: bool = False


class CallSpans:
    """Follow the events of a server's calls, and pass each span to ``send``."""

    def __init__(self, server: "ListenServer", send: Callable[[CallSpan], None]) -> None:
        self._server = server
        self._send = send
        self._live: dict[str, _TracedCall] = {}
        self._unfinished: dict[str, _TracedCall] = {}  # calls that have ended, oldest first
        server.reporter.add_counter(self._take_event, _TRACED)

    def finish_all(self) -> None:
        """Send the spans of all calls that have ended."""
        while self._unfinished:
            self._finish(next(iter(self._unfinished)))

    def _take_event(self, event: EventFields, call: str | None) -> None:
        if call is None:
            return
        try:
            if isinstance(event, CallStartedEvent):
                self._start_call(call)
            elif traced := self._live.get(call) or self._unfinished.get(call):
                self._add_event(call, traced, event)
        except Exception:
            # No call may end because of a fault here, or in the library that makes spans.
            logger.exception("a span failed unexpectedly")

    def _start_call(self, call: str) -> None:
        logs = (live.log for live in reversed(self._server.live))
        if log := next((log for log in logs if log is not None and log.id == call), None):
            self._live[call] = _TracedCall(log)

    def _add_event(self, call: str, traced: _TracedCall, event: EventFields) -> None:
        match event:
            case CallEndedEvent():
                traced.ended = event
                self._unfinished[call] = self._live.pop(call)
                if self._server.recorder is None:
                    self._finish(call)
                elif len(self._unfinished) > MAX_UNFINISHED:
                    self._finish(next(iter(self._unfinished)))
                return
            case RecordingSavedEvent():
                traced.saved = event
            case RecordingFailedEvent():
                traced.recording_failed = True
        traced.events.append(SpanEvent(event.event, self._server.unix_clock(), _shown_fields(event)))
        traced.event_count += 1
        if traced.ended is not None and isinstance(event, RecordingSavedEvent | RecordingFailedEvent):
            self._finish(call)

    def _finish(self, call: str) -> None:
        traced = self._unfinished.pop(call)
        log, ended = traced.log, traced.ended
        assert ended is not None
        assert log.ended_at is not None
        attributes = dict(_call_attributes(log, self._server.port)) | dict(_result_attributes(traced, ended))
        self._send(
            CallSpan(
                trace_id=trace_id_of(log.metadata),
                start=log.started_at,
                end=log.ended_at,
                attributes=attributes,
                events=[*traced.events],
                failure="; ".join(_failures(traced, ended)),
            )
        )


def trace_id_of(metadata: CallMetadata) -> int:
    """Return jambonz's id of the trace of a call; 0 without one, as from a jambonz that traces nothing."""
    text = metadata.trace_id or ""
    return int(text, 16) if _TRACE_ID.fullmatch(text) else 0


def _call_attributes(log: LiveCallLog, port: int) -> Iterator[tuple[str, str | int | float]]:
    for name in ("callSid", "parentCallSid", "accountSid", "applicationSid", "direction"):
        if isinstance(value := log.metadata.fields.get(name), str) and value:
            yield name, _attribute_text(value)
    yield "client.address", log.remote.rpartition(":")[0].strip("[]")
    yield "server.port", port
    yield "url.path", _attribute_text(log.target.partition("?")[0])
    yield "network.protocol.name", "websocket"
    yield "listenctl.call", _attribute_text(log.id)
    yield "listenctl.sample_rate", log.audio_format.sample_rate
    yield "listenctl.channels", log.audio_format.channels


def _result_attributes(traced: _TracedCall, ended: CallEndedEvent) -> Iterator[tuple[str, str | int | float]]:
    unrecorded = ended.unrecorded_samples if traced.saved is None else traced.saved.unrecorded_samples
    values: dict[str, str | int | float | None] = {
        "seconds": ended.seconds,
        "closed_by": ended.closed_by,
        "close_code": ended.close_code,
        "received_samples": ended.received_samples,
        "lost_samples": ended.lost_samples,
        "paused_samples": ended.paused_samples,
        "unrecorded_samples": unrecorded,
        "completeness": ended.completeness,
        "clock_drift_ppm": ended.clock_drift_ppm,
        "warnings": ended.warnings,
        "events_left_out": traced.event_count - len(traced.events),
    }
    yield from ((f"listenctl.{name}", value) for name, value in values.items() if value is not None)


def _failures(traced: _TracedCall, ended: CallEndedEvent) -> Iterator[str]:
    if ended.closed_by == "nobody":
        yield "the connection broke"
    if ended.lost_samples:
        yield "audio was lost"
    if traced.saved is not None and traced.saved.unrecorded_samples:
        yield "the recording lacks audio"
    elif traced.saved is None and traced.recording_failed:
        yield "the recording failed"


def _shown_fields(event: EventFields) -> Attributes:
    fields = event.serialize()
    values = ((name, fields.get(name)) for name in _SHOWN[event.event])
    return {
        name: _attribute_text(value) if isinstance(value, str) else value
        for name, value in values
        if isinstance(value, str | int | float)
    }


def _attribute_text(text: str) -> str:
    """Return the beginning of a text in UTF-8, which JSON of a peer need not be: it would fail a whole export."""
    return text[:MAX_ATTRIBUTE_TEXT].encode(errors="replace").decode()
