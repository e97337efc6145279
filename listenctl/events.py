"""
What listenctl tells the world: events as objects, exactly as they stand in JSON lines (`listenctl-events(5)`).

Our names are snake_case; objects from the wire stand in them unchanged.
"""

import json
import time
from collections.abc import Callable, Container
from datetime import UTC, datetime
from typing import TypeAlias

from listenctl.protocol.application_commands import (
    ClearMarks,
    Command,
    Disconnect,
    KillAudio,
    MarkCommand,
    PlayAudio,
    UnknownCommand,
)
from listenctl.protocol.gaps.gap_ledger import Gap
from listenctl.protocol.jambonz_messages import Dtmf, JambonzMessage, Mark, PlayDone, SessionSummary, UnknownMessage

VERSION = 1
MAX_TEXT = 1000
"""Characters that are reported of something in a command of an application."""

# The begin of year 1 and the end of year 9999, which is what RFC 3339 can write; a damaged capture has others.
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0

Report: TypeAlias = dict[str, object]
Sink = Callable[[Report], None]


def moment(at: float) -> datetime:
    """Return a Unix time in UTC; what lies beyond the calendar becomes the first or last that is in it."""
    return datetime.fromtimestamp(min(max(at, _FIRST), _LAST), UTC)


def timestamp(at: float) -> str:
    """Return a Unix time as RFC 3339 in UTC with milliseconds."""
    return moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_line(report: Report) -> str:
    """Return one event as a JSON line; lone surrogates from the wire are escaped."""
    return json.dumps(report, ensure_ascii=False).encode(errors="backslashreplace").decode()


class Reporter:
    """Hand each event, with what all events have, to every sink that wants it."""

    def __init__(self, *sinks: Sink, clock: Callable[[], float] = time.time) -> None:
        self._sinks: list[tuple[Sink, Container[str] | None]] = [(sink, None) for sink in sinks]
        self._clock = clock

    def add(self, sink: Sink, kinds: Container[str] | None = None) -> None:
        """Hand events to ``sink`` too; only those whose names are in ``kinds``, if that is given."""
        self._sinks.append((sink, kinds))

    def remove(self, sink: Sink) -> None:
        """Hand ``sink`` nothing any more."""
        self._sinks = [(other, kinds) for other, kinds in self._sinks if other is not sink]

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


def describe_command(command: Command) -> Report:
    """Return the fields of what an application asked of jambonz; of a clip its size stands for its audio."""
    match command:
        case PlayAudio():
            content = command.audio_content
            return {
                "type": "playAudio",
                "id": _bounded(command.id),
                "audio_content_type": _bounded(command.audio_content_type),
                "sample_rate": _bounded(command.sample_rate),
                "queue_play": _bounded(command.queue_play),
                "content_size": len(content) if isinstance(content, str) else None,
            }
        case MarkCommand():
            return {"type": "mark", "name": _bounded(command.name)}
        case KillAudio():
            return {"type": "killAudio"}
        case ClearMarks():
            return {"type": "clearMarks"}
        case Disconnect():
            return {"type": "disconnect"}
        case UnknownCommand():
            return {"type": _bounded(command.type), "text": command.text[:MAX_TEXT]}


def _bounded(value: object) -> object:
    """Return a value of the wire, or the begin of it as JSON where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= MAX_TEXT else text[:MAX_TEXT]


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
