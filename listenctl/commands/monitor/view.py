"""
What a monitor draws: how there is sound, a row for each live call, and the keys.

``render`` makes lines out of a picture and does nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from listenctl.commands.monitor.monitored_call import CallRow
from listenctl.commands.serve.server_meters import BOLD, CYAN, DIM, GREEN, RED, YELLOW, join_parts
from listenctl.terminal.level_meter import draw_bars
from listenctl.terminal.printable_text import Look, duration, sample_rate, short_seconds
from listenctl.terminal.screen import Size

_STATES = {"paused": ("paused", YELLOW), "waiting": ("no audio yet", DIM)}
_MAX_PARTY = 16
_MAX_LEVEL = 60
_MIN_LEVEL = 8
_MARK, _TIME, _FORMAT, _DIGITS = 3, 7, 11, 8
# Widths of the terminal from which on there is room for the format and the keys.
_WITH_FORMAT, _WITH_DIGITS = 64, 48


@dataclass(frozen=True, slots=True)
class Picture:
    """
    A monitor at one moment.

    Attributes:
        sound: what becomes of the sound, and whether that is as it should be.
        ear: which channels are heard.
        keys: a line about the keys, empty where there are none.
    """

    url: str
    calls: Sequence[CallRow]
    sound: tuple[str, bool]
    ear: str
    keys: str = ""


def render(picture: Picture, size: Size, look: Look) -> list[str]:
    """Draw lines, none longer than the columns and no more than the rows of ``size``."""
    columns, rows = size
    text, well = picture.sound
    heard = sum(1 for call in picture.calls if call.place)
    head = [
        look.paint(look.cut(picture.url, columns), f"{BOLD};{CYAN}"),
        join_parts(
            [
                (f"{len(picture.calls)} live, {heard} heard", BOLD),
                (look.cut(f"channel {picture.ear}", columns), ""),
                (look.cut(text, max(8, columns - 40)), GREEN if well else YELLOW),
            ],
            columns,
            look,
        ),
    ]
    foot = [look.paint(look.cut(picture.keys, columns), DIM)] if picture.keys and rows > len(head) + 2 else []
    room = rows - len(head) - len(foot)
    return (head + _table(picture.calls, room, columns, look) + foot)[: max(0, rows)]


def _table(calls: Sequence[CallRow], room: int, columns: int, look: Look) -> list[str]:
    if not calls:
        return [look.cut("waiting for a call", columns)]
    if len(calls) <= room:
        return [_row(call, columns, look) for call in calls]
    # Who is heard shall be seen.
    shown = sorted(sorted(calls, key=lambda call: not call.place)[: max(0, room - 1)], key=calls.index)
    dots = "…" if look.unicode else "..."
    more = look.paint(look.cut(f"{dots} and {len(calls) - len(shown)} more", columns), DIM)
    return [*(_row(call, columns, look) for call in shown), more]


def _row(call: CallRow, columns: int, look: Look) -> str:
    parts = [look.paint(look.fit(_mark(call, look), _MARK), BOLD)]
    parts.append(look.fit(_parties(call, look), max(8, min(2 * _MAX_PARTY + 3, columns // 3))))
    if columns >= _WITH_FORMAT:
        parts.append(look.paint(look.fit(f"{sample_rate(call.sample_rate)} {call.mix_type}", _FORMAT), DIM))
    parts.append(look.fit(duration(call.duration).rjust(_TIME), _TIME))
    behind = [look.paint(look.fit(call.digits[-_DIGITS:], _DIGITS), CYAN)] if columns >= _WITH_DIGITS else []
    if call.skipped and columns >= _WITH_FORMAT:
        behind.append(look.paint(f"{short_seconds(call.skipped)} skipped", RED))
    taken = sum(map(_width, [*parts, *behind])) + len(parts) + len(behind)
    if (room := columns - taken) >= _MIN_LEVEL:
        parts.append(_level(call, min(room, _MAX_LEVEL), look))
    elif sum(map(_width, parts)) + len(parts) > columns:
        return look.cut(f"{_mark(call, look)} {_parties(call, look)}", columns)
    else:
        behind = []
    return " ".join([*parts, *behind])


def _width(part: str) -> int:
    from listenctl.commands.call.call_meters import unpainted
    from listenctl.terminal.printable_text import cells

    return cells(unpainted(part))


def _mark(call: CallRow, look: Look) -> str:
    """Return the place of a call that is heard, counted from the left."""
    return f"{'▶' if look.unicode else '>'}{call.place % 100}" if call.place else ""


def _parties(call: CallRow, look: Look) -> str:
    caller, callee = look.cut(call.caller, _MAX_PARTY), look.cut(call.callee, _MAX_PARTY)
    if not caller and not callee:
        return call.id
    return f"{caller or 'unknown'} {'→' if look.unicode else '->'} {callee or 'unknown'}"


def _level(call: CallRow, width: int, look: Look) -> str:
    if call.state in _STATES:
        text, color = _STATES[call.state]
        return look.paint(look.fit(text, width), color)
    return draw_bars(call.levels, width, look)
