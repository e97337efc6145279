"""
The metrics of a server: totals of its events, and its state when it is asked.

Nothing in it names a call, a party, a file or an address. The labels have few values, whatever peers send.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
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
from listenctl.server.operations.metric_families import (
    DurationCounts,
    Durations,
    Gauge,
    Info,
    LabelledTotal,
    MetricFamily,
    Total,
)

if TYPE_CHECKING:
    from listenctl.server.server import ListenServer

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


class ServerMetrics:
    """Count what happens."""

    def __init__(self, server: "ListenServer") -> None:
        self.tick_lateness = DurationCounts(_LATENESS)
        self.tick_durations = DurationCounts(_LATENESS)
        self.sources: list[Callable[[], Iterable[MetricFamily]]] = []  # metrics of what not every server does
        self._server = server
        self._received_seconds = 0.0  # of calls that have ended
        self._most_received = 0.0
        self._close_codes: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._limits: Counter[str] = Counter()
        self._gaps: Counter[str] = Counter()
        self._gap_seconds: defaultdict[str, float] = defaultdict(float)
        self._warnings: Counter[str] = Counter()
        self._saved: Counter[str] = Counter()
        self._failed_recordings = 0
        self._round_trips = DurationCounts(_ROUND_TRIPS)
        server.reporter.add_counter(self._take_event, _COUNTED)

    async def collect(self) -> list[MetricFamily]:
        free = await self._server.resources.free_bytes()
        metrics = [*self._calls(), *self._audio(), *self._recordings(), *self._service()]
        for source in self.sources:
            metrics += source()
        if free is not None:
            metrics.append(Gauge("disk_free_bytes", "Bytes that are free for recordings", free))
        return metrics

    def _take_event(self, event: EventFields, call: str | None) -> None:  # noqa: ARG002 - no metric names a call
        match event:
            case CallEndedEvent():
                self._received_seconds += event.seconds
                self._close_codes[_close_label(event.close_code)] += 1
            case ConnectionRefusedEvent():
                self._refused[str(event.status)] += 1
                if event.limit is not None:
                    self._limits[event.limit] += 1
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

    def _calls(self) -> Iterator[MetricFamily]:
        server = self._server
        yield Gauge("calls_live", "Live calls", len(server.live))
        yield Gauge("calls_limit", "Most live calls", server.limits.max_calls)
        yield Gauge("connections", "Open connections, those without a call included", len(server.connections))
        yield Total("calls", "Calls", server.calls_total)
        yield Total("calls_broken", "Calls whose connection broke", server.calls_failed)
        yield LabelledTotal("calls_ended", "Ended calls", "close_code", self._close_codes)
        yield LabelledTotal("connections_refused", "Refused connections, by HTTP status", "status", self._refused)
        yield LabelledTotal("limits_reached", "Connections that a limit has refused", "limit", self._limits)
        credentials = server.settings.credentials
        checked = {} if credentials is None else credentials.results
        yield LabelledTotal(
            "credentials_checked", "Requests whose credentials were checked, by result", "result", checked
        )
        yield Total("metadata_repaired", "Calls with broken metadata", server.repaired_metadata)
        yield Durations("mark_round_trip_seconds", "Seconds from a mark to its answer", self._round_trips)

    def _audio(self) -> Iterator[MetricFamily]:
        totals = self._server.totals.describe()
        logs = [call.log for call in self._server.live if call.log is not None]
        live = sum(log.audio_format.duration_of(log.samples) for log in logs)
        # Sums of rounded numbers could shrink by a trifle, and a total that shrinks was reset (Prometheus's `rate`).
        self._most_received = max(self._most_received, self._received_seconds + live)
        yield Total("audio_received_seconds", "Seconds of audio that arrived", self._most_received)
        yield Total("audio_lost_seconds", "Seconds of audio that ended calls lack", totals.lost_seconds)
        yield Total("audio_unrecorded_seconds", "Seconds of audio that recordings lack", totals.unrecorded_seconds)
        yield Total("audio_unread_seconds", "Seconds of audio that programs did not read", totals.unread_seconds)
        yield LabelledTotal("gaps", "Gaps in the audio of calls", "kind", self._gaps)
        yield LabelledTotal("gap_seconds", "Seconds of gaps in the audio of calls", "kind", self._gap_seconds)

    def _recordings(self) -> Iterator[MetricFamily]:
        recorder = self._server.recorder
        if recorder is None:
            return
        yield LabelledTotal(
            "recordings_saved", "Saved recordings, by whether they are complete", "complete", self._saved
        )
        yield Total("recordings_failed", "Failures to write or convert recordings", self._failed_recordings)
        yield Total("recording_seconds", "Seconds of saved recordings", recorder.recorded_seconds)
        yield Total("recording_bytes", "Bytes of saved recordings", recorder.recorded_bytes)
        yield Gauge("recording_queue_bytes", "Bytes of audio that wait for the disk", recorder.waiting_bytes)
        yield Gauge("recordings_finishing", "Recordings that are being completed or converted", recorder.finishing)
        yield from recorder.describe_metrics()

    def _service(self) -> Iterator[MetricFamily]:
        yield Info("build", "The version of listenctl", "version", __version__)
        yield Gauge("ready", "Whether new calls are accepted", int(not self._server.why_not_ready()))
        yield LabelledTotal("warnings", "Warnings", "rule", self._warnings)
        yield Durations("tick_lateness_seconds", "How late the event loop began to read calls", self.tick_lateness)
        yield Durations("tick_duration_seconds", "How long reading all calls that are due took", self.tick_durations)


def _close_label(code: int | None) -> str:
    if code is None:
        return "none"
    return str(code) if code <= _LAST_PROTOCOL_CODE else "application"
