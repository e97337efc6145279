"""
The live view of one simulated call: the audio of both directions, playout, commands, marks and keys.

``render_call`` turns a snapshot into lines and does nothing else. The most important lines come first, so a small
terminal shows those.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TextIO

from listenctl.json_lines import ReportedEvent
from listenctl.media.measure_levels import Levels
from listenctl.simulator.call_snapshot import CallSnapshot, CallState
from listenctl.terminal.event_lines import PRINTED_EVENTS, format_event, is_lasting
from listenctl.terminal.keypresses import KeypressReader
from listenctl.terminal.level_meter import ChannelLevel, MeterBallistics, draw_bars, draw_scale, scale_ends
from listenctl.terminal.live_view import LiveView
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

_MAX_RECENT = 10
_STATE_COLORS: dict[CallState, str] = {"connecting": YELLOW, "live": GREEN, "closing": YELLOW, "ended": DIM}
_LABEL = 11
# A narrower bar is useless; the labels are omitted before it comes to that.
_MIN_BAR = 8
_MAX_BAR = 60
_SCALE_ROW = 2
# Seconds at the full length of the playout bar; a longer buffer gets the next scale (listenctl-protocol(7) 6.2).
_SCALES = (1.0, 5.0, 30.0, 300.0)
# Seconds: a frame that leaves later than this overlaps the next one.
_LATE = 0.02
_MAX_MARK = _MAX_WORD = 24

Part = tuple[str, str]


def render_call(
    snapshot: CallSnapshot,
    recent: Sequence[str],
    size: TerminalSize,
    *,
    style: TextStyle,
    sent: Sequence[ChannelLevel] = (),
    heard: Sequence[ChannelLevel] = (),
    hint: str = "",
) -> list[str]:
    """
    Draw a call as lines, none longer than the columns and no more than the rows of ``size``.

    Args:
        recent: lines about the latest events, newest last; they are painted already, and unchanged if they fit.
        sent: levels of the audio to the server, one per channel; empty before there is audio.
        heard: the level of what the caller hears.
        hint: which key hangs up.
    """
    columns, rows = size
    labelled = _LabelledLines(columns, style)
    lines = [
        style.paint(style.cut(snapshot.url, columns), f"{BOLD};{CYAN}"),
        style.join_parts(_state(snapshot, style), columns),
        labelled.bars("to server", sent),
        labelled.bars("to caller", heard),
        labelled.playout(snapshot),
        labelled.parts("sending", _sending(snapshot)),
        labelled.parts("commands", _commands(snapshot)),
        labelled.names("marks", snapshot.marks),
        labelled.keys(snapshot.digits, hint),
    ]
    if len(lines) < rows and (scale := labelled.scale(sent, heard)):
        lines.insert(_SCALE_ROW, scale)
    return (lines + _recent(recent, rows - len(lines), columns, style))[: max(0, rows)]


def _state(snapshot: CallSnapshot, style: TextStyle) -> list[Part]:
    rate = f"{format_rate(snapshot.sample_rate)} " if snapshot.sample_rate else ""
    return [
        (snapshot.state, _STATE_COLORS[snapshot.state]),
        (format_duration(snapshot.elapsed), BOLD),
        (style.cut(f"{rate}{snapshot.mix_type}", _MAX_WORD), ""),
        (style.cut(f"as {snapshot.profile} jambonz", _MAX_WORD), ""),
        ("plays a stream" if snapshot.streaming else "plays clips", DIM),
    ]


def _sending(snapshot: CallSnapshot) -> list[Part]:
    lost = (f"{snapshot.lost_samples} samples lost", RED)
    unsent = (f"{format_seconds(snapshot.unsent)} unsent", YELLOW)
    late = snapshot.lateness > _LATE
    parts = [lost] if snapshot.lost_samples else []
    parts += [unsent] if snapshot.unsent > 0 else []
    return [*parts, (f"at most {snapshot.lateness * 1000:.1f} ms late", YELLOW if late else DIM)]


def _commands(snapshot: CallSnapshot) -> list[Part]:
    wrong = (f"{snapshot.wrong} wrong", RED) if snapshot.wrong else ("none wrong", DIM)
    return [(str(snapshot.commands), ""), wrong] if snapshot.commands else [("none yet", DIM)]


def _recent(lines: Sequence[str], rows: int, columns: int, style: TextStyle) -> list[str]:
    """Return an empty line and as many of the newest ``lines`` as fit into ``rows``."""
    shown = lines[-(rows - 1) :] if rows >= 2 else ()
    return ["", *(_whole_or_cut(line, columns, style) for line in shown)] if shown else []


def _whole_or_cut(line: str, columns: int, style: TextStyle) -> str:
    """Cut a painted line to ``columns``; a line that is cut loses its colours."""
    plain = unpainted(line)
    return line if cell_width(plain) <= columns else style.cut(plain, columns)


class _LabelledLines:
    """Make lines of a label and a value, at most ``columns`` wide."""

    def __init__(self, columns: int, style: TextStyle) -> None:
        self._style = style
        self._label = _LABEL if columns >= _LABEL + _MIN_BAR else 0
        self.room = max(0, columns - self._label)

    def line(self, label: str, drawn: str) -> str:
        return self._style.paint(label.ljust(self._label)[: self._label], DIM) + drawn

    def parts(self, label: str, parts: Sequence[Part]) -> str:
        return self.line(label, self._style.join_parts(parts, self.room))

    def bars(self, label: str, channels: Sequence[ChannelLevel]) -> str:
        if self.room < _MIN_BAR:
            return self.parts(label, [])
        if not channels:
            return self.parts(label, [("no audio yet", DIM)])
        return self.line(label, draw_bars(channels, min(self.room, _MAX_BAR), self._style))

    def scale(self, *bars: Sequence[ChannelLevel]) -> str:
        """Return a scale over the bars, empty if there are none; over different ones, only what is at their ends."""
        counts = {len(channels) for channels in bars if channels}
        if not counts or self.room < _MIN_BAR:
            return ""
        if len(counts) > 1:
            return self.parts("level", [(scale_ends(self._style), "")])
        scale = draw_scale(counts.pop(), min(self.room, _MAX_BAR))
        return self.line("dB", scale) if scale else ""

    def playout(self, snapshot: CallSnapshot) -> str:
        scale = next((scale for scale in _SCALES if snapshot.buffered + snapshot.held <= scale), _SCALES[-1])
        waiting = format_seconds(snapshot.buffered)
        held = f"{snapshot.held:.2f} s held back" if snapshot.held > 0 else ""
        behind = f"  {waiting} of {scale:g} s" + (f", {held}" if held else "")
        bar = min(self.room, _MAX_BAR) - len(behind)
        if bar < _MIN_BAR:
            return self.parts("playout", [(waiting, ""), (held, YELLOW)] if held else [(waiting, "")])
        gauge = draw_gauge(snapshot.buffered / scale, snapshot.held / scale, bar, self._style)
        return self.line("playout", gauge + self._style.paint(behind, YELLOW if held else ""))

    def keys(self, pressed: str, hint: str) -> str:
        """Show the newest keys, and the hint if there is room for both."""
        keys = (self._style.cut(pressed[-self.room :], self.room) if self.room else "", CYAN)
        return self.parts("keys", [part for part in (keys, (hint, DIM)) if part[0]])

    def names(self, label: str, names: Sequence[str]) -> str:
        """Show the number of names, and as many of them as fit."""
        if not names:
            return self.parts(label, [("none outstanding", DIM)])
        shown = [(self._style.cut(name, min(_MAX_MARK, self.room)), CYAN) for name in names]
        return self.parts(label, [(str(len(names)), BOLD), *shown])


def draw_gauge(filled: float, held: float, width: int, style: TextStyle) -> str:
    """Draw two shares of a whole in exactly ``width`` cells; each that isn't zero gets at least one."""
    full, part, empty = ("█", "▒", "·") if style.unicode else ("#", "=", ".")
    tail = min(width, max(1, round(held * width))) if held > 0 else 0
    body = min(width - tail, max(1, round(filled * width))) if filled > 0 else 0
    rest = width - body - tail
    return style.paint(full * body, GREEN) + style.paint(part * tail, YELLOW) + style.paint(empty * rest, DIM)


class _CallLevels:
    """The meter of one direction, with as many bars as its first audio has channels."""

    def __init__(self) -> None:
        self._ballistics: MeterBallistics | None = None

    def update_levels(self, levels: Levels | None, now: float) -> tuple[ChannelLevel, ...]:
        if self._ballistics is None:
            if levels is None:
                return ()
            self._ballistics = MeterBallistics(len(levels))
        return self._ballistics.update_levels(levels, now)


class SimulatedCallView(LiveView):
    """
    Show a simulated call on a terminal until cancelled.

    Args:
        keys: reads the same terminal.
    """

    def __init__(
        self,
        snapshot: Callable[[], CallSnapshot],
        stream: TextIO,
        style: TextStyle,
        *,
        keys: KeypressReader | None = None,
    ) -> None:
        super().__init__(stream, style, self._render_snapshot, keys)
        self._snapshot = snapshot  # returns the state of the call
        self._recent: deque[str] = deque(maxlen=_MAX_RECENT)
        self._sent, self._heard = _CallLevels(), _CallLevels()
        self._hint = "q hangs up" if keys else "Ctrl-C hangs up"
        # Import the width tables now: it takes 18 ms, for which no frame of the call should wait.
        cell_width("→")

    def add_event(self, report: ReportedEvent) -> None:
        """Show an event: above the view if it stays true, otherwise among the recent lines."""
        super().add_event(report)
        if report["event"] in PRINTED_EVENTS and not is_lasting(report):
            self._recent.append(format_event(report, self.style))

    def _render_snapshot(self, size: TerminalSize, now: float) -> list[str]:
        snapshot = self._snapshot()
        sent = self._sent.update_levels(snapshot.sent, now)
        heard = self._heard.update_levels(snapshot.heard, now)
        return render_call(
            snapshot, tuple(self._recent), size, style=self.style, sent=sent, heard=heard, hint=self._hint
        )
