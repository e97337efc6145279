"""Items of a call's story as lines: a timeline, a ladder, or JSON."""

from collections.abc import Sequence

from listenctl.capture.capture_events import CapturedSession
from listenctl.commands.inspect.call_narrative import Item, Kind
from listenctl.commands.inspect.inspect_text import SEVERITY_COLORS, count, exact_moment
from listenctl.json_lines import Report, timestamp
from listenctl.protocol.listen_session import Sender
from listenctl.terminal.printable_text import TextStyle, cell_width, format_size, printable

WIDTH = 100
"""Columns where the output is no terminal."""
_MAX_TEXT = 400
_TIME = 17
_NAME = 7
_COLORS = {Kind.AUDIO: "2", Kind.PING: "2", Kind.PONG: "2", Kind.CLOSE: "1", Kind.LOST: "33"}
_MARGIN = 2
_NARROWEST = 14


def words(item: Item, stream_rate: int | None = None) -> str:
    """Return what an item says, printable and bounded; ``stream_rate`` is that of the application's audio."""
    match item.kind:
        case Kind.TEXT | Kind.REQUEST | Kind.RESPONSE | Kind.EMPTY:
            text = item.text
        case Kind.AUDIO:
            text = f"audio {_length(item, stream_rate)}in {count(item.messages, 'message')}, {format_size(item.size)}"
        case Kind.PROBLEM:
            assert item.violation
            text = f"{item.violation.severity} {item.violation.rule} ({item.violation.sender}): {item.text}"
        case kind:
            text = f"{kind} {item.text}".rstrip()
    trip = f"  (after {item.round_trip:.3f} s)" if item.round_trip is not None else ""
    return printable(text, _MAX_TEXT) + trip


def _length(item: Item, stream_rate: int | None) -> str:
    seconds = item.seconds
    if seconds is None and stream_rate:
        seconds = item.size / 2 / stream_rate
    return "" if seconds is None else f"{seconds:.2f} s "


def timeline_line(item: Item, style: TextStyle, columns: int | None, stream_rate: int | None = None) -> str:
    """Return an item as a line: when, which way, what."""
    arrow = _arrow(item, style)
    text = words(item, stream_rate)
    if item.kind is Kind.AUDIO and item.until is not None:
        text += f" until {exact_moment(item.until)}"
    line = f"{exact_moment(item.at).rjust(11)} {arrow} {text}"
    line = line if columns is None else style.cut(line, columns)
    return style.paint(line if style.unicode else _ascii(line), _color(item))


def _arrow(item: Item, style: TextStyle) -> str:
    if item.kind is Kind.PROBLEM:
        return "             !"
    arrows = ("→", "←") if style.unicode else (">", "<")
    names = {Sender.JAMBONZ: f"jambonz     {arrows[0]}", Sender.APPLICATION: f"application {arrows[1]}"}
    return " " + (names[item.sender] if item.sender else " " * 13)


def _color(item: Item) -> str:
    return SEVERITY_COLORS[item.severity] if item.severity else _COLORS.get(item.kind, "")


def ladder_head(style: TextStyle, columns: int) -> str:
    """Return the line that names the two sides of a ladder."""
    room = _room(columns)
    return style.paint(f"{'':{_TIME - 1 - _NAME // 2}}jambonz{'application'.rjust(room - 2)}", "1")


def ladder_line(item: Item, style: TextStyle, columns: int, stream_rate: int | None = None) -> str:
    """Return an item as an arrow between the two sides; a problem stands between them."""
    room = _room(columns)
    post = "│" if style.unicode else "|"
    if item.kind is Kind.PROBLEM or item.sender is None:
        body = style.fit(f" ! {words(item)}", room)
    else:
        body = _shaft(item, style, room, stream_rate)
    line = f"{exact_moment(item.at).rjust(_TIME - 3)}  {post}{style.paint(body, _color(item))}{post}"
    return line if style.unicode else _ascii(line)


def _shaft(item: Item, style: TextStyle, room: int, stream_rate: int | None) -> str:
    stroke = ("━" if item.kind is Kind.AUDIO else "─") if style.unicode else ("=" if item.kind is Kind.AUDIO else "-")
    text = f" {style.cut(words(item, stream_rate), room - 8)} "
    rest = stroke * (room - cell_width(text) - 3)
    if item.sender is Sender.JAMBONZ:
        return f"{stroke * 2}{text}{rest}{'▶' if style.unicode else '>'}"
    return f"{'◀' if style.unicode else '<'}{stroke * 2}{text}{rest}"


def _room(columns: int) -> int:
    return max(_NARROWEST, columns - _TIME - _MARGIN)


def _ascii(text: str) -> str:
    return text.replace("…", "~").replace("→", ">").encode("ascii", "replace").decode()


def item_report(session: CapturedSession, item: Item) -> Report:
    """Return an item as it stands in the JSON lines of a timeline (`listenctl-inspect(1)`)."""
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


def in_order(items: Sequence[Item]) -> list[Item]:
    """Return items in order of time, problems behind what they are about."""
    return sorted(items, key=lambda item: (round(item.at, 6), item.kind is Kind.PROBLEM))
