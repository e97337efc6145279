"""
Arrival times of audio: intervals between messages, their lateness, and the drift of the sender's clock.
For the clock, only the least late message of each window is kept, because delays on the way only add lateness.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

from listenctl.percentiles import Histogram, median
from listenctl.protocol.gaps.gap import Gap

_WINDOW = 0.5
_MAX_WINDOWS = 4096
_MIN_WINDOWS = 8
# Seconds of audio from which drift is measured; its uncertainty shows how reliable it is.
_MIN_DRIFT_SECONDS = 10.0
_OUTLIER = 3.0
# A step is visible in so many windows before and after it, and exceeds what any clock drifts.
_STEP_WINDOWS = 4
_MIN_STEP = 0.008
_MAX_CLOCK_DRIFT = 0.0005

# Audio that is later than this may follow lost audio instead, which is known some time later.
_UNCERTAIN = 0.12
_MAX_UNCERTAIN = 2000


def spread_as_json(histogram: Histogram) -> dict[str, float] | None:
    """Return percentiles and the maximum in milliseconds; None if nothing was counted."""
    summary = histogram.summary()
    if summary is None:
        return None
    figures = summary.scaled(1000, 1)
    return {name: figures[name] for name in ("p50", "p95", "p99", "max")}


@dataclass(frozen=True, slots=True)
class MeasuredDrift:
    """How much slower the sender's clock is than the capture's, and the 95 % uncertainty, both in ppm."""

    ppm: float
    uncertainty: float


@dataclass(frozen=True, slots=True)
class _Window:
    """The least late message of a window; ``offset`` is its arrival time less the duration of all audio up to it."""

    at: float
    position: int
    offset: float


class ArrivalTimes:
    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self.intervals = Histogram()
        self.lateness = Histogram()
        self.first: float | None = None
        self.last = 0.0
        self._base = 0.0
        self._uncertain: list[float] = []
        self._restarts = False
        self._windows: list[_Window] = []
        self._width = _WINDOW
        self._until = 0.0
        self._best = _Window(0.0, 0, 0.0)

    def add_message(self, at: float, position: int) -> None:
        """Take a message; ``position`` counts the samples per channel up to its end."""
        offset = at - position / self._rate
        if self.first is None or self._restarts:
            self._start(at, position, offset)
            return
        self.intervals.add_value(at - self.last)
        self.last = at
        late = offset - self._base
        if late < 0:
            self._base, late = offset, 0.0
        if late < _UNCERTAIN:
            self.lateness.add_value(late)
            if self._uncertain:
                self._count_uncertain(0.0)
        else:
            self._uncertain.append(late)
            if len(self._uncertain) >= _MAX_UNCERTAIN:
                self._count_uncertain(0.0)
        if at >= self._until:
            self._next_window(at, position, offset)
        elif offset < self._best.offset:
            self._best = _Window(at, position, offset)

    def add_messages(self, times: Sequence[float], position: int, samples: int) -> None:
        """Take messages of ``samples`` each; ``position`` counts the samples per channel before the first."""
        # Inlined because nearly all messages take this path: it takes a third of the time.
        intervals, lateness = [], []
        rate, last, base, until, least = self._rate, self.last, self._base, self._until, self._best.offset
        for at in times:
            position += samples
            offset = at - position / rate
            late = offset - base
            if self.first is None or self._restarts or self._uncertain or late >= _UNCERTAIN or at >= until:
                self.last, self._base = last, base
                self.add_message(at, position)
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

    def skip_gap(self, gap: Gap) -> None:
        """Take a gap; audio after missing audio is not late because of it."""
        if gap.leaves_out_audio:
            seconds = gap.missing / self._rate
            self._count_uncertain(seconds)
            self._base += seconds

    def restart(self) -> None:
        """Measure lateness anew from the next message on, because audio is missing from the capture."""
        if self.first is not None:
            # Whether these were late, or earlier audio was lost, remains unknown.
            self._uncertain.clear()
            self._restarts = True

    def finish(self) -> None:
        self._count_uncertain(0.0)
        self._windows.append(self._best)

    def measure_drift(self, cuts: Iterable[int]) -> MeasuredDrift | None:
        """Return the drift of the sender's clock, measured between ``cuts``; None if there is too little audio."""
        segments = [part for one in self._segments(sorted(set(cuts))) for part in _without_steps(one)]
        usable = [one for one in segments if len(one) >= _MIN_WINDOWS]
        if sum(one[-1].at - one[0].at for one in usable) < _MIN_DRIFT_SECONDS:
            return None
        return _fit(_without_outliers(usable))

    def discard_windows(self) -> None:
        """Free what only the drift needs; the reports of all calls stay in memory."""
        self._windows.clear()

    def _start(self, at: float, position: int, offset: float) -> None:
        if self._restarts:
            self._windows.append(self._best)
            self._restarts = False
        self.first = at if self.first is None else self.first
        self.last = at
        self._base = offset
        self.lateness.add_value(0.0)
        self._best = _Window(at, position, offset)
        self._until = at + self._width

    def _count_uncertain(self, missing: float) -> None:
        # Messages that arrived before the audio went missing were late.
        self.lateness.add_values([max(0.0, late - missing) for late in self._uncertain])
        self._uncertain.clear()

    def _next_window(self, at: float, position: int, offset: float) -> None:
        self._windows.append(self._best)
        self._best = _Window(at, position, offset)
        self._until = at + self._width
        # A slow clock moves the base along.
        if not self._uncertain:
            self._base = min(self._windows[-1].offset, offset)
        if len(self._windows) >= _MAX_WINDOWS:
            self._width *= 2
            pairs = zip(self._windows[::2], self._windows[1::2], strict=False)
            self._windows = [min(pair, key=lambda one: one.offset) for pair in pairs]

    def _segments(self, cuts: Iterable[int]) -> Iterator[list[_Window]]:
        windows = self._windows
        for cut in cuts:
            # A window at the cut itself may contain audio from both sides of it.
            yield [one for one in windows if one.position < cut]
            windows = [one for one in windows if one.position > cut]
        yield windows


def _fit(segments: Sequence[Sequence[_Window]]) -> MeasuredDrift | None:
    """Fit one slope to all segments, each with its own intercept."""
    count = sum(map(len, segments))
    means = [(_mean(one.at for one in each), _mean(one.offset for one in each)) for each in segments]
    centred = [
        (one.at - at, one.offset - offset) for each, (at, offset) in zip(segments, means, strict=True) for one in each
    ]
    square = sum(at * at for at, _ in centred)
    degrees = count - len(segments) - 1
    if degrees < 1 or not square:
        return None
    slope = sum(at * offset for at, offset in centred) / square
    rest = sum((offset - slope * at) ** 2 for at, offset in centred)
    return MeasuredDrift(slope * 1e6, 2 * sqrt(rest / degrees / square) * 1e6)


def _without_steps(windows: list[_Window]) -> Iterator[list[_Window]]:
    """Cut where audio becomes permanently later by less than a gap: no clock does that."""
    start = 0
    for at in range(_STEP_WINDOWS, len(windows) - _STEP_WINDOWS + 1):
        before, after = windows[at - _STEP_WINDOWS : at], windows[at : at + _STEP_WINDOWS]
        step = abs(median(one.offset for one in before) - median(one.offset for one in after))
        if at - start >= _STEP_WINDOWS and step > _MIN_STEP + _MAX_CLOCK_DRIFT * (after[-1].at - before[0].at):
            yield windows[start:at]
            start = at
    yield windows[start:]


def _without_outliers(segments: Sequence[Sequence[_Window]]) -> list[list[_Window]]:
    """Omit windows in which even the least late message was late."""
    kept = []
    for each in segments:
        middle = median(one.offset for one in each)
        deviation = median(abs(one.offset - middle) for one in each)
        # Drift moves the offsets, too, so only large deviations count.
        limit = max(_OUTLIER * 4 * deviation, 0.005)
        kept.append([one for one in each if abs(one.offset - middle) <= limit])
    return [each for each in kept if each]


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
