"""
Metrics as plain data: ``server_metrics`` makes them, ``prometheus_text`` and ``statsd`` bring them into the forms of
those who read them.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias

MAX_RECENT = 1000
"""Durations that are kept one by one until they are taken."""


class DurationCounts:
    """Counts of durations in seconds, by upper bounds; added by one thread, read by another."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self._bound_names = [*map(str, bounds), "+Inf"]
        self._counts = [0] * (len(bounds) + 1)
        self._recent: list[float] | None = None
        self.total = 0.0

    @property
    def count(self) -> int:
        return sum(self._counts)

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds
        if (recent := self._recent) is not None and len(recent) < MAX_RECENT:
            recent.append(seconds)

    def take_recent(self) -> Sequence[float]:
        """Return the durations since the last time, or the first of very many; none are kept before the first time."""
        recent, self._recent = self._recent, []
        return recent or ()

    def add_counts(self, other: "DurationCounts") -> None:
        """Add the counts of others, with the same bounds."""
        self._counts = [own + others for own, others in zip(self._counts, other._counts, strict=True)]  # noqa: SLF001 - of the same class
        self.total += other.total

    def cumulative(self) -> list[tuple[str, int]]:
        """Return for each bound how many were no longer, the last one for all."""
        return list(zip(self._bound_names, accumulate(self._counts), strict=True))


@dataclass(frozen=True, slots=True)
class Gauge:
    name: str
    help_text: str
    value: float
    of_server: bool = False  # whether each worker of a server tells the same, rather than its share


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
MetricSource: TypeAlias = Callable[[], Iterable[MetricFamily]]


def add_families(one: MetricFamily, other: MetricFamily) -> MetricFamily:
    """Return the sum of a metric of two workers."""
    match one, other:
        case Gauge(value=value), Gauge(value=more):
            return replace(one, value=max(value, more) if one.of_server else value + more)
        case Total(value=value), Total(value=more):
            return replace(one, value=value + more)
        case LabelledTotal(values=values), LabelledTotal(values=more_values):
            labels = dict.fromkeys((*values, *more_values))
            return replace(one, values={label: values.get(label, 0) + more_values.get(label, 0) for label in labels})
        case Durations(counts=counts), Durations(counts=more_counts):
            added = DurationCounts(counts.bounds)
            added.add_counts(counts)
            added.add_counts(more_counts)
            return replace(one, counts=added)
    return one
