"""
How regularly audio arrives: the intervals between messages, how late each is, and how fast the sender's clock runs.

Everything is bounded: values go into histograms, and for the clock only the least late message of each window is kept,
because lateness is added by the way and never taken off.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from listenctl.events import Report
from listenctl.protocol.gaps.gap_ledger import Gap, GapKind
from listenctl.statistics import Histogram

_WINDOW = 0.5
_MOST_WINDOWS = 4096
_FEWEST_WINDOWS = 8
_SHORTEST_DRIFT = 10.0
"""Seconds of audio from which a drift is told; its uncertainty says what that is worth."""
_OUTLIER = 3.0
# A step is what so many windows show before and after it, and no clock is so fast.
_AROUND = 4
_STEP_UP = 0.008
_FASTEST = 0.0005

# What is later than this may have been lost instead, which is known a while after.
_DOUBTFUL = 0.12
_MOST_DOUBTFUL = 2000


def spread_as_json(histogram: Histogram) -> Report | None:
    """Return percentiles and the maximum in milliseconds; None if nothing was counted."""
    summary = histogram.summary()
    if summary is None:
        return None
    figures = summary.scaled(1000, 1)
    return {name: figures[name] for name in ("p50", "p95", "p99", "max")}


@dataclass(frozen=True, slots=True)
class MeasuredDrift:
    """``ppm`` is how much slower the sender's clock is than the capture's; ``uncertainty`` is of 95 %, in ppm too."""

    ppm: float
    uncertainty: float


@dataclass(frozen=True, slots=True)
class _Window:
    at: float
    position: int
    offset: float


class ArrivalTimes:
    """
    Follow the audio of one call as it arrives.

    Args:
        sample_rate: of the audio.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self.intervals = Histogram()
        self.lateness = Histogram()
        self.first: float | None = None
        self.last = 0.0
        self._base = 0.0
        self._doubtful: list[float] = []
        self._anew = False
        self._windows: list[_Window] = []
        self._width = _WINDOW
        self._until = 0.0
        self._best = _Window(0.0, 0, 0.0)

    def add(self, at: float, position: int) -> None:
        """Take a message after which there are ``position`` samples per channel."""
        offset = at - position / self._rate
        if self.first is None or self._anew:
            self._begin(at, position, offset)
            return
        self.intervals.add_value(at - self.last)
        self.last = at
        late = offset - self._base
        if late < 0:
            self._base, late = offset, 0.0
        if late < _DOUBTFUL:
            self.lateness.add_value(late)
            if self._doubtful:
                self._settle(0.0)
        else:
            self._doubt(late)
        if at >= self._until:
            self._next_window(at, position, offset)
        elif offset < self._best.offset:
            self._best = _Window(at, position, offset)

    def add_all(self, times: Sequence[float], position: int, samples: int) -> None:
        """Take messages of so many samples each, before the first of which there are ``position``."""
        intervals, lateness = [], []
        rate, last, base, until, least = self._rate, self.last, self._base, self._until, self._best.offset
        for at in times:
            position += samples
            offset = at - position / rate
            late = offset - base
            if self.first is None or self._anew or self._doubtful or late >= _DOUBTFUL or at >= until:
                self.last, self._base = last, base
                self.add(at, position)
                last, base, until, least = self.last, self._base, self._until, self._best.offset
                continue
            intervals.append(at - last)
            last = at
            if late < 0:
                base, late = offset, 0.0
            lateness.append(late)
            if offset < least:
                least, self._best = offset, _Window(at, position, offset)
        self.last, self._base = last, base
        self.intervals.add_values(intervals)
        self.lateness.add_values(lateness)

    def gap(self, gap: Gap) -> None:
        """Take notice of what is missing: what follows isn't late by that."""
        if gap.kind in (GapKind.HOLE, GapKind.PAUSE) and gap.missing > 0:
            seconds = gap.missing / self._rate
            self._settle(seconds)
            self._base += seconds

    def go_on(self) -> None:
        """Take notice that audio is missing in the capture: what comes next is the new measure of what is late."""
        if self.first is not None:
            # It never is known whether these were late, or what came before them was lost.
            self._doubtful.clear()
            self._anew = True

    def finish(self) -> None:
        """Take what is late at the end for late."""
        self._settle(0.0)
        self._windows.append(self._best)

    def drift(self, cuts: Iterable[int]) -> MeasuredDrift | None:
        """Return how the clock runs, None where there is too little audio; it is not compared across positions."""
        segments = [part for one in self._segments(sorted(set(cuts))) for part in _without_steps(one)]
        usable = [one for one in segments if len(one) >= _FEWEST_WINDOWS]
        if sum(one[-1].at - one[0].at for one in usable) < _SHORTEST_DRIFT:
            return None
        return _fit(_fit_without_outliers(usable))

    def forget(self) -> None:
        """Drop what only the drift is computed from: reports of many calls are kept."""
        self._windows.clear()

    def _begin(self, at: float, position: int, offset: float) -> None:
        if self._anew:
            self._windows.append(self._best)
            self._anew = False
        self.first = at if self.first is None else self.first
        self.last = at
        self._base = offset
        self.lateness.add_value(0.0)
        self._best = _Window(at, position, offset)
        self._until = at + self._width

    def _doubt(self, late: float) -> None:
        self._doubtful.append(late)
        if len(self._doubtful) >= _MOST_DOUBTFUL:
            self._settle(0.0)

    def _settle(self, missing: float) -> None:
        for late in self._doubtful:
            # What had come before the audio went missing was late indeed.
            self.lateness.add_value(max(0.0, late - missing))
        self._doubtful.clear()

    def _next_window(self, at: float, position: int, offset: float) -> None:
        self._windows.append(self._best)
        self._best = _Window(at, position, offset)
        self._until = at + self._width
        # A clock that is slow moves the base with it.
        if not self._doubtful:
            self._base = min(self._windows[-1].offset, offset)
        if len(self._windows) >= _MOST_WINDOWS:
            self._width *= 2
            pairs = zip(self._windows[::2], self._windows[1::2], strict=False)
            self._windows = [min(pair, key=lambda one: one.offset) for pair in pairs]

    def _segments(self, cuts: Iterable[int]) -> Iterator[list[_Window]]:
        windows = self._windows
        for cut in cuts:
            # At the cut itself a window may hold both what came before and after.
            yield [one for one in windows if one.position < cut]
            windows = [one for one in windows if one.position > cut]
        yield windows


def _fit(segments: Sequence[Sequence[_Window]]) -> MeasuredDrift | None:
    """Return the slope that all segments have in common, each with a height of its own."""
    count = sum(map(len, segments))
    means = [(_mean(one.at for one in each), _mean(one.offset for one in each)) for each in segments]
    moved = [
        (one.at - at, one.offset - offset) for each, (at, offset) in zip(segments, means, strict=True) for one in each
    ]
    square = sum(at * at for at, _ in moved)
    degrees = count - len(segments) - 1
    if degrees < 1 or not square:
        return None
    slope = sum(at * offset for at, offset in moved) / square
    rest = sum((offset - slope * at) ** 2 for at, offset in moved)
    return MeasuredDrift(slope * 1e6, 2 * sqrt(rest / degrees / square) * 1e6)


def _without_steps(windows: list[_Window]) -> Iterator[list[_Window]]:
    """Cut where audio comes later for good, by less than what counts as a gap: no clock does that."""
    begun = 0
    for at in range(_AROUND, len(windows) - _AROUND + 1):
        before, after = windows[at - _AROUND : at], windows[at : at + _AROUND]
        step = abs(median(one.offset for one in before) - median(one.offset for one in after))
        if at - begun >= _AROUND and step > _STEP_UP + _FASTEST * (after[-1].at - before[0].at):
            yield windows[begun:at]
            begun = at
    yield windows[begun:]


def _fit_without_outliers(segments: Sequence[Sequence[_Window]]) -> list[list[_Window]]:
    """Leave out windows in which even the least late message was late, or all before audio came later for good."""
    kept = []
    for each in segments:
        offsets = sorted(one.offset for one in each)
        middle = offsets[len(offsets) // 2]
        deviation = sorted(abs(offset - middle) for offset in offsets)[len(offsets) // 2]
        # A clock that drifts moves the offsets too, so that only what is far off counts.
        limit = max(_OUTLIER * 4 * deviation, 0.005)
        kept.append([one for one in each if abs(one.offset - middle) <= limit])
    return [each for each in kept if each]


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
