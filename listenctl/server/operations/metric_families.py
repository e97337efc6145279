"""
Metrics as plain data: ``server_metrics`` makes them, ``prometheus_text`` and ``statsd`` bring them into the forms of
those who read them.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

MAX_RECENT = 1000
"""Durations that are kept one by one until they are taken."""


class DurationCounts:
    """Counts of durations in seconds, by upper bounds; added by one thread, read by another."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._recent: list[float] | None = None
        self.total = 0.0

    @property
    def count(self) -> int:
        return sum(self._counts)

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds
        if (recent := self._recent) is not None and len(recent) < MAX_RECENT:
            recent.append(seconds)

    def take_recent(self) -> Sequence[float]:
        """Return the durations since the last time, or the first of very many; none are kept before the first time."""
        recent, self._recent = self._recent, []
        return recent or ()

    def cumulative(self) -> list[tuple[str, int]]:
        """Return for each bound how many were no longer, the last one for all."""
        names = [*map(str, self._bounds), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))


@dataclass(frozen=True, slots=True)
class Gauge:
    name: str
    help_text: str
    value: float


@dataclass(frozen=True, slots=True)
class Total:
    """A number that only grows."""

    name: str
    help_text: str
    value: float


@dataclass(frozen=True, slots=True)
class LabelledTotal:
    """A number that only grows for each value of a label."""

    name: str
    help_text: str
    label: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Durations:
    """How often something took how long; the counts go on changing."""

    name: str
    help_text: str
    counts: DurationCounts


@dataclass(frozen=True, slots=True)
class Info:
    """A text about the program, as the value of ``label``."""

    name: str
    help_text: str
    label: str
    value: str


MetricFamily: TypeAlias = Gauge | Total | LabelledTotal | Durations | Info
