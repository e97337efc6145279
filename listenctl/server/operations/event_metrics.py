"""Metrics that are counted from events, which the parent of workers gets from all of them."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from listenctl.events import (
    CallEndedEvent,
    ConnectionRefusedEvent,
    EventFields,
    GapEvent,
    MarkEvent,
    RecordingDeletedEvent,
    RecordingFailedEvent,
    RecordingSavedEvent,
    Reporter,
    WarningEvent,
)
from listenctl.server.operations.metric_families import DurationCounts, Durations, LabelledTotal, MetricFamily, Total
from listenctl.server.server_totals import ServerTotals

_COUNTED = frozenset(
    kind.event
    for kind in (
        CallEndedEvent,
        ConnectionRefusedEvent,
        GapEvent,
        MarkEvent,
        RecordingDeletedEvent,
        RecordingFailedEvent,
        RecordingSavedEvent,
        WarningEvent,
    )
)
_ROUND_TRIPS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LIMITS_OF_CALLS = frozenset(("frame-flood", "max-call-length", "max-recording"))
"""Rules of warnings about a limit that a live call has reached."""
_LAST_PROTOCOL_CODE = 1015
"""Larger close codes are those of applications (RFC 6455 7.4.2)."""


class EventMetrics:
    def __init__(self, reporter: Reporter, totals: ServerTotals) -> None:
        self.received_seconds = 0.0  # of calls that have ended
        self._totals = totals
        self._close_codes: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._limits: Counter[str] = Counter()
        self._gaps: Counter[str] = Counter()
        self._gap_seconds: defaultdict[str, float] = defaultdict(float)
        self._warnings: Counter[str] = Counter()
        self._saved: Counter[str] = Counter()
        self._failed_recordings = 0
        self._deleted: Counter[str] = Counter()
        self._round_trips = DurationCounts(_ROUND_TRIPS)
        reporter.add_counter(self._take_event, _COUNTED)

    def collect(self, *, recording: bool) -> Iterator[MetricFamily]:
        """Return the metrics, those of recordings only if calls are recorded."""
        yield LabelledTotal("calls_ended", "Ended calls", "close_code", self._close_codes)
        yield LabelledTotal("connections_refused", "Refused connections, by HTTP status", "status", self._refused)
        limits = {**self._limits, **{rule: self._warnings[rule] for rule in _LIMITS_OF_CALLS & self._warnings.keys()}}
        reached = "How often a limit refused a connection, or ended a call or its recording"
        yield LabelledTotal("limits_reached", reached, "limit", limits)
        yield Durations("mark_round_trip_seconds", "Seconds from a mark to its answer", self._round_trips)
        totals = self._totals.describe()
        yield Total("audio_lost_seconds", "Seconds of audio that ended calls lack", totals.lost_seconds)
        yield Total("audio_unrecorded_seconds", "Seconds of audio that recordings lack", totals.unrecorded_seconds)
        yield Total("audio_unread_seconds", "Seconds of audio that programs did not read", totals.unread_seconds)
        yield LabelledTotal("gaps", "Gaps in the audio of calls", "kind", self._gaps)
        yield LabelledTotal("gap_seconds", "Seconds of gaps in the audio of calls", "kind", self._gap_seconds)
        yield LabelledTotal("warnings", "Warnings", "rule", self._warnings)
        if recording:
            yield LabelledTotal(
                "recordings_saved", "Saved recordings, by whether they are complete", "complete", self._saved
            )
            yield Total("recordings_failed", "Failures to write or convert recordings", self._failed_recordings)
            yield LabelledTotal(
                "recordings_deleted", "Deleted recordings, by what they exceeded", "reason", self._deleted
            )

    def _take_event(self, event: EventFields, call: str | None) -> None:  # noqa: ARG002 - no metric names a call
        match event:
            case CallEndedEvent():
                self.received_seconds += event.seconds
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
            case WarningEvent():
                self._warnings[event.rule] += 1
            case _:
                self._count_recording(event)

    def _count_recording(self, event: EventFields) -> None:
        match event:
            case RecordingSavedEvent():
                self._saved["true" if event.complete else "false"] += 1
            case RecordingDeletedEvent():
                self._deleted[event.reason] += 1
            case RecordingFailedEvent():
                self._failed_recordings += 1


def _close_label(code: int | None) -> str:
    if code is None:
        return "none"
    return str(code) if code <= _LAST_PROTOCOL_CODE else "application"
