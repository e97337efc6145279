"""
Level meters: how their bars move, and how they are drawn.

Audio is read in batches a few times a second, but the bars move ten times a second. So ``LevelDelay`` returns the
windows of a batch one by one, a little late, and ``MeterBallistics`` adds the release and the peak hold.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from listenctl.media.measure_levels import FLOOR_DB, Level, Levels
from listenctl.terminal.printable_text import DIM, GREEN, YELLOW, TextStyle

CallState = Literal["live", "paused", "waiting"]
STATE_COLORS: dict[CallState, str] = {"live": GREEN, "paused": YELLOW, "waiting": DIM}
_STATE_TEXTS: dict[CallState, str] = {"paused": "paused", "waiting": "no audio yet"}

SCALE_FLOOR_DB = -60.0
YELLOW_DB = -9.0
RED_DB = -3.0

_RELEASE_DB = 40.0
_HOLD_DECAY_DB = 20.0
_HOLD_TIME = 1.5
_CLIP_TIME = 2.0
_MAX_WINDOWS = 100
# Steps of a scale in dB, and the cells that each needs at least.
_SCALE_STEPS, _SCALE_ROOM = (10, 20, 30, 60), 6
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class ChannelLevel:
    """What the bar of one channel shows now."""

    level_db: float = FLOOR_DB
    peak_hold_db: float = FLOOR_DB
    clipped: bool = False


class LevelDelay:
    """Return the windows of each batch evenly, ``delay`` seconds after their audio."""

    def __init__(self, window: float = 0.1, delay: float = 0.5) -> None:
        self._window = window
        self._delay = delay
        self._queue: deque[tuple[float, Levels]] = deque(maxlen=_MAX_WINDOWS)
        self._end = float("-inf")
        self._current: Levels = ()
        self._current_end = float("-inf")

    def add_windows(self, at: float, windows: Sequence[Levels]) -> None:
        """Add the windows of audio that had arrived by ``at``, oldest first."""
        if not windows:
            return
        span = len(windows) * self._window
        begin = max(self._end, at - span)
        # Jitter moves a batch by less than the delay; one further ahead of the clock would stay late forever.
        if begin + span > at + self._delay:
            begin = at - span
        self._end = begin + span
        self._queue.extend((begin + i * self._window, levels) for i, levels in enumerate(windows))

    def levels_at(self, now: float) -> Levels | None:
        """Return the window to show at ``now``, the loudest where several passed; None when there is no audio."""
        time = now - self._delay
        passed = []
        while self._queue and self._queue[0][0] <= time:
            begin, self._current = self._queue.popleft()
            self._current_end = begin + self._window
            passed.append(self._current)
        if passed:
            return _loudest(passed)
        # One more window, so that a late batch doesn't make the bars flicker.
        return self._current if time < self._current_end + self._window else None


def _loudest(windows: list[Levels]) -> Levels:
    return windows[0] if len(windows) == 1 else tuple(_louder(channel) for channel in zip(*windows, strict=False))


def _louder(levels: Iterable[Level]) -> Level:
    heard = tuple(levels)
    return Level(
        peak_db=max(level.peak_db for level in heard),
        rms_db=max(level.rms_db for level in heard),
        clipped=any(level.clipped for level in heard),
    )


class MeterBallistics:
    """
    Turn the measured levels of one call into bars that move calmly.

    A bar rises at once and falls by 40 dB/s. The peak hold stays for 1.5 s and then falls by 20 dB/s. A clipping mark
    stays for 2 s.
    """

    def __init__(self, channels: int) -> None:
        self._channels = tuple(_ChannelBallistics() for _ in range(channels))

    def update_levels(self, levels: Levels | None, now: float) -> tuple[ChannelLevel, ...]:
        """Return what to show at ``now`` for the current ``levels``; None is silence."""
        heard = levels or (Level(),) * len(self._channels)
        return tuple(channel.update_level(level, now) for channel, level in zip(self._channels, heard, strict=False))


class DelayedMeter:
    """The meter of a call whose levels arrive in batches: ``LevelDelay`` and ``MeterBallistics`` together."""

    def __init__(self, channels: int, window: float, delay: float) -> None:
        self._delay = LevelDelay(window, delay)
        self._ballistics = MeterBallistics(channels)

    def add_windows(self, at: float, windows: Sequence[Levels]) -> None:
        self._delay.add_windows(at, windows)

    def levels_at(self, now: float) -> tuple[ChannelLevel, ...]:
        return self._ballistics.update_levels(self._delay.levels_at(now), now)


class _ChannelBallistics:
    __slots__ = ("_at", "_clip_end", "_hold_db", "_hold_end", "_level_db")

    def __init__(self) -> None:
        self._level_db = self._hold_db = FLOOR_DB
        self._at = self._hold_end = self._clip_end = float("-inf")

    def update_level(self, level: Level, now: float) -> ChannelLevel:
        elapsed = max(0.0, now - self._at)
        self._level_db = max(level.peak_db, self._level_db - _RELEASE_DB * elapsed, FLOOR_DB)
        falling = min(elapsed, max(0.0, now - self._hold_end))
        self._hold_db = max(self._hold_db - _HOLD_DECAY_DB * falling, FLOOR_DB)
        if self._level_db >= self._hold_db:
            self._hold_db, self._hold_end = self._level_db, now + _HOLD_TIME
        if level.clipped:
            self._clip_end = now + _CLIP_TIME
        self._at = now
        return ChannelLevel(self._level_db, self._hold_db, now < self._clip_end)


def draw_bars(channels: Sequence[ChannelLevel], width: int, style: TextStyle) -> str:
    """Draw the channels of a call in exactly ``width`` cells; if there is room, two are labelled L and R."""
    labels, gap, bar, rest = _bar_layout(len(channels), width)
    drawn = [
        style.paint(label, "2") + draw_bar(channel, bar, style) for label, channel in zip(labels, channels, strict=True)
    ]
    return gap.join(drawn) + " " * rest


def draw_scale(channels: int, width: int) -> str:
    """Return a scale in dB for above the bars of ``draw_bars``, or nothing if it doesn't fit."""
    labels, gap, bar, _ = _bar_layout(channels, width)
    scale = _scale(bar)
    return gap.join(" " * len(label) + scale for label in labels) if scale else ""


def scale_ends(style: TextStyle) -> str:
    return f"{SCALE_FLOOR_DB:.0f}{'…' if style.unicode else '..'}0 dB"


def _bar_layout(channels: int, width: int) -> tuple[Sequence[str], str, int, int]:
    """Return the labels of the bars, the gap between two, the width of each, and how many cells are left."""
    labels = ("L ", "R ") if channels == 2 and width >= 20 else ("",) * channels
    gap = "  " if labels[0] else " "
    room = width - len(gap) * (channels - 1) - sum(map(len, labels))
    bar = max(0, room // channels)
    return labels, gap, bar, room - bar * channels


def _scale(width: int) -> str:
    step = next((step for step in _SCALE_STEPS if width * step >= _SCALE_ROOM * -SCALE_FLOOR_DB), 0)
    if not step:
        return ""
    cells = [" "] * width
    for db in range(int(SCALE_FLOOR_DB), 1, step):
        text = str(db)
        begin = round(_position(db) * width - len(text) / 2)
        begin = max(0, min(begin, width - len(text)))
        cells[begin : begin + len(text)] = text
    return "".join(cells)


def draw_level(state: CallState, channels: Sequence[ChannelLevel], width: int, style: TextStyle) -> str:
    """Draw the bars of a live call, or why there are none, in exactly ``width`` cells."""
    if state != "live":
        return style.paint(style.fit(_STATE_TEXTS[state], width), STATE_COLORS[state])
    return draw_bars(channels, width, style)


def draw_bar(channel: ChannelLevel, width: int, style: TextStyle) -> str:
    eighths = round(_position(channel.level_db) * width * 8)
    tick = min(width - 1, int(_position(channel.peak_hold_db) * width)) if channel.peak_hold_db > SCALE_FLOOR_DB else -1
    return _bar(eighths, tick, width, channel.clipped, style)


def _position(level_db: float) -> float:
    return min(1.0, max(0.0, 1 - level_db / SCALE_FLOOR_DB))


# There are few different bars; with 30 calls, most have been drawn before.
@lru_cache(maxsize=8192)
def _bar(eighths: int, tick: int, width: int, clipped: bool, style: TextStyle) -> str:
    symbols = _symbols(eighths, tick, width, style)
    codes = ["2" if symbol in "·." else _zone(i, width) for i, symbol in enumerate(symbols)]
    if clipped:
        mark = "CLIP" if width >= 8 else "!"
        symbols[-len(mark) :] = mark
        codes[-len(mark) :] = ["1;31"] * len(mark)
    return _paint_runs(symbols[:width], codes[:width], style)


def _symbols(eighths: int, tick: int, width: int, style: TextStyle) -> list[str]:
    full, part = divmod(eighths, 8) if style.unicode else ((eighths + 4) // 8, 0)
    symbols = [("█" if style.unicode else "#")] * full
    if part:
        symbols.append(_EIGHTHS[part])
    filled = len(symbols)
    symbols += ["·" if style.unicode else "."] * (width - filled)
    if tick >= filled:
        symbols[tick] = "│" if style.unicode else "|"
    return symbols


def _zone(cell: int, width: int) -> str:
    top_db = SCALE_FLOOR_DB * (1 - (cell + 1) / width)
    if top_db > RED_DB:
        return "31"
    return "33" if top_db > YELLOW_DB else "32"


def _paint_runs(symbols: list[str], codes: list[str], style: TextStyle) -> str:
    painted = []
    begin = 0
    for i in range(1, len(codes) + 1):
        if i == len(codes) or codes[i] != codes[begin]:
            painted.append(style.paint("".join(symbols[begin:i]), codes[begin]))
            begin = i
    return "".join(painted)
