"""Lines of a log on stderr: the events of `listenctl-events(5)` with a level, as text, logfmt or JSON."""

from enum import StrEnum

from listenctl.json_lines import ReportedEvent, json_line
from listenctl.terminal.event_lines import format_event_lines, level_of
from listenctl.terminal.printable_text import TextStyle


class LogFormat(StrEnum):
    TEXT = "text"
    LOGFMT = "logfmt"
    JSON = "json"


def format_log_line(report: ReportedEvent, log_format: LogFormat, style: TextStyle) -> str:
    """Return an event as one line, which nothing from a peer can break; in text, a traceback adds lines of its own."""
    if log_format is LogFormat.TEXT:
        return "\n".join(format_event_lines(report, style))
    head = {name: report[name] for name in ("v", "ts")} | {"level": level_of(report).name.lower()}
    fields = head | {name: value for name, value in report.items() if name not in head}
    if log_format is LogFormat.JSON:
        return json_line(fields)
    return " ".join(f"{name}={_logfmt_value(value)}" for name, value in fields.items() if value is not None)


def _logfmt_value(value: object) -> str:
    """Return a value of logfmt; a list or an object is its JSON."""
    text = value if isinstance(value, str) else json_line(value)
    bare = text and text.isprintable() and not set(text) & set(' "=\\')
    return text if bare else json_line(text)
