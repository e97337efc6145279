"""
Summaries of many measurements: count, mean, extremes and percentiles.

A percentile is the nearest rank: the smallest measurement that is at least as large as that share of all of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, exp, inf, log

FIGURES = ("min", "mean", "p50", "p95", "p99", "max")


@dataclass(frozen=True, slots=True)
class Summary:
    """A set of measurements, summarised in their own unit."""

    count: int
    min: float
    mean: float
    p50: float
    p95: float
    p99: float
    max: float

    def scaled(self, factor: float, digits: int = 3) -> dict[str, float]:
        """Return the figures for JSON, converted to another unit."""
        figures = {name: round(getattr(self, name) * factor, digits) for name in FIGURES}
        return {"count": self.count, **figures}


def summarize(values: Iterable[float]) -> Summary | None:
    """Summarise individual measurements; None if there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    count = len(ordered)
    p50, p95, p99 = (ordered[_rank(share, count) - 1] for share in (0.5, 0.95, 0.99))
    return Summary(count, ordered[0], sum(ordered) / count, p50, p95, p99, ordered[-1])


def median(values: Iterable[float]) -> float:
    """Return the median; importing the standard library's ``statistics`` takes longer than reading a small capture."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


class Histogram:
    """
    Count durations in seconds in bounded memory.

    Quantiles are exact to 0.05 ms below 1 s and to 0.1 % above; count, mean and extremes are exact. A negative duration
    counts as 0.
    """

    __slots__ = ("bins", "count", "highest", "lowest", "total")

    def __init__(self) -> None:
        self.bins: Counter[int] = Counter()
        self.total = 0.0
        self.lowest = inf
        self.count = 0
        self.highest = 0.0

    def add_value(self, value: float) -> None:
        """Count one duration."""
        self.count += 1
        if value < 0:
            value = 0.0
        self.total += value
        if value > self.highest:
            self.highest = value
        if value < self.lowest:
            self.lowest = value
        # Rounded without round(), which takes twice as long.
        self.bins[int(value / _STEP + 0.5) if value < _FINE else _coarse_bin(value)] += 1

    def add_values(self, values: Sequence[float]) -> None:
        """Count several durations."""
        if not values:
            return
        lowest, highest = min(values), max(values)
        if lowest < 0 or highest >= _FINE:
            for value in values:
                self.add_value(value)
            return
        self.count += len(values)
        self.total += sum(values)
        self.highest = max(self.highest, highest)
        self.lowest = min(self.lowest, lowest)
        self.bins.update([int(value / _STEP + 0.5) for value in values])

    def merge(self, other: "Histogram") -> None:
        """Count everything that ``other`` has counted."""
        self.bins.update(other.bins)
        self.total += other.total
        self.lowest = min(self.lowest, other.lowest)
        self.count += other.count
        self.highest = max(self.highest, other.highest)

    def quantile(self, share: float) -> float:
        """Return the duration that ``share`` of all don't exceed; 0 if there are none."""
        left = _rank(share, self.count)
        for number in sorted(self.bins):
            left -= self.bins[number]
            if left <= 0:
                return max(self.lowest, min(self.highest, _duration_of(number)))
        return self.highest

    def summary(self) -> Summary | None:
        """Return the summary; None if nothing was counted."""
        if not self.count:
            return None
        p50, p95, p99 = (self.quantile(share) for share in (0.5, 0.95, 0.99))
        return Summary(self.count, self.lowest, self.total / self.count, p50, p95, p99, self.highest)


_STEP = 0.0001
_FINE = 1.0
"""Seconds up to which bins are ``_STEP`` wide; above, each is 0.1 % wider than the one before."""
_FINE_BINS = round(_FINE / _STEP)
_COARSE = 1000
_HIGHEST = 1e7


def _coarse_bin(value: float) -> int:
    return _FINE_BINS + int(log(min(value, _HIGHEST) / _FINE) * _COARSE)


def _duration_of(number: int) -> float:
    return number * _STEP if number < _FINE_BINS else _FINE * exp((number - _FINE_BINS + 0.5) / _COARSE)


def _rank(share: float, count: int) -> int:
    # Without the correction, 0.95 * 60 could round up to the 58th.
    return max(1, ceil(share * count - 1e-9))
