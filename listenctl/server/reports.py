"""
What a server tells the world: events as objects, exactly as they stand in JSON lines (`listenctl-events(5)`).

Our names are snake_case; objects from the wire stand in them unchanged.
"""

import time
from collections.abc import Callable, Container
from datetime import UTC, datetime
from typing import TypeAlias

from listenctl.protocol.ledger import Gap
from listenctl.protocol.messages import Dtmf, JambonzMessage, Mark, PlayDone, SessionSummary, UnknownMessage
from listenctl.server.calls import CallLog

VERSION = 1

Report: TypeAlias = dict[str, object]
Sink = Callable[[Report], None]


def timestamp(at: float) -> str:
    """Return a Unix time as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Reporter:
    """Hand each event, with what all events have, to every sink that wants it."""

    def __init__(self, *sinks: Sink, clock: Callable[[], float] = time.time) -> None:
        self._sinks: list[tuple[Sink, Container[str] | None]] = [(sink, None) for sink in sinks]
        self._clock = clock

    def add(self, sink: Sink, kinds: Container[str] | None = None) -> None:
        """Hand events to ``sink`` too; only those whose names are in ``kinds``, if that is given."""
        self._sinks.append((sink, kinds))

    def wants(self, event: str) -> bool:
        """Tell whether anybody wants ``event``, so that nobody describes it in vain."""
        return any(kinds is None or event in kinds for _, kinds in self._sinks)

    def emit(self, event: str, fields: Report, *, call: str | None = None, call_sid: str | None = None) -> None:
        """Report ``event``; ``call`` is the id of the connection."""
        if not self.wants(event):
            return
        head: Report = {"v": VERSION, "ts": timestamp(self._clock()), "event": event}
        report = head | {"call": call, "call_sid": call_sid} | fields
        for sink, kinds in self._sinks:
            if kinds is None or event in kinds:
                sink(report)


def describe_message(message: JambonzMessage) -> tuple[str, Report]:
    """Return the kind of event that a text from jambonz becomes, and its fields."""
    match message:
        case Dtmf():
            duration = message.duration_ms
            return "dtmf", {"digit": message.digit, "duration_ms": duration, "duration": message.duration}
        case Mark():
            return "mark", {"name": message.name, "result": message.event}
        case PlayDone():
            return "play-done", {"id": message.id, "reason": message.reason, "played_ms": message.duration_ms}
        case SessionSummary():
            return "message", {"type": "session:summary", "data": dict(message.data)}
        case UnknownMessage():
            return "message", {"type": message.type, "text": message.text}


def describe_gap(gap: Gap, sample_rate: int) -> Report:
    """Return the fields of a gap; positions and lengths in samples per channel and in seconds."""
    return {
        "kind": str(gap.kind),
        "position": gap.position,
        "time": round(gap.position / sample_rate, 3),
        "length": round(gap.length, 3),
        "missing": gap.missing,
        "resolution": round(gap.resolution, 3),
        "position_uncertainty": gap.position_uncertainty,
        "at_least": gap.at_least,
    }


def describe_completeness(log: CallLog, unrecorded_samples: int = 0) -> Report:
    """Return how much of a call's audio there is, in samples per channel; whether it is all only when it has ended."""
    drift = log.ledger.clock_drift()
    sent = log.samples + log.lost_samples
    share = round((log.samples - unrecorded_samples) / sent, 6) if sent else 1.0
    ended = log.ended_at is not None
    return {
        "received_samples": log.samples,
        "lost_samples": log.lost_samples,
        "paused_samples": log.ledger.paused_samples,
        "unrecorded_samples": unrecorded_samples,
        "completeness": share if ended else None,
        "complete": not log.lost_samples and not unrecorded_samples if ended else None,
        "clock_drift_ppm": None if drift is None else round(drift * 1e6),
    }
