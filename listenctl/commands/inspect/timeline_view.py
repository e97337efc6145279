"""
The timeline of calls as text: a list, a ladder, or JSON lines.

A problem is often detected later than it happened, so the items of a captured call are printed when it has ended.
"""

from collections.abc import Callable, Sequence
from typing import assert_never

from listenctl.capture.capture_events import CapturedSession
from listenctl.commands.inspect.captured_sessions import is_call
from listenctl.commands.inspect.inspect_results import TimelineForm
from listenctl.commands.inspect.inspected_call_summary import SEVERITY_COLORS, heading_of
from listenctl.commands.inspect.timeline_items import ItemKind, TimelineItem
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.json_lines import JsonObject, json_line, timestamp
from listenctl.protocol.listen_session import Sender
from listenctl.terminal.printable_text import (
    TextStyle,
    cell_width,
    count_noun,
    format_exact_moment,
    format_size,
    printable,
)

_FRAME = 80
"""Columns of a ladder if the output is not a terminal; as in all such output, longer lines aren't cut."""
_MAX_TEXT = 400
_TIME = 17
_NAME = 7
_COLORS = {
    ItemKind.AUDIO: "2",
    ItemKind.PING: "2",
    ItemKind.PONG: "2",
    ItemKind.CLOSE: "1",
    ItemKind.LOST: "33",
}
_MARGIN = 2
_NARROWEST = 14
_SHAFT = 8
"""Columns of an arrow beside its text."""


def item_text(item: TimelineItem, stream_rate: int | None = None) -> str:
    """Return the text of an item, printable and bounded; ``stream_rate`` is that of the application's audio."""
    match item.kind:
        case ItemKind.TEXT | ItemKind.REQUEST | ItemKind.RESPONSE | ItemKind.EMPTY:
            text = item.text
        case ItemKind.AUDIO:
            text = (
                f"audio {_length(item, stream_rate)}in {count_noun(item.messages, 'message')}, {format_size(item.size)}"
            )
        case ItemKind.PROBLEM:
            assert item.violation
            text = f"{item.violation.severity} {item.violation.rule} ({item.violation.sender}): {item.text}"
        case kind:
            text = f"{kind} {item.text}".rstrip()
    trip = f"  (after {item.round_trip:.3f} s)" if item.round_trip is not None else ""
    return printable(text, _MAX_TEXT) + trip


def _length(item: TimelineItem, stream_rate: int | None) -> str:
    seconds = item.seconds
    if seconds is None and stream_rate:
        seconds = item.size / 2 / stream_rate
    return "" if seconds is None else f"{seconds:.2f} s "


def timeline_line(item: TimelineItem, style: TextStyle, columns: int | None, stream_rate: int | None = None) -> str:
    """Return an item as a line: time, direction, text."""
    arrow = _arrow(item, style)
    text = item_text(item, stream_rate)
    if item.kind is ItemKind.AUDIO and item.until is not None:
        text += f" until {format_exact_moment(item.until)}"
    line = f"{format_exact_moment(item.at).rjust(11)} {arrow} {text}"
    line = line if columns is None else style.cut(line, columns)
    return style.paint(style.encodable(line), _color(item))


def _arrow(item: TimelineItem, style: TextStyle) -> str:
    if item.kind is ItemKind.PROBLEM:
        return "             !"
    arrows = ("→", "←") if style.unicode else (">", "<")
    names = {Sender.JAMBONZ: f"jambonz     {arrows[0]}", Sender.APPLICATION: f"application {arrows[1]}"}
    return " " + (names[item.sender] if item.sender else " " * 13)


def _color(item: TimelineItem) -> str:
    return SEVERITY_COLORS[item.severity] if item.severity else _COLORS.get(item.kind, "")


def ladder_head(style: TextStyle, columns: int | None) -> str:
    room = _room(columns or _FRAME)
    return style.paint(f"{'':{_TIME - 1 - _NAME // 2}}jambonz{'application'.rjust(room - 2)}", "1")


def ladder_line(item: TimelineItem, style: TextStyle, columns: int | None, stream_rate: int | None = None) -> str:
    """
    Return an item as an arrow between the two sides, or a problem without an arrow.

    Args:
        columns: width of the line; None lets it be longer than others.
    """
    text = item_text(item, stream_rate)
    room = _room(columns) if columns is not None else max(_room(_FRAME), cell_width(text) + _SHAFT)
    border = "│" if style.unicode else "|"
    if item.kind is ItemKind.PROBLEM or item.sender is None:
        body = style.fit(f" ! {text}", room)
    else:
        body = _shaft(item, text, style, room)
    line = f"{format_exact_moment(item.at).rjust(_TIME - 3)}  {border}{style.paint(body, _color(item))}{border}"
    return style.encodable(line)


def _shaft(item: TimelineItem, text: str, style: TextStyle, room: int) -> str:
    stroke = (
        ("━" if item.kind is ItemKind.AUDIO else "─")
        if style.unicode
        else ("=" if item.kind is ItemKind.AUDIO else "-")
    )
    text = f" {style.cut(text, room - _SHAFT)} "
    rest = stroke * (room - cell_width(text) - 3)
    if item.sender is Sender.JAMBONZ:
        return f"{stroke * 2}{text}{rest}{'▶' if style.unicode else '>'}"
    return f"{'◀' if style.unicode else '<'}{stroke * 2}{text}{rest}"


def _room(columns: int) -> int:
    return max(_NARROWEST, columns - _TIME - _MARGIN)


def item_report(session: CapturedSession, item: TimelineItem) -> JsonObject:
    """Return an item as a JSON object (listenctl-inspect(1))."""
    violation = item.violation
    return {
        "v": 1,
        "source": session.source,
        "number": session.number,
        "time": round(item.at, 6),
        "ts": timestamp(session.began + item.at),
        "from": str(item.sender) if item.sender else None,
        "kind": str(item.kind),
        "text": item.text or None,
        "bytes": item.size,
        "packet": item.packet,
        "until": None if item.until is None else round(item.until, 6),
        "messages": item.messages or None,
        "seconds": None if item.seconds is None else round(item.seconds, 3),
        "round_trip": None if item.round_trip is None else round(item.round_trip, 3),
        "rule": violation.rule if violation else None,
        "severity": str(violation.severity) if violation else None,
        "culprit": str(violation.sender) if violation else None,
    }


def sort_items(items: Sequence[TimelineItem]) -> list[TimelineItem]:
    """Return items in order of time; a problem follows other items of the same time."""
    return sorted(items, key=lambda item: (round(item.at, 6), item.kind is ItemKind.PROBLEM))


MAX_HELD = 50_000
"""Items of one call that are kept until its end; a longer call is printed in parts."""

Write = Callable[[str], None]


class TimelinePrinter(CallObserver):
    """Print the items of a ``TimelineObserver``, which must be notified of the end of a call first."""

    def __init__(self, write: Write, form: TimelineForm, style: TextStyle, *, columns: int | None, live: bool) -> None:
        self._write = write  # called with each line
        self._form = form
        self._style = style
        self._columns = columns  # width of lines; None doesn't limit it
        self._live = live  # print immediately, with the number of the session before each line
        self._held: dict[CapturedSession, list[TimelineItem]] = {}
        self._begun: set[CapturedSession] = set()
        self._printed = 0

    def add_item(self, session: CapturedSession, item: TimelineItem) -> None:
        if session.is_listen is False:
            return
        if self._live:
            prefix = "" if self._form is TimelineForm.JSON else f"#{session.number} "
            self._write(prefix + self._line(session, item, None, len(prefix)))
            return
        held = self._held.setdefault(session, [])
        held.append(item)
        if len(held) >= MAX_HELD:
            self._print_heading(session, f"session {session.number} (long)")
            self._flush(session, None)

    def on_call_finished(self, session: CapturedSession, report: CallReport) -> None:
        if is_call(report) and session in self._held:
            self._print_heading(session, heading_of(report))
            self._flush(session, report.mode.stream_rate if report.mode else None)
        self._held.pop(session, None)
        self._begun.discard(session)

    def _print_heading(self, session: CapturedSession, text: str) -> None:
        if self._form is TimelineForm.JSON or session in self._begun:
            return
        self._begun.add(session)
        self._write(("\n" if self._printed else "") + self._style.paint(text, "1"))
        self._printed += 1
        if self._form is TimelineForm.LADDER:
            self._write(ladder_head(self._style, self._columns))

    def _flush(self, session: CapturedSession, stream_rate: int | None) -> None:
        for item in sort_items(self._held.pop(session)):
            self._write(self._line(session, item, stream_rate, 0))

    def _line(self, session: CapturedSession, item: TimelineItem, stream_rate: int | None, taken: int) -> str:
        columns = None if self._columns is None else self._columns - taken
        match self._form:
            case TimelineForm.JSON:
                return json_line(item_report(session, item))
            case TimelineForm.LADDER:
                return ladder_line(item, self._style, columns, stream_rate)
            case TimelineForm.TIMELINE:
                return timeline_line(item, self._style, columns, stream_rate)
        assert_never(self._form)
