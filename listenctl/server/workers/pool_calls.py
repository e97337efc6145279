"""The calls of all workers, as their events tell of them: to find a call's worker, and to end it if that dies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from listenctl.events import (
    CallEndedEvent,
    CallIdentity,
    CallStartedEvent,
    DtmfEvent,
    EventFields,
    GapEvent,
    RecordingFailedEvent,
    RecordingSavedEvent,
    WarningEvent,
)
from listenctl.protocol.gaps.gap import GapKind
from listenctl.server.control_api.find_live_call import NamedCall

MAX_GAPS = 1000
"""Gaps of a call that are remembered one by one; the lost audio of others is only counted."""


@dataclass(slots=True)
class PoolCall:
    """A call of the worker ``worker`` that lasts, or whose recording isn't finished."""

    id: str
    about: CallIdentity
    worker: int
    started: CallStartedEvent
    started_at: float  # Unix time
    ended: bool = False
    files: Sequence[Path] = ()  # of its recording
    sidecar: Path | None = None
    gaps: list[GapEvent] = field(default_factory=list)
    lost_samples: int = 0
    paused_samples: int = 0
    warnings: int = 0
    last_digit: str = ""
    recording_failed: bool = False

    @property
    def gap_seconds(self) -> float:
        return (self.lost_samples + self.paused_samples) / self.started.sample_rate

    def take_gap(self, gap: GapEvent) -> None:
        if len(self.gaps) < MAX_GAPS:
            self.gaps.append(gap)
        if gap.kind == GapKind.PAUSE:
            self.paused_samples += gap.missing
        else:
            self.lost_samples += gap.missing


class PoolCalls:
    """All calls, oldest first; ``recording`` is whether they are recorded."""

    def __init__(self, *, recording: bool) -> None:
        self.total = 0
        self.broken = 0  # calls whose connection broke
        self.recorded_bytes = 0
        self.recorded_seconds = 0.0
        self._ended_gap_seconds = 0.0
        self._recording = recording
        self._calls: dict[str, PoolCall] = {}

    @property
    def live(self) -> list[PoolCall]:
        return [call for call in self._calls.values() if not call.ended]

    @property
    def gap_seconds(self) -> float:
        """Seconds of audio that all calls lack."""
        return self._ended_gap_seconds + sum(call.gap_seconds for call in self.live)

    @property
    def named(self) -> list[NamedCall[PoolCall]]:
        return [(call, call.id, call.about.get("call_sid")) for call in self.live]

    def find_call(self, call_id: str | None) -> PoolCall | None:
        return None if call_id is None else self._calls.get(call_id)

    def take_event(self, event: EventFields, at: float, about: CallIdentity, *, worker: int) -> None:
        call_id = about.get("call")
        if call_id is None:
            return
        if isinstance(event, CallStartedEvent):
            self.total += 1
            self._calls[call_id] = PoolCall(call_id, about, worker, event, at)
            return
        call = self._calls.get(call_id)
        if call is None:
            return
        call.about = about  # Late metadata can change it.
        self._note_event(call, event)
        if self._is_over(call, event):
            del self._calls[call_id]

    def _note_event(self, call: PoolCall, event: EventFields) -> None:
        match event:
            case GapEvent():
                call.take_gap(event)
            case WarningEvent():
                call.warnings += 1
            case DtmfEvent(digit=digit):
                call.last_digit = digit
            case CallEndedEvent():
                call.ended = True
                self.broken += event.closed_by == "nobody"
                self._ended_gap_seconds += call.gap_seconds
            case RecordingFailedEvent():
                call.recording_failed = True
            case RecordingSavedEvent():
                self.recorded_bytes += event.bytes
                self.recorded_seconds += event.seconds

    def _is_over(self, call: PoolCall, event: EventFields) -> bool:
        """Return whether nothing is left to do for a call after an event about it."""
        if isinstance(event, RecordingSavedEvent | RecordingFailedEvent):
            return call.ended
        # Nothing more is said of a recording whose files could not be created.
        lacks_recording = not self._recording or (call.recording_failed and not call.files)
        return isinstance(event, CallEndedEvent) and lacks_recording

    def of_worker(self, worker: int) -> list[PoolCall]:
        return [call for call in self._calls.values() if call.worker == worker]
