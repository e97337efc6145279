"""The metrics of all workers, the dead ones included."""

from collections.abc import Sequence

from listenctl.events import Reporter, WarningEvent
from listenctl.server.operations.metric_families import (
    DurationCounts,
    Durations,
    Gauge,
    LabelledTotal,
    MetricFamily,
    Total,
)
from listenctl.server.operations.prometheus_text import prometheus_text
from listenctl.server.workers.pool_metrics import PoolMetrics
from listenctl.server.workers.worker_pool import WorkerPool
from tests.helpers.server import FAST


def said(number: int) -> Sequence[MetricFamily]:
    """Return what a worker says that has ``number`` of everything."""
    durations = DurationCounts((1.0,))
    for _ in range(number):
        durations.add(0.5)
    return [
        Gauge("connections", "", number),
        Gauge("calls_limit", "", 100, of_server=True),
        Total("metadata_repaired", "", number),
        LabelledTotal("credentials_checked", "", "result", {"good": number, f"of_{number}": 1}),
        Durations("tick_lateness_seconds", "", durations),
        Total("calls", "", 1000),
    ]


async def test_shares_are_added_up_and_what_a_dead_worker_counted_stays() -> None:
    reporter = Reporter()
    metrics = PoolMetrics(WorkerPool(FAST, reporter, workers=2, options=None, module="", recording=False))
    metrics.note_metrics(0, said(1))
    metrics.note_metrics(1, said(2))
    reporter.emit(WarningEvent(rule="worker-died", detail=""))
    both = prometheus_text(metrics.collect()).decode().splitlines()
    metrics.note_death(0)
    metrics.note_metrics(1, said(4))
    one = prometheus_text(metrics.collect()).decode().splitlines()

    assert {"listenctl_connections 3.0", "listenctl_calls_limit 100.0", "listenctl_metadata_repaired_total 3.0"} <= {
        *both
    }
    assert 'listenctl_credentials_checked_total{result="good"} 3.0' in both
    assert 'listenctl_tick_lateness_seconds_bucket{le="1.0"} 3.0' in both
    # What the events say is counted from them.
    assert {"listenctl_calls_total 0.0", 'listenctl_warnings_total{rule="worker-died"} 1.0'} <= {*both}
    assert {"listenctl_connections 4.0", "listenctl_calls_limit 100.0", "listenctl_metadata_repaired_total 5.0"} <= {
        *one
    }
    assert 'listenctl_credentials_checked_total{result="of_1"} 1.0' in one
    assert "listenctl_tick_lateness_seconds_sum 2.5" in one
