"""
What many measurements come to: counts, mean, extremes and percentiles.

A percentile is the nearest rank: a value below or at which so many per cent of the measurements lie, never one made up
between two of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a set of measurements comes to, in their own unit."""

    count: int
    min: float
    mean: float
    p50: float
    p95: float
    p99: float
    max: float

    def scaled(self, factor: float, digits: int = 3) -> dict[str, float]:
        """Return the figures as JSON has them, in another unit."""
        figures = {name: round(getattr(self, name) * factor, digits) for name in FIGURES}
        return {"count": self.count, **figures}


FIGURES = ("min", "mean", "p50", "p95", "p99", "max")


def summarize(values: Iterable[float]) -> Summary | None:
    """Sum up single measurements; None if there are none."""
    return _summary((value, 1) for value in sorted(values))


class Histogram:
    """
    Millions of times in a small place: how many fell into each bin.

    Percentiles are the upper edge of their bin, so nothing looks better than it was; extremes and mean are exact. All
    that is beyond ``LIMIT`` shares one bin, whose upper edge is the maximum.

    Args:
        resolution: width of a bin, in seconds.
    """

    LIMIT = 10.0

    __slots__ = ("bins", "highest", "lowest", "resolution", "total")

    def __init__(self, resolution: float = 0.0001) -> None:
        self.resolution = resolution
        self.bins: dict[int, int] = {}
        self.total = 0.0
        self.lowest = inf
        self.highest = -inf

    def add(self, value: float) -> None:
        """Count one time, which isn't negative."""
        self.total += value
        if value > self.highest:
            self.highest = value
        if value < self.lowest:
            self.lowest = value
        number = int(min(value, self.LIMIT) / self.resolution)
        self.bins[number] = self.bins.get(number, 0) + 1

    def merge(self, other: "Histogram") -> None:
        """Count everything that ``other``, of the same resolution, has counted."""
        if other.resolution != self.resolution:
            raise ValueError("histograms of different resolutions")
        for number, count in other.bins.items():
            self.bins[number] = self.bins.get(number, 0) + count
        self.total += other.total
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)

    def summary(self) -> Summary | None:
        """Return what it comes to; None if nothing was counted."""
        return _summary(self._edges(), mean_of=self.total, lowest=self.lowest)

    def _edges(self) -> Iterator[tuple[float, int]]:
        last = int(self.LIMIT / self.resolution)
        for number in sorted(self.bins):
            edge = self.highest if number >= last else min(self.highest, (number + 1) * self.resolution)
            yield edge, self.bins[number]


def _summary(
    ordered: Iterable[tuple[float, int]], *, mean_of: float | None = None, lowest: float | None = None
) -> Summary | None:
    """Sum up values in ascending order, each with how often it came."""
    runs = list(ordered)
    if not runs:
        return None
    count = sum(often for _, often in runs)
    total = sum(value * often for value, often in runs) if mean_of is None else mean_of
    p50, p95, p99 = _percentiles(runs, count)
    return Summary(count, runs[0][0] if lowest is None else lowest, total / count, p50, p95, p99, runs[-1][0])


def _percentiles(runs: list[tuple[float, int]], count: int) -> Iterator[float]:
    ends = [0]
    for _, often in runs:
        ends.append(ends[-1] + often)
    for percent in PERCENTILES:
        rank = ceil(count * percent / 100)
        yield next(value for (value, _), (start, end) in zip(runs, pairwise(ends), strict=True) if start < rank <= end)
