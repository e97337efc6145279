"""
The live view of a monitor: the state of the sound, a row for each live call, and the keys.

``render_monitor`` turns a snapshot into lines and does nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from listenctl.commands.monitor.monitored_call import MonitoredCallRow
from listenctl.terminal.event_lines import short_call_id
from listenctl.terminal.level_meter import draw_level, draw_scale, scale_ends
from listenctl.terminal.printable_text import (
    BOLD,
    CYAN,
    DIM,
    GREEN,
    RED,
    YELLOW,
    TextStyle,
    cell_width,
    format_duration,
    format_rate,
    format_seconds,
)
from listenctl.terminal.screen import TerminalSize

_MAX_PARTY = 16
_MAX_LEVEL = 60
_MIN_LEVEL = 8
_MARK, _TIME, _FORMAT, _DIGITS = 3, 7, 11, 8
_MAX_ID = 16
# Minimum widths of the terminal for the format, the id and what was skipped, and the digits; and rows for a heading.
_WITH_FORMAT, _WITH_ID, _WITH_DIGITS, _WITH_HEADING = 92, 64, 48, 4


@dataclass(frozen=True, slots=True)
class MonitorSnapshot:
    """The state of a monitor at one moment."""

    url: str
    calls: Sequence[MonitoredCallRow]
    sound: tuple[str, bool]  # a text about the sound, and whether it is playing
    channels: str  # the channels that are played
    keys: str = ""  # help for the keys, or empty


def render_monitor(snapshot: MonitorSnapshot, size: TerminalSize, style: TextStyle) -> list[str]:
    """Return lines, none longer than the columns and no more than the rows of ``size``."""
    columns, rows = size
    text, playing = snapshot.sound
    played = sum(1 for call in snapshot.calls if call.place)
    head = [
        style.paint(style.cut(snapshot.url, columns), f"{BOLD};{CYAN}"),
        style.join_parts(
            [
                (f"{len(snapshot.calls)} live, {played} played", BOLD),
                (style.cut(f"channel {snapshot.channels}", columns), ""),
                (style.cut(text, max(8, columns - 40)), GREEN if playing else YELLOW),
            ],
            columns,
        ),
    ]
    foot = [style.paint(style.cut(snapshot.keys, columns), DIM)] if snapshot.keys and rows > len(head) + 2 else []
    room = rows - len(head) - len(foot)
    return (head + _table(snapshot.calls, room, columns, style) + foot)[: max(0, rows)]


def _table(calls: Sequence[MonitoredCallRow], room: int, columns: int, style: TextStyle) -> list[str]:
    if not calls:
        return [style.cut("waiting for a call", columns)]
    heading = room >= _WITH_HEADING
    room -= heading
    indexes = range(len(calls)) if len(calls) <= room else _most_important(calls, max(0, room - 1))
    shown = [calls[index] for index in indexes]
    layout = _Layout(shown, columns, style)
    lines = [layout.heading()] if heading else []
    lines += [layout.row(call) for call in shown]
    return lines if len(shown) == len(calls) else [*lines, style.more_line(len(calls) - len(shown), columns)]


def _most_important(calls: Sequence[MonitoredCallRow], number: int) -> list[int]:
    """Return the indexes of the played calls and of those around the first of them, so that arrow keys scroll."""
    at = next((index for index, call in enumerate(calls) if call.place), 0)
    nearest = sorted(range(len(calls)), key=lambda index: (not calls[index].place, abs(index - at)))
    return sorted(nearest[:number])


class _Layout:
    """Rows whose columns are aligned."""

    def __init__(self, calls: Sequence[MonitoredCallRow], columns: int, style: TextStyle) -> None:
        self._columns = columns
        self._style = style
        self._parties = max(8, min(2 * _MAX_PARTY + 3, columns // 3))
        self._id = max((cell_width(_short_id(call, style)) for call in calls), default=0) if columns >= _WITH_ID else 0
        self._format = _FORMAT if columns >= _WITH_FORMAT else 0
        self._digits = _DIGITS if columns >= _WITH_DIGITS else 0
        skipped = max((len(_skipped(call)) for call in calls), default=0)
        self._skipped = skipped if columns >= _WITH_ID else 0
        self._channels = {len(call.levels) for call in calls if call.state == "live"}
        before = [_MARK, self._parties, self._id, self._format, _TIME]
        self._begin = sum(width + 1 for width in before if width)
        behind = sum(width + 1 for width in (self._digits, self._skipped) if width)
        self._level = min(_MAX_LEVEL, columns - self._begin - behind)

    def heading(self) -> str:
        """Return a scale over the bars; where some calls have one and others two, only what is at its ends."""
        scale = ""
        if len(self._channels) > 1:
            scale = scale_ends(self._style)
        elif self._channels:
            scale = draw_scale(max(self._channels), self._level)
        return self._style.paint(self._style.cut(" " * self._begin + (scale or "LEVEL"), self._columns), DIM)

    def row(self, call: MonitoredCallRow) -> str:
        style = self._style
        parts = [
            style.paint(style.fit(_mark(call, style), _MARK), BOLD),
            style.fit(_parties(call, style), self._parties),
            style.paint(style.fit(_short_id(call, style), self._id), DIM),
            style.paint(style.fit(f"{format_rate(call.sample_rate)} {call.mix_type}", self._format), DIM),
            style.fit(format_duration(call.duration).rjust(_TIME), _TIME),
        ]
        if self._level >= _MIN_LEVEL:
            parts += [
                draw_level(call.state, call.levels, self._level, style),
                style.paint(style.fit(call.digits[-_DIGITS:], self._digits), CYAN),
                style.paint(style.fit(_skipped(call), self._skipped), RED),
            ]
        elif self._begin - 1 > self._columns:
            return style.cut(f"{_mark(call, style)} {_parties(call, style)}", self._columns)
        return " ".join(part for part in parts if part)


def _short_id(call: MonitoredCallRow, style: TextStyle) -> str:
    return style.cut(style.encodable(short_call_id(call.id)), _MAX_ID)


def _skipped(call: MonitoredCallRow) -> str:
    return f"{format_seconds(call.skipped)} skipped" if call.skipped else ""


def _mark(call: MonitoredCallRow, style: TextStyle) -> str:
    return f"{'▶' if style.unicode else '>'}{call.place % 100}" if call.place else ""


def _parties(call: MonitoredCallRow, style: TextStyle) -> str:
    return style.join_parties(call.caller, call.callee, _MAX_PARTY) or call.id
