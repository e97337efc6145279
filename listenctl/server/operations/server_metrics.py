"""
The metrics of a server: totals of its events, and its state when it is asked.

Nothing in it names a call, a party, a file or an address. The labels have few values, whatever peers send.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from listenctl import __version__
from listenctl.server.operations.event_metrics import EventMetrics
from listenctl.server.operations.metric_families import (
    DurationCounts,
    Durations,
    Gauge,
    Info,
    LabelledTotal,
    MetricFamily,
    MetricSource,
    Total,
)

if TYPE_CHECKING:
    from listenctl.server.server import ListenServer

_LATENESS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ServerMetrics:
    """Count what happens."""

    def __init__(self, server: "ListenServer") -> None:
        self.tick_lateness = DurationCounts(_LATENESS)
        self.tick_durations = DurationCounts(_LATENESS)
        self.sources: list[MetricSource] = []  # metrics of what not every server does
        self._server = server
        self._events = EventMetrics(server.reporter, server.totals)
        self._most_received = 0.0

    async def collect(self) -> list[MetricFamily]:
        free = await self._server.resources.free_bytes()
        events = self._events.collect(recording=self._server.recording)
        metrics = [*self._calls(), *self._audio(), *events, *self._recordings(), *self._service()]
        for source in self.sources:
            metrics += source()
        if free is not None:
            metrics.append(Gauge("disk_free_bytes", "Bytes that are free for recordings", free, of_server=True))
        return metrics

    def _calls(self) -> Iterator[MetricFamily]:
        server = self._server
        yield Gauge("calls_live", "Live calls", len(server.live))
        yield Gauge("calls_limit", "Most live calls", server.limits.max_calls, of_server=True)
        yield Gauge("connections", "Open connections, those without a call included", len(server.connections))
        yield Total("calls", "Calls", server.calls_total)
        yield Total("calls_broken", "Calls whose connection broke", server.calls_failed)
        credentials = server.settings.credentials
        checked = {} if credentials is None else credentials.results
        yield LabelledTotal(
            "credentials_checked", "Requests whose credentials were checked, by result", "result", checked
        )
        yield Total("metadata_repaired", "Calls with broken metadata", server.repaired_metadata)

    def _audio(self) -> Iterator[MetricFamily]:
        live = sum([log.samples / log.audio_format.sample_rate for call in self._server.live if (log := call.log)])
        # Sums of rounded numbers could shrink by a trifle, and a total that shrinks was reset (Prometheus's `rate`).
        self._most_received = max(self._most_received, self._events.received_seconds + live)
        yield Total("audio_received_seconds", "Seconds of audio that arrived", self._most_received)

    def _recordings(self) -> Iterator[MetricFamily]:
        recorder = self._server.recorder
        if recorder is None:
            return
        yield Total("recording_seconds", "Seconds of saved recordings", recorder.recorded_seconds)
        yield Total("recording_bytes", "Bytes of saved recordings", recorder.recorded_bytes)
        yield Gauge("recording_queue_bytes", "Bytes of audio that wait for the disk", recorder.waiting_bytes)
        yield Gauge("recordings_finishing", "Recordings that are being completed or converted", recorder.finishing)
        yield from recorder.describe_metrics()
        uploads = self._server.uploads
        waiting, waiting_bytes = (uploads.waiting, uploads.waiting_bytes) if uploads else (0, 0)
        yield Gauge("uploads_waiting", "Recordings that are not in object storage yet", waiting)
        yield Gauge("uploads_waiting_bytes", "Bytes of these recordings", waiting_bytes)
        yield Total("uploads", "Recordings that went to object storage", uploads.uploaded if uploads else 0)
        yield Total("uploads_failed", "Tries to upload a recording that failed", uploads.failures if uploads else 0)

    def _service(self) -> Iterator[MetricFamily]:
        yield Info("build", "The version of listenctl", "version", __version__)
        ready = int(not self._server.why_not_ready())
        yield Gauge("ready", "Whether new calls are accepted", ready, of_server=True)
        yield Durations("tick_lateness_seconds", "How late the event loop began to read calls", self.tick_lateness)
        yield Durations("tick_duration_seconds", "How long reading all calls that are due took", self.tick_durations)
