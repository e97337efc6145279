"""
The live view of a monitor: the state of the sound, a row for each live call, and the keys.

``render_monitor`` turns a snapshot into lines and does nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from listenctl.commands.monitor.monitored_call import MonitoredCallRow
from listenctl.terminal.level_meter import draw_level
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
    unpainted,
)
from listenctl.terminal.screen import TerminalSize

_MAX_PARTY = 16
_MAX_LEVEL = 60
_MIN_LEVEL = 8
_MARK, _TIME, _FORMAT, _DIGITS = 3, 7, 11, 8
# Minimum widths of the terminal for the format and the digits.
_WITH_FORMAT, _WITH_DIGITS = 64, 48


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
    if len(calls) <= room:
        return [_row(call, columns, style) for call in calls]
    # Played calls have priority.
    shown = sorted(sorted(calls, key=lambda call: not call.place)[: max(0, room - 1)], key=calls.index)
    return [*(_row(call, columns, style) for call in shown), style.more_line(len(calls) - len(shown), columns)]


def _row(call: MonitoredCallRow, columns: int, style: TextStyle) -> str:
    parts = [style.paint(style.fit(_mark(call, style), _MARK), BOLD)]
    parts.append(style.fit(_parties(call, style), max(8, min(2 * _MAX_PARTY + 3, columns // 3))))
    if columns >= _WITH_FORMAT:
        parts.append(style.paint(style.fit(f"{format_rate(call.sample_rate)} {call.mix_type}", _FORMAT), DIM))
    parts.append(style.fit(format_duration(call.duration).rjust(_TIME), _TIME))
    behind = [style.paint(style.fit(call.digits[-_DIGITS:], _DIGITS), CYAN)] if columns >= _WITH_DIGITS else []
    if call.skipped and columns >= _WITH_FORMAT:
        behind.append(style.paint(f"{format_seconds(call.skipped)} skipped", RED))
    taken = sum(map(_width, [*parts, *behind])) + len(parts) + len(behind)
    if (room := columns - taken) >= _MIN_LEVEL:
        parts.append(draw_level(call.state, call.levels, min(room, _MAX_LEVEL), style))
    elif sum(map(_width, parts)) + len(parts) > columns:
        return style.cut(f"{_mark(call, style)} {_parties(call, style)}", columns)
    else:
        behind = []
    return " ".join([*parts, *behind])


def _width(part: str) -> int:
    return cell_width(unpainted(part))


def _mark(call: MonitoredCallRow, style: TextStyle) -> str:
    return f"{'▶' if style.unicode else '>'}{call.place % 100}" if call.place else ""


def _parties(call: MonitoredCallRow, style: TextStyle) -> str:
    return style.join_parties(call.caller, call.callee, _MAX_PARTY) or call.id
