"""
The live view of a server: totals and the URL on top, below them one row for each call.

``render`` makes lines out of a view and does nothing else; ``MeterScreen`` puts them on a terminal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, TextIO

from listenctl.terminal.level_meter import ChannelLevel, draw_bars
from listenctl.terminal.printable_text import Look, byte_size, cells, duration, sample_rate, short_seconds
from listenctl.terminal.screen import Screen

CallState = Literal["live", "paused", "ending", "waiting"]

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"

_STATE_COLORS: dict[CallState, str] = {"live": GREEN, "paused": YELLOW, "ending": DIM, "waiting": DIM}
_STATE_TEXTS: dict[CallState, str] = {"paused": "paused", "ending": "ending", "waiting": "no audio yet"}
_MAX_PARTY = 24
_MAX_LEVEL = 60
# The level keeps this much when long names want the row.
_LEVEL_SHARE = 13


@dataclass(frozen=True, slots=True)
class CallView:
    """
    One call as its row shows it.

    ``started`` is on the clock that ``render`` gets as ``now``; the time shown counts from there unless ``duration``
    is given. ``recording`` is the path of the file, empty when the call isn't recorded.
    """

    id: str
    started: float
    caller: str = ""
    callee: str = ""
    sample_rate: int = 0
    mix_type: str = ""
    duration: float | None = None
    channels: tuple[ChannelLevel, ...] = ()
    last_dtmf: str = ""
    gap_seconds: float = 0.0
    state: CallState = "live"
    recording: str = ""
    warnings: int = 0


@dataclass(frozen=True, slots=True)
class ServerView:
    """A server and its calls at one moment; ``title`` says what it does, ``url`` goes into the ``listen`` verb."""

    url: str
    title: str = ""
    calls_live: int = 0
    calls_total: int = 0
    calls_failed: int = 0
    gap_seconds: float = 0.0
    recorded_bytes: int = 0
    recorded_seconds: float = 0.0
    calls: Sequence[CallView] = ()


def render(
    view: ServerView, size: tuple[int, int], now: float, *, color: bool = True, unicode: bool = True
) -> list[str]:
    """Draw ``view`` as lines, none longer than the columns and no more than the rows of ``size``."""
    columns, rows = size
    look = Look(color=color, unicode=unicode)
    head = [_address(view, columns, look), _totals(view, columns, look)]
    body = _table(view.calls, (columns, rows - len(head)), now, look) if view.calls else _waiting(view, columns, look)
    return (head + body)[: max(0, rows)]


def _address(view: ServerView, columns: int, look: Look) -> str:
    url = look.cut(view.url, columns)
    room = columns - cells(url) - 2
    said = view.title if look.unicode else view.title.replace("→", "->")
    title = f"  {look.paint(look.cut(said, room), DIM)}" if said and room >= 8 else ""
    return look.paint(url, f"{BOLD};{CYAN}") + title


def _totals(view: ServerView, columns: int, look: Look) -> str:
    gaps = (f"gaps {short_seconds(view.gap_seconds)}", RED) if view.gap_seconds > 0 else ("no gaps", DIM)
    parts = [(f"{view.calls_live} live", BOLD), (f"{view.calls_total} in total", "")]
    parts += [(f"{view.calls_failed} failed", RED)] if view.calls_failed else []
    parts += [gaps] if view.calls_total else []
    if view.recorded_seconds or view.recorded_bytes:
        parts.append((f"{duration(view.recorded_seconds)} recorded, {byte_size(view.recorded_bytes)}", DIM))
    return join_parts(parts, columns, look)


def join_parts(parts: Sequence[tuple[str, str]], columns: int, look: Look) -> str:
    """Put as many of the painted ``parts`` into one line as fit whole."""
    separator = " · " if look.unicode else " | "
    line = ""
    room = columns
    for text, code in parts:
        lead = separator if line else ""
        room -= len(lead) + cells(text)
        if room < 0:
            break
        line += look.paint(lead, DIM) + look.paint(text, code)
    return line


def _waiting(view: ServerView, columns: int, look: Look) -> list[str]:
    lines = ["", look.cut("waiting for a call", columns)]
    verb = look.cut(f'{{"verb": "listen", "url": "{view.url}"}}', columns + 1)
    # A verb that is cut can't be copied.
    if cells(verb) <= columns:
        hint = look.cut("a jambonz application sends its calls here with", columns)
        lines += ["", look.paint(hint, DIM), verb]
    return lines


def _table(calls: Sequence[CallView], size: tuple[int, int], now: float, look: Look) -> list[str]:
    columns, rows = size
    roomy = rows >= 6
    visible = rows - 2 if roomy else rows
    shown = calls[: visible if len(calls) <= visible else max(0, visible - 1)]
    layout = _Layout(shown, columns, look)
    lines = ["", look.paint(layout.titles(), DIM)] if roomy else []
    lines += [layout.row(call, now) for call in shown]
    if len(shown) < len(calls):
        dots = "…" if look.unicode else "..."
        lines.append(look.paint(look.cut(f"{dots} and {len(calls) - len(shown)} more", columns), DIM))
    return lines


@dataclass(frozen=True, slots=True)
class _Column:
    """A column, the width of the terminal from which on it is shown, and how to draw its cell."""

    title: str
    width: int
    shown_from: int
    draw: Callable[[CallView, float, int, Look], str]
    right: bool = False


class _Layout:
    """The columns that fit, and rows drawn in them."""

    def __init__(self, calls: Sequence[CallView], columns: int, look: Look) -> None:
        self._look = look
        self._width = columns
        self._columns = [column for column in _COLUMNS if column.shown_from <= columns]
        spare = max(0, columns - 2 - sum(column.width + 2 for column in self._columns))
        longest = max((cells(_parties(call, look)) for call in calls), default=0)
        # In steps of four, so that a call that comes or goes seldom moves the columns.
        wanted = max(16, -(-longest // 4) * 4)
        has_level = _LEVEL in self._columns
        self._parties = min(wanted, max(spare // 2, spare - _LEVEL_SHARE)) if has_level else spare
        self._level = min(_MAX_LEVEL, spare - self._parties)

    def titles(self) -> str:
        arrow = "→" if self._look.unicode else "->"
        parts = ["  " + self._look.fit(f"CALLER {arrow} CALLEE", self._parties)]
        for column in self._columns:
            width = self._cell_width(column)
            parts.append(self._look.fit(column.title.rjust(width) if column.right else column.title, width))
        return self._look.cut("  ".join(parts).rstrip(), self._width)

    def row(self, call: CallView, now: float) -> str:
        if self._width < 3:
            return self._look.cut(call.caller, self._width)
        parties = self._look.fit(_parties(call, self._look), self._parties)
        parts = [f"{_mark(call, self._look)} {parties}"]
        parts += [column.draw(call, now, self._cell_width(column), self._look) for column in self._columns]
        return "  ".join(parts)

    def _cell_width(self, column: _Column) -> int:
        return self._level if column is _LEVEL else column.width


def _mark(call: CallView, look: Look) -> str:
    filled, hollow = ("●", "○") if look.unicode else ("*", "o")
    return look.paint(filled if call.recording else hollow, _STATE_COLORS[call.state])


def _parties(call: CallView, look: Look) -> str:
    caller, callee = look.cut(call.caller, _MAX_PARTY), look.cut(call.callee, _MAX_PARTY)
    if not caller and not callee:
        return look.cut(call.id, _MAX_PARTY)
    return f"{caller or 'unknown'} {'→' if look.unicode else '->'} {callee or 'unknown'}"


def _draw_format(call: CallView, _now: float, width: int, look: Look) -> str:
    rate = sample_rate(call.sample_rate) if call.sample_rate else ""
    return look.paint(look.fit(f"{rate} {call.mix_type}".strip(), width), DIM)


def _draw_time(call: CallView, now: float, width: int, look: Look) -> str:
    seconds = now - call.started if call.duration is None else call.duration
    return look.fit(duration(seconds).rjust(width), width)


def _draw_level(call: CallView, _now: float, width: int, look: Look) -> str:
    state: CallState = call.state if call.channels else "waiting"
    if state != "live":
        return look.paint(look.fit(_STATE_TEXTS[state], width), _STATE_COLORS[state])
    return draw_bars(call.channels, width, look)


def _draw_dtmf(call: CallView, _now: float, width: int, look: Look) -> str:
    return look.paint(look.fit(call.last_dtmf, width), CYAN)


def _draw_gap(call: CallView, _now: float, width: int, look: Look) -> str:
    if call.gap_seconds <= 0:
        return look.paint("-".rjust(width), DIM)
    return look.paint(look.fit(short_seconds(call.gap_seconds).rjust(width), width), RED)


def _draw_warnings(call: CallView, _now: float, width: int, look: Look) -> str:
    text = str(min(call.warnings, 9999)) if call.warnings else ""
    return look.paint(text.rjust(width), YELLOW)


def _draw_file(call: CallView, _now: float, width: int, look: Look) -> str:
    return look.paint(look.fit(PurePath(call.recording).name, width), DIM)


_LEVEL = _Column("LEVEL", 0, 20, _draw_level)
_COLUMNS = (
    _Column("FORMAT", 10, 72, _draw_format),
    _Column("TIME", 8, 48, _draw_time, right=True),
    _LEVEL,
    _Column("DTMF", 4, 64, _draw_dtmf),
    _Column("GAPS", 7, 32, _draw_gap, right=True),
    _Column("WARN", 4, 90, _draw_warnings, right=True),
    _Column("FILE", 28, 132, _draw_file),
)


class MeterScreen(Screen):
    """Draw a server's view in place on a terminal."""

    def draw(self, view: ServerView) -> bool:
        """Draw ``view``, unless it is too early, nothing changed, or the terminal is stopped; say whether it did."""
        look = self._look
        return self.draw_lines(lambda room, now: render(view, room, now, color=look.color, unicode=look.unicode))


def can_draw(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Say whether ``stream`` is a terminal on which meters can be drawn in place."""
    return stream.isatty() and environ.get("TERM", "dumb") != "dumb"
