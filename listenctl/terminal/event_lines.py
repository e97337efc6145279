"""Events as text: one line each, for stderr."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import IntEnum
from typing import NamedTuple

from listenctl.json_lines import ReportedEvent
from listenctl.terminal.printable_text import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    TextStyle,
    count_noun,
    format_moment,
    format_rate,
    format_seconds,
    format_size,
    printable,
)

_MAX_TEXT = 200
_MAX_PARTY = 24
_NORMAL_CLOSE = 1000
_CAUSES = {
    "audio-failed": "the caller's audio failed",
    "audio-over": "the caller's audio ended",
    "duration": "--duration passed",
    "max-length": "maxLength passed",
    "silence-timeout": "the verb's silence timeout",
    "finish-on-key": "finishOnKey was pressed",
    "disconnect": "the server sent disconnect",
    "hung-up": "the user hung up",
}
# The exit status is 1 then; the detail of the connection says more, if there is one.
_NOT_IN_ORDER = "not an orderly end"


def describe_end(ended: ReportedEvent) -> str:
    """Return how a call ended, from its ``call-ended`` event."""
    who = _who(ended)
    detail = printable(str(ended["detail"] or ""), _MAX_TEXT)
    if detail and ended["close_code"] is None:
        # The detail says everything: the connection broke, or the server left without a Close.
        return f"{who}; {detail}" if ended["closed_by"] == "jambonz" else detail
    wrong = detail or ("" if ended["taken"] or ended["closed_by"] == "nobody" else _NOT_IN_ORDER)
    return f"{who}; {wrong}" if wrong else who


def _who(ended: ReportedEvent) -> str:
    match ended["closed_by"]:
        case "nobody":
            return "the connection broke"
        case "server":
            return f"closed by the server{_code(ended)}"
    why = _CAUSES.get(ended["cause"], "")
    # Our usual code says nothing.
    code = "" if ended["close_code"] == _NORMAL_CLOSE else _code(ended)
    return f"we hung up{code}{f': {why}' if why else ''}"


def _code(ended: ReportedEvent) -> str:
    if ended["close_code"] is None:
        return ""
    reason = f" {printable(ended['close_reason'], _MAX_TEXT)!r}" if ended["close_reason"] else ""
    return f" ({ended['close_code']}{reason})"


_MAX_ID = 40
# The ids of jambonz, with our suffix for several listens on one call; their first group tells calls apart.
_UUID = re.compile(r"([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(~\d+)?", re.IGNORECASE)


def format_event(report: ReportedEvent, style: TextStyle) -> str:
    """Return an event as one line; text from the wire is escaped."""
    event = report["event"]
    kind = _KINDS.get(event)
    text = printable(kind.describe(report) if kind else "", _MAX_TEXT)
    text = style.paint(text, RED) if is_wrong_verdict(report) else text
    call = printable(short_call_id(report["call"] or ""), _MAX_ID)
    words = [_clock_time(report["ts"]), style.paint(event, _color(report)), style.paint(call, DIM), text]
    line = " ".join(word for word in words if word)
    return style.encodable(line)


def format_event_lines(report: ReportedEvent, style: TextStyle) -> list[str]:
    """Return an event as one line; the lines of a traceback follow, indented so that none can pose as an event."""
    traceback = str(report.get("exception") or "").splitlines()
    return [format_event(report, style), *(f"    {style.encodable(printable(line, _MAX_TEXT))}" for line in traceback)]


def is_wrong_verdict(report: ReportedEvent) -> bool:
    """Return whether an event is a verdict on a command that jambonz doesn't execute as intended."""
    return report["event"] == "verdict" and bool(report["wrong"])


def is_lasting(report: ReportedEvent) -> bool:
    """Return whether an event gets a line that stays above the live view of a call."""
    return report["event"] in LASTING_EVENTS or is_wrong_verdict(report)


def _color(report: ReportedEvent) -> str:
    if is_wrong_verdict(report):
        return RED
    if report["event"] == "action-hook" and not _succeeded(report["status"]):
        return YELLOW
    if report["event"] == "log":
        return _LEVEL_COLORS.get(level_of(report), BOLD)
    kind = _KINDS.get(report["event"])
    return kind.color if kind else BOLD


def _succeeded(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def short_call_id(call: str) -> str:
    """Return the first group of an id of jambonz; any other id is returned whole."""
    return f"{uuid[1]}…{uuid[2] or ''}" if (uuid := _UUID.fullmatch(call)) else call


def _clock_time(timestamp: str) -> str:
    at = datetime.fromisoformat(timestamp).astimezone()
    return f"{at:%H:%M:%S}.{at.astimezone(UTC).microsecond // 100000}"


def _server_started(report: ReportedEvent) -> str:
    doing = "recording calls" if report["recording"] else "accepting calls"
    relaying = f" → {report['upstream']}" if report.get("upstream") else ""
    return f"{doing} at {report['url']}{relaying}"


def _server_ended(report: ReportedEvent) -> str:
    if not report["calls"]:
        return "no calls"
    missing = report["lost_seconds"] + report["unrecorded_seconds"]
    parts = [count_noun(report["calls"], "call"), f"{report['complete_calls']} complete"]
    parts += [f"{format_seconds(missing)} missing"] if missing else []
    unread = report["unread_seconds"]
    parts += [f"{format_seconds(unread)} not read by the programs"] if unread else []
    return ", ".join(parts)


def _call_started(report: ReportedEvent) -> str:
    metadata = report["metadata"] or {}
    parties = f"{metadata.get('from', 'unknown')} → {metadata.get('to', 'unknown')}"
    mix = report["mix_type"] or ("stereo" if report["channels"] == 2 else "mono")
    call = f"{parties}, {format_rate(report['sample_rate'])} {mix}"
    if "remote" in report:
        return f"{call}, from {report['remote']}"
    plays = f"plays a stream at {format_rate(report['stream_rate'])}" if report["streaming"] else "plays clips"
    return f"{call}, {report['kind']} call, {report['profile']} jambonz, {plays}"


def _connected(report: ReportedEvent) -> str:
    took = report["handshake_ms"]
    parts = [f"{name} {took[name]:.0f} ms" for name in ("connect", "tls", "upgrade") if took.get(name)]
    detail = f" ({', '.join(parts)})" if parts else ""
    redirects = f", redirected to {', '.join(report['redirects'])}" if report["redirects"] else ""
    subprotocol = f", {report['subprotocol']}" if report["subprotocol"] else ", no subprotocol"
    return f"{report['url']} at {report['remote']}{subprotocol}, in {took['total']:.0f} ms{detail}{redirects}"


def _dtmf_tone(report: ReportedEvent) -> str:
    return f"{report['digit']} detected on channel {report['channel']} at {format_moment(report['time'])}"


def _play_done(report: ReportedEvent) -> str:
    # Our own events have a time; those that a server receives need only the id.
    words = [_id(report["id"])]
    if "time" in report:
        words += [str(report["reason"] or ""), f"at {format_moment(report['time'])}"]
    return " ".join(word for word in words if word)


def _id(value: object) -> str:
    """Return the id of a clip: a string unchanged, anything else as JSON."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _verdict(report: ReportedEvent) -> str:
    reason = f" ({report['reason']})" if report["reason"] else ""
    detail = f": {report['detail']}" if report["detail"] else ""
    number = f" #{report['number']}" if report["number"] else ""
    return f"{report['command']}{number}: {report['outcome']}{reason}{detail}"


def _fault(report: ReportedEvent) -> str:
    value = f"={report['value']}" if report["value"] else ""
    detail = f": {report['detail']}" if report["detail"] else ""
    return f"{report['name']}{value} at {format_moment(report['time'] or 0.0)}{detail}"


def _action_hook(report: ReportedEvent) -> str:
    said = [str(report["status"]) if report["status"] is not None else "", report["detail"] or ""]
    return f"{report['url']}: {' '.join(word for word in said if word) or 'no answer'}"


_GAPS_OF_OURS = {
    "unknown": ("possible loss", "the server was too busy to read"),
    "refused": ("refused audio", "its message is longer than --max-message, or incomplete"),
}


def _gap(report: ReportedEvent) -> str:
    least = "at least " if report.get("at_least") else ""
    kind, why = _GAPS_OF_OURS.get(report["kind"], (report["kind"], ""))
    gap = f"{kind} of {least}{report['length']:.2f} s at {format_moment(report['time'])}"
    return f"{gap}: {why}" if why else gap


def _levels(report: ReportedEvent) -> str:
    levels = ", ".join(f"{channel['rms_db']:.1f} dB" for channel in report["channels"])
    return f"{levels} at {format_moment(report['time'])}"


def _log(report: ReportedEvent) -> str:
    return f"{report['logger']}: {report['detail']}"


def _failed_file(report: ReportedEvent) -> str:
    return f"{report['path'] or ''}: {report['reason']}"


def _command(report: ReportedEvent) -> str:
    if report["type"] == "playAudio":
        size = report["content_size"]
        form = [_id(report["audio_content_type"]), format_size(size * 3 // 4) if size is not None else "no audio"]
        words = [_id(report["id"]), *form, "" if report["queue_play"] is True else "at once"]
    else:
        words = [str(report.get("name") or report.get("text") or "")]
    return " ".join(word for word in ["application:", report["type"] or "", *words] if word)


def _recording_saved(report: ReportedEvent) -> str:
    whole = "complete" if report["complete"] else "NOT complete"
    size = format_size(report["bytes"])
    places = report.get("urls") or report["paths"]
    saved = f"{', '.join(places)}: {report['seconds']:.2f} s, {size}, {whole}"
    return "; ".join([saved, *report["warnings"]])


def _dump_saved(report: ReportedEvent) -> str:
    lost = f", {report['lost_frames']} frames NOT in it" if report["lost_frames"] else ""
    return f"{report['path']}: {report['frames']} frames, {format_size(report['bytes'])}{lost}"


# The handshake and the end of a call take less.
_SHORT = 1.0


def _call_ended(report: ReportedEvent) -> str:
    """Return who called, how long, and what is wrong; the end of a good call fits into 80 columns."""
    seconds, duration = report["seconds"], report["duration"]
    lasted = format_seconds(seconds)
    parts = [_far_party(report)]
    parts.append(lasted if duration - seconds < _SHORT else f"{lasted} of audio in {format_seconds(duration)}")
    parts += [f"{_missing_seconds(report, report['lost_samples'])} lost"] if report["lost_samples"] else []
    said = ", ".join(part for part in parts if part)
    # Only our own calls have this field.
    if "taken" in report:
        return f"{said}; {describe_end(report)}"
    usual = (report["closed_by"], report["close_code"], report["close_reason"]) == ("jambonz", _NORMAL_CLOSE, "")
    return said if usual else f"{said}; {_closed(report)}"


def _far_party(report: ReportedEvent) -> str:
    """Return the party that isn't ours: the callee of an outbound call, else the caller."""
    party = report.get("to" if report.get("direction") == "outbound" else "from")
    return printable(str(party), _MAX_PARTY) if party else ""


def _missing_seconds(report: ReportedEvent, samples: int) -> str:
    received = report.get("received_samples") or report.get("samples")
    return format_seconds(samples * report["seconds"] / received) if received else f"{samples} samples"


def _exec_ended(report: ReportedEvent) -> str:
    how = f"ended by {report['signal']}" if report["signal"] else f"ended with status {report['status']}"
    spoke = f"played {report['spoken_seconds']:.2f} s of audio" if report["spoken_seconds"] else "played nothing"
    missed = f", missed {report['dropped_samples']} samples" if report["dropped_samples"] else ""
    return f"{how} after {report['seconds']:.2f} s, {spoke}{missed}"


def _played(report: ReportedEvent) -> str:
    by = f" (by the {report['evidence']})" if report["evidence"] == "clock" else ""
    detail = f": {report['detail']}" if report["detail"] else ""
    return f"{report['source']}: {report['outcome']}{by}, {report['seconds']:.2f} s{detail}"


def _closed(report: ReportedEvent) -> str:
    words = {"nobody": "the connection broke", "application": "closed by the application"}
    by = words.get(report["closed_by"], f"closed by {report['closed_by']}")
    reason = f" {report['close_reason']!r}" if report["close_reason"] else ""
    code = f" ({report['close_code']}{reason})" if report["close_code"] is not None else ""
    return f"{by}{code}"


class LogLevel(IntEnum):
    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


_LEVEL_COLORS = {LogLevel.WARNING: YELLOW, LogLevel.ERROR: RED}


class _Kind(NamedTuple):
    """
    How events of a kind are printed.

    One that is ``lasting`` stays true after the call and is printed above live meters. What a peer ``repeats`` as often
    as it likes gets a limited number of lines.
    """

    describe: Callable[[ReportedEvent], str]
    level: LogLevel = LogLevel.INFO
    lasting: bool = False
    repeats: bool = False
    success: bool = False

    @property
    def color(self) -> str:
        return GREEN if self.success else _LEVEL_COLORS.get(self.level, BOLD)


_KINDS = {
    "server-started": _Kind(_server_started),
    "server-ended": _Kind(_server_ended, lasting=True),
    "call-started": _Kind(_call_started),
    "levels": _Kind(_levels, LogLevel.DEBUG),
    "dtmf": _Kind(lambda report: f"{report['digit']} at {format_moment(report['time'])}", repeats=True),
    "dtmf-tone": _Kind(_dtmf_tone, repeats=True),
    "mark": _Kind(lambda report: f"{report['name']} {report['result']}", repeats=True),
    "play-done": _Kind(_play_done, repeats=True),
    "message": _Kind(lambda report: str(report.get("text") or report["type"]), repeats=True),
    "gap": _Kind(_gap, LogLevel.WARNING, lasting=True, repeats=True),
    "warning": _Kind(lambda report: report["detail"], LogLevel.WARNING, lasting=True, repeats=True),
    "connection-refused": _Kind(
        lambda report: f"{report['remote']}: {report['status']} {report['reason']}",
        LogLevel.WARNING,
        lasting=True,
        repeats=True,
    ),
    "recording-saved": _Kind(_recording_saved, lasting=True, success=True),
    "recording-failed": _Kind(_failed_file, LogLevel.ERROR, lasting=True),
    "recording-deleted": _Kind(
        lambda report: f"{report['path']}, {report['bytes']} bytes, because of its {report['reason']}"
    ),
    "dump-saved": _Kind(_dump_saved, lasting=True, success=True),
    "dump-failed": _Kind(_failed_file, LogLevel.ERROR, lasting=True),
    "call-ended": _Kind(_call_ended, lasting=True),
    "command": _Kind(_command, repeats=True),
    "played": _Kind(_played),
    "exec-started": _Kind(lambda report: f"{report['command']}, process {report['pid']}"),
    "exec-said": _Kind(lambda report: f"{report['pid']}: {report['line']}", lasting=True),
    "exec-failed": _Kind(lambda report: f"{report['command']}: {report['reason']}", LogLevel.ERROR, lasting=True),
    "exec-ended": _Kind(_exec_ended, lasting=True),
    "connected": _Kind(_connected, lasting=True),
    "verdict": _Kind(_verdict),
    "fault": _Kind(_fault, LogLevel.WARNING, lasting=True),
    "action-hook": _Kind(_action_hook, lasting=True),
    "log": _Kind(_log, lasting=True),
}
LOGGED_EVENTS = frozenset(_KINDS)
PRINTED_EVENTS = frozenset(name for name, kind in _KINDS.items() if kind.level > LogLevel.DEBUG and name != "log")
LASTING_EVENTS = frozenset(name for name, kind in _KINDS.items() if kind.lasting)
REPEATED_EVENTS = frozenset(name for name, kind in _KINDS.items() if kind.repeats)
"""Events that a peer causes as often as it likes."""


def events_from(level: LogLevel) -> frozenset[str]:
    """Return the events of this level and above."""
    return frozenset(name for name, kind in _KINDS.items() if kind.level >= level)


def level_of(report: ReportedEvent) -> LogLevel:
    """Return the level of an event; a record of Python's logging has its own."""
    kind = _KINDS.get(report["event"])
    return LogLevel[report["level"].upper()] if "level" in report else kind.level if kind else LogLevel.INFO
