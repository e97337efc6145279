"""
What Prometheus is told of a server: totals of its events, and its state when it is asked.

Nothing in it names a call, a party, a file or an address. The labels have few values, whatever peers send.
"""

import asyncio
import os
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl import __version__
from listenctl.events import (
    CallEndedEvent,
    ConnectionRefusedEvent,
    EventFields,
    GapEvent,
    MarkEvent,
    RecordingFailedEvent,
    RecordingSavedEvent,
    WarningEvent,
)

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from listenctl.server.server import ListenServer

MISSING = "the Python package prometheus-client is not installed"

_COUNTED = frozenset(
    kind.event
    for kind in (
        CallEndedEvent,
        ConnectionRefusedEvent,
        GapEvent,
        MarkEvent,
        RecordingFailedEvent,
        RecordingSavedEvent,
        WarningEvent,
    )
)
_ROUND_TRIPS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LATENESS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LAST_PROTOCOL_CODE = 1015
"""Larger close codes are those of applications (RFC 6455 7.4.2)."""


class DurationCounts:
    """Counts of durations in seconds, by upper bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return for each bound how many were no longer, the last one for all."""
        names = [*map(str, self._bounds), "+Inf"]
        return [(name, float(count)) for name, count in zip(names, accumulate(self._counts), strict=True)]


class ServerMetrics:
    """Count what happens; ``disk`` is the folder whose free space is told, None for none."""

    def __init__(self, server: "ListenServer", disk: Path | None) -> None:
        self.tick_lateness = DurationCounts(_LATENESS)
        self.tick_durations = DurationCounts(_LATENESS)
        self._server = server
        self._disk = disk
        self._received_seconds = 0.0  # of calls that have ended
        self._close_codes: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._gaps: Counter[str] = Counter()
        self._gap_seconds: defaultdict[str, float] = defaultdict(float)
        self._warnings: Counter[str] = Counter()
        self._saved: Counter[str] = Counter()
        self._failed_recordings = 0
        self._round_trips = DurationCounts(_ROUND_TRIPS)
        server.reporter.add_counter(self._take_event, _COUNTED)

    async def describe(self) -> bytes | None:
        """Return all metrics in Prometheus's text format; None without the library."""
        free = await asyncio.to_thread(_free_bytes, self._disk)
        try:
            await asyncio.to_thread(_import_library)
        except ImportError:
            return None
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Snapshot([*self._collect(), *_disk_metrics(free)]))
        return generate_latest(registry)

    def _take_event(self, event: EventFields, call: str | None) -> None:  # noqa: ARG002 - no metric names a call
        match event:
            case CallEndedEvent():
                self._received_seconds += event.seconds
                self._close_codes[_close_label(event.close_code)] += 1
            case ConnectionRefusedEvent():
                self._refused[str(event.status)] += 1
            case GapEvent():
                self._gaps[event.kind] += 1
                self._gap_seconds[event.kind] += event.length
            case MarkEvent():
                if isinstance(event.round_trip, float):
                    self._round_trips.add(event.round_trip)
            case RecordingSavedEvent():
                self._saved["true" if event.complete else "false"] += 1
            case RecordingFailedEvent():
                self._failed_recordings += 1
            case WarningEvent():
                self._warnings[event.rule] += 1

    def _collect(self) -> Iterator["Metric"]:
        yield from self._calls()
        yield from self._audio()
        yield from self._recordings()
        yield from self._service()

    def _calls(self) -> Iterator["Metric"]:
        server = self._server
        yield _gauge("calls_live", "Live calls", len(server.live))
        yield _gauge("calls_limit", "Most live calls", server.settings.max_calls)
        yield _gauge("connections", "Open connections, those without a call included", len(server.connections))
        yield _total("calls", "Calls", server.calls_total)
        yield _total("calls_broken", "Calls whose connection broke", server.calls_failed)
        yield _totals("calls_ended", "Ended calls", "close_code", self._close_codes)
        yield _totals("connections_refused", "Refused connections, by HTTP status", "status", self._refused)
        yield _total("metadata_repaired", "Calls with broken metadata", server.repaired_metadata)
        yield _histogram("mark_round_trip_seconds", "Seconds from a mark to its answer", self._round_trips)

    def _audio(self) -> Iterator["Metric"]:
        totals = self._server.totals.describe()
        logs = [call.log for call in self._server.live if call.log is not None]
        live = sum(log.audio_format.duration_of(log.samples) for log in logs)
        yield _total("audio_received_seconds", "Seconds of audio that arrived", self._received_seconds + live)
        yield _total("audio_lost_seconds", "Seconds of audio that ended calls lack", totals.lost_seconds)
        yield _total("audio_unrecorded_seconds", "Seconds of audio that recordings lack", totals.unrecorded_seconds)
        yield _total("audio_unread_seconds", "Seconds of audio that programs did not read", totals.unread_seconds)
        yield _totals("gaps", "Gaps in the audio of calls", "kind", self._gaps)
        yield _totals("gap_seconds", "Seconds of gaps in the audio of calls", "kind", self._gap_seconds)

    def _recordings(self) -> Iterator["Metric"]:
        recorder = self._server.recorder
        if recorder is None:
            return
        yield _totals("recordings_saved", "Saved recordings, by whether they are complete", "complete", self._saved)
        yield _total("recordings_failed", "Failures to write or convert recordings", self._failed_recordings)
        yield _total("recording_seconds", "Seconds of saved recordings", recorder.recorded_seconds)
        yield _total("recording_bytes", "Bytes of saved recordings", recorder.recorded_bytes)
        yield _gauge("recording_queue_bytes", "Bytes of audio that wait for the disk", recorder.waiting_bytes)
        yield _gauge("recordings_finishing", "Recordings that are being completed or converted", recorder.finishing)

    def _service(self) -> Iterator["Metric"]:
        yield _info("build", "The version of listenctl", {"version": __version__})
        yield _gauge("ready", "Whether new calls are accepted", int(not self._server.why_not_ready()))
        yield _totals("warnings", "Warnings", "rule", self._warnings)
        yield _histogram("tick_lateness_seconds", "How late the event loop began to read calls", self.tick_lateness)
        yield _histogram("tick_duration_seconds", "How long reading all calls that are due took", self.tick_durations)


class _Snapshot:
    """Metrics in the form that a registry takes."""

    def __init__(self, metrics: Iterable["Metric"]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable["Metric"]:
        return self._metrics


def _import_library() -> None:
    import prometheus_client  # noqa: F401 - it takes a tenth of a second, which calls must not wait for


def _free_bytes(folder: Path | None) -> int | None:
    if folder is None:
        return None
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _disk_metrics(free: int | None) -> list["Metric"]:
    return [] if free is None else [_gauge("disk_free_bytes", "Bytes that are free for recordings", free)]


def _close_label(code: int | None) -> str:
    if code is None:
        return "none"
    return str(code) if code <= _LAST_PROTOCOL_CODE else "application"


def _info(name: str, help_text: str, values: dict[str, str]) -> "Metric":
    from prometheus_client.core import InfoMetricFamily

    return InfoMetricFamily(f"listenctl_{name}", help_text, value=values)


def _gauge(name: str, help_text: str, value: float) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"listenctl_{name}", help_text, value=value)


def _total(name: str, help_text: str, value: float) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(f"listenctl_{name}", help_text, value=value)


def _totals(name: str, help_text: str, label: str, values: Mapping[str, float]) -> "Metric":
    """Return a counter for each value of a label."""
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"listenctl_{name}", help_text, labels=[label])
    for labelled, value in values.items():
        family.add_metric([labelled], value)
    return family


def _histogram(name: str, help_text: str, counts: DurationCounts) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily

    return HistogramMetricFamily(f"listenctl_{name}", help_text, buckets=counts.cumulative(), sum_value=counts.total)
