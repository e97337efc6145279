"""
The live view of a server: the URL and totals at the top, then a row for each call.

``render_server`` turns a snapshot into lines and does nothing else.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TextIO

from listenctl.json_lines import ReportedEvent
from listenctl.media.measure_levels import LevelMeasurer, Levels
from listenctl.protocol.privacy.shorten_numbers import shorten_number
from listenctl.server.calls.live_call import LiveCall
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.server import ListenServer
from listenctl.terminal.event_lines import short_call_id
from listenctl.terminal.keypresses import KeypressReader, can_read_keys
from listenctl.terminal.level_meter import (
    STATE_COLORS,
    CallState,
    ChannelLevel,
    DelayedMeter,
    draw_level,
    draw_scale,
    scale_ends,
)
from listenctl.terminal.live_view import LiveView
from listenctl.terminal.printable_text import (
    BOLD,
    CYAN,
    DIM,
    RED,
    YELLOW,
    TextStyle,
    cell_width,
    format_duration,
    format_rate,
    format_seconds,
    format_size,
)
from listenctl.terminal.screen import FRAME_TIME, TerminalSize
from listenctl.terminal.scrolled_rows import ScrolledRows

_MAX_PARTY = 24
_MAX_ID = 16
_MAX_LEVEL = 60
# Minimum width of the level beside long names.
_LEVEL_SHARE = 13


@dataclass(frozen=True, slots=True)
class CallRow:
    """
    The row of a call.

    ``started`` is on the clock of ``render_server``'s ``now``. ``recording`` is the path of the file, empty if the call
    isn't recorded.
    """

    id: str
    started: float
    caller: str = ""
    callee: str = ""
    sample_rate: int = 0
    mix_type: str = ""
    channels: tuple[ChannelLevel, ...] = ()
    last_dtmf: str = ""
    gap_seconds: float = 0.0
    state: CallState = "live"
    recording: str = ""
    warnings: int = 0
    lost: bool = False  # whether jambonz or we lost audio; a pause is no loss
    recording_failed: bool = False

    @property
    def trouble(self) -> int:
        """How far down a call may be when not all calls fit: 0 has lost audio, 1 is worth a look, 2 is well."""
        if self.lost or self.recording_failed:
            return 0
        return 1 if self.warnings or self.gap_seconds > 0 or self.state == "paused" else 2


@dataclass(frozen=True, slots=True)
class ServerSnapshot:
    """A server and its calls at one moment; ``title`` says what it does, ``url`` goes into the ``listen`` verb."""

    url: str
    title: str = ""
    calls_live: int = 0
    calls_total: int = 0
    calls_failed: int = 0
    gap_seconds: float = 0.0
    recorded_bytes: int = 0
    recorded_seconds: float = 0.0
    calls: Sequence[CallRow] = ()
    has_levels: bool = True  # whether the levels of calls are known
    redacted: bool = False  # whether phone numbers are shortened


def render_server(
    view: ServerSnapshot, size: TerminalSize, now: float, style: TextStyle, scroll: ScrolledRows | None = None
) -> list[str]:
    """Return ``view`` as lines, none longer than the columns and no more than the rows of ``size``."""
    columns, rows = size
    scroll = scroll or ScrolledRows()
    head = [_address(view, columns, style), _totals(view, columns, style)]
    room = (columns, rows - len(head))
    if view.redacted:
        view = replace(view, calls=[_redacted(call) for call in view.calls])
    body = _table(view, room, now, style, scroll) if view.calls else _waiting(view, columns, style)
    return (head + body)[: max(0, rows)]


def _redacted(call: CallRow) -> CallRow:
    return replace(call, caller=shorten_number(call.caller), callee=shorten_number(call.callee))


def _address(view: ServerSnapshot, columns: int, style: TextStyle) -> str:
    url = style.cut(view.url, columns)
    room = columns - cell_width(url) - 2
    said = view.title if style.unicode else view.title.replace("→", "->")
    title = f"  {style.paint(style.cut(said, room), DIM)}" if said and room >= 8 else ""
    return style.paint(url, f"{BOLD};{CYAN}") + title


def _totals(view: ServerSnapshot, columns: int, style: TextStyle) -> str:
    gaps = (f"gaps {format_seconds(view.gap_seconds)}", RED) if view.gap_seconds > 0 else ("no gaps", DIM)
    parts = [(f"{view.calls_live} live", BOLD), (f"{view.calls_total} in total", "")]
    parts += [(f"{view.calls_failed} failed", RED)] if view.calls_failed else []
    parts += [gaps] if view.calls_total else []
    if view.recorded_seconds or view.recorded_bytes:
        parts.append((f"{format_duration(view.recorded_seconds)} recorded, {format_size(view.recorded_bytes)}", DIM))
    return style.join_parts(parts, columns)


def _waiting(view: ServerSnapshot, columns: int, style: TextStyle) -> list[str]:
    lines = ["", style.cut("waiting for a call", columns)]
    verb = style.cut(f'{{"verb": "listen", "url": "{view.url}"}}', columns + 1)
    # A truncated verb is useless to copy.
    if cell_width(verb) <= columns:
        hint = style.cut("a jambonz application sends its calls here with", columns)
        lines += ["", style.paint(hint, DIM), verb]
    return lines


def _table(view: ServerSnapshot, size: TerminalSize, now: float, style: TextStyle, scroll: ScrolledRows) -> list[str]:
    columns, rows = size
    calls = view.calls
    roomy = rows >= 6
    room = max(0, rows - 2 if roomy else rows)
    visible = scroll.visible(len(calls), room)
    if len(calls) > room:
        calls = sorted(calls, key=lambda call: call.trouble)
    shown = calls[visible.start : visible.stop]
    layout = _Layout(shown, columns, style, levels=view.has_levels)
    lines = ["", style.paint(layout.titles(), DIM)] if roomy else []
    lines += [layout.row(call, now) for call in shown]
    return lines + scroll.count_others(visible, len(calls), columns, style)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: ``shown_from`` is the narrowest terminal that shows it, ``draw`` returns its cell."""

    title: str
    width: int
    shown_from: int
    draw: Callable[[CallRow, float, int, TextStyle], str]
    right: bool = False


class _Layout:
    """The columns that fit, and rows drawn in them."""

    def __init__(self, calls: Sequence[CallRow], columns: int, style: TextStyle, *, levels: bool) -> None:
        self._style = style
        self._width = columns
        self._columns = [
            column for column in _COLUMNS if column.shown_from <= columns and (levels or column is not _LEVEL)
        ]
        longest_id = max((cell_width(_short_id(call, style)) for call in calls), default=0)
        self._id = min(_MAX_ID, max(_ID.width, longest_id))
        spare = max(0, columns - 2 - sum(self._taken(column) + 2 for column in self._columns))
        self._channels = {len(call.channels) for call in calls if call.channels and call.state == "live"}
        longest = max((cell_width(_parties(call, style)) for call in calls), default=0)
        # In steps of four, so that the columns rarely move when a call begins or ends.
        wanted = max(16, -(-longest // 4) * 4)
        has_level = _LEVEL in self._columns
        self._parties = min(wanted, max(spare // 2, spare - _LEVEL_SHARE)) if has_level else spare
        self._level = min(_MAX_LEVEL, spare - self._parties)

    def titles(self) -> str:
        arrow = "→" if self._style.unicode else "->"
        parts = ["  " + self._style.fit(f"CALLER {arrow} CALLEE", self._parties)]
        for column in self._columns:
            width = self._cell_width(column)
            title = self._scale(width) if column is _LEVEL else column.title
            parts.append(self._style.fit(title.rjust(width) if column.right else title, width))
        return self._style.cut("  ".join(parts).rstrip(), self._width)

    def row(self, call: CallRow, now: float) -> str:
        if self._width < 3:
            return self._style.cut(call.caller, self._width)
        parties = self._style.fit(_parties(call, self._style), self._parties)
        parts = [f"{_mark(call, self._style)} {parties}"]
        parts += [column.draw(call, now, self._cell_width(column), self._style) for column in self._columns]
        return "  ".join(parts)

    def _scale(self, width: int) -> str:
        """Return a scale for the bars; where some calls have one bar and others two, only what is at its ends."""
        if not self._channels:
            return _LEVEL.title
        if len(self._channels) > 1:
            return scale_ends(self._style)
        (channels,) = self._channels
        return draw_scale(channels, width) or _LEVEL.title

    def _cell_width(self, column: _Column) -> int:
        return self._level if column is _LEVEL else self._taken(column)

    def _taken(self, column: _Column) -> int:
        return self._id if column is _ID else column.width


def _mark(call: CallRow, style: TextStyle) -> str:
    filled, hollow = ("●", "○") if style.unicode else ("*", "o")
    return style.paint(filled if call.recording else hollow, RED if call.recording_failed else STATE_COLORS[call.state])


def _parties(call: CallRow, style: TextStyle) -> str:
    return style.join_parties(call.caller, call.callee, _MAX_PARTY) or style.cut(call.id, _MAX_PARTY)


def _short_id(call: CallRow, style: TextStyle) -> str:
    return style.cut(style.encodable(short_call_id(call.id)), _MAX_ID)


def _draw_id(call: CallRow, _now: float, width: int, style: TextStyle) -> str:
    return style.paint(style.fit(_short_id(call, style), width), DIM)


def _draw_format(call: CallRow, _now: float, width: int, style: TextStyle) -> str:
    rate = format_rate(call.sample_rate) if call.sample_rate else ""
    return style.paint(style.fit(f"{rate} {call.mix_type}".strip(), width), DIM)


def _draw_time(call: CallRow, now: float, width: int, style: TextStyle) -> str:
    return style.fit(format_duration(now - call.started).rjust(width), width)


def _draw_level(call: CallRow, _now: float, width: int, style: TextStyle) -> str:
    return draw_level(call.state if call.channels else "waiting", call.channels, width, style)


def _draw_dtmf(call: CallRow, _now: float, width: int, style: TextStyle) -> str:
    return style.paint(style.fit(call.last_dtmf, width), CYAN)


def _draw_gap(call: CallRow, _now: float, width: int, style: TextStyle) -> str:
    if call.gap_seconds <= 0:
        return style.paint("-".rjust(width), DIM)
    return style.paint(style.fit(format_seconds(call.gap_seconds).rjust(width), width), RED)


def _draw_warnings(call: CallRow, _now: float, width: int, style: TextStyle) -> str:
    text = str(min(call.warnings, 9999)) if call.warnings else ""
    return style.paint(text.rjust(width), YELLOW)


def _draw_file(call: CallRow, _now: float, width: int, style: TextStyle) -> str:
    return style.paint(style.fit(PurePath(call.recording).name, width), DIM)


_LEVEL = _Column("LEVEL", 0, 20, _draw_level)
_ID = _Column("ID", 9, 56, _draw_id)
_COLUMNS = (
    _ID,
    _Column("FORMAT", 10, 92, _draw_format),
    _Column("TIME", 8, 48, _draw_time, right=True),
    _LEVEL,
    _Column("DTMF", 4, 64, _draw_dtmf),
    _Column("GAPS", 7, 32, _draw_gap, right=True),
    _Column("WARN", 4, 100, _draw_warnings, right=True),
    _Column("FILE", 28, 132, _draw_file),
)


class ServerView(LiveView):
    """Show a server and its calls on a terminal until cancelled."""

    def __init__(
        self, server: ListenServer, stream: TextIO, style: TextStyle, title: str, *, redact: bool = False
    ) -> None:
        keys = None
        if can_read_keys(sys.stdin):
            # No key ends the server: that takes a signal such as that of Ctrl-C.
            keys = KeypressReader(sys.stdin.fileno(), _ignore, lambda: None, self._press_key)
        super().__init__(
            stream, style, lambda size, now: render_server(self._snapshot(), size, now, style, self._scroll), keys
        )
        self._scroll = ScrolledRows(has_keys=keys is not None)
        self._failed: set[str] = set()  # live calls whose recording has failed
        self._server = server
        self._title = title
        self._redact = redact
        self._loop = asyncio.get_running_loop()
        self._meters: dict[str, DelayedMeter] = {}
        self._delay = server.settings.read_interval + FRAME_TIME
        server.watchers.append(self)

    def add_event(self, report: ReportedEvent) -> None:
        super().add_event(report)
        if report["event"] == "recording-failed" and report["call"] is not None:
            self._failed.add(report["call"])

    def start_meter(self, log: LiveCallLog) -> LevelMeasurer:
        """Return the measurer of a call that begins."""
        meter = LevelMeasurer(log.audio_format)
        self._meters[log.id] = DelayedMeter(log.audio_format.channels, meter.window, self._delay)
        return meter

    def show_levels(self, log: LiveCallLog, _position: int, windows: list[Levels]) -> None:
        self._meters[log.id].add_windows(self._loop.time(), windows)

    def _snapshot(self) -> ServerSnapshot:
        server = self._server
        now = self._loop.time()
        live = {call.log.id: call.log for call in server.live if call.log is not None}
        self._meters = {name: meter for name, meter in self._meters.items() if name in live}
        self._failed.intersection_update(live)
        recorder = server.recorder
        return ServerSnapshot(
            url=server.url,
            title=self._title,
            calls_live=len(server.live),
            calls_total=server.calls_total,
            calls_failed=server.calls_failed,
            gap_seconds=server.gap_seconds + sum(log.gap_seconds for log in live.values()),
            recorded_bytes=recorder.recorded_bytes if recorder else 0,
            recorded_seconds=recorder.recorded_seconds if recorder else 0.0,
            calls=[self._row(call, call.log, now) for call in server.live if call.log is not None],
            redacted=self._redact,
        )

    def _row(self, call: LiveCall, log: LiveCallLog, now: float) -> CallRow:
        return CallRow(
            id=log.id,
            started=call.started_at,
            caller=log.metadata.caller or "",
            callee=log.metadata.callee or "",
            sample_rate=log.audio_format.sample_rate,
            mix_type=log.metadata.mix_type or ("stereo" if log.audio_format.channels == 2 else "mono"),
            channels=self._meters[log.id].levels_at(now),
            last_dtmf=log.last_digit,
            gap_seconds=log.gap_seconds,
            state=_state(log),
            recording=call.recording.path if call.recording else "",
            warnings=log.warnings,
            lost=log.ledger.lost_samples > 0,
            recording_failed=log.id in self._failed,
        )

    def _press_key(self, key: str) -> None:
        self._scroll.press_key(key)


def _ignore(_: str) -> None:
    """Ignore the key of a phone."""


def _state(log: LiveCallLog) -> CallState:
    if not log.samples:
        return "waiting"
    return "paused" if log.ledger.stalled else "live"
