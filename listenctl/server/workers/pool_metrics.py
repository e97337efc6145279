"""
The metrics of a server with workers: what its events tell is counted here, and the rest is the sum of what the workers
say. What a worker has said last stays in the sums when it dies, so that no total shrinks.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from listenctl.server.operations.event_metrics import EventMetrics
from listenctl.server.operations.metric_families import (
    Durations,
    LabelledTotal,
    MetricFamily,
    MetricSource,
    Total,
    add_families,
)

if TYPE_CHECKING:
    from listenctl.server.workers.worker_pool import WorkerPool

ASK_EVERY = 15.0
"""Seconds between two questions for the metrics of workers, so that little is lost with one that dies."""


class PoolMetrics:
    def __init__(self, pool: "WorkerPool") -> None:
        self.sources: list[MetricSource] = []  # metrics of what the parent does
        self._pool = pool
        self._events = EventMetrics(pool.reporter, pool.totals)
        self._last: dict[int, Sequence[MetricFamily]] = {}  # of each worker
        self._of_dead: dict[str, MetricFamily] = {}

    def note_metrics(self, worker: int, metrics: Sequence[MetricFamily]) -> None:
        """Remember what a worker has said."""
        self._last[worker] = metrics

    def note_death(self, worker: int) -> None:
        """Keep the totals of a worker that has ended."""
        lasting = [one for one in self._last.pop(worker, ()) if isinstance(one, Total | LabelledTotal | Durations)]
        self._of_dead = _sums([self._of_dead.values(), lasting])

    def collect(self) -> list[MetricFamily]:
        """Return the metrics of all workers, as far as they are known."""
        sums = _sums([*self._last.values(), self._of_dead.values()])
        calls = self._pool.calls
        known: list[MetricFamily] = [
            Total("calls", "Calls", calls.total),
            Total("calls_broken", "Calls whose connection broke", calls.broken),
            *self._events.collect(recording=self._pool.recording),
        ]
        if self._pool.recording:
            known.append(Total("recording_seconds", "Seconds of saved recordings", calls.recorded_seconds))
            known.append(Total("recording_bytes", "Bytes of saved recordings", calls.recorded_bytes))
        for source in self.sources:
            known += source()
        return [*(sums | {one.name: one for one in known}).values()]


def _sums(parts: Iterable[Iterable[MetricFamily]]) -> dict[str, MetricFamily]:
    sums: dict[str, MetricFamily] = {}
    for part in parts:
        for one in part:
            sums[one.name] = add_families(sums[one.name], one) if one.name in sums else one
    return sums
