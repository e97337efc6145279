"""The totals that a server reports when it ends, counted from its events."""

from listenctl.events import CallEndedEvent, EventFields, ExecEndedEvent, RecordingSavedEvent, ServerEndedEvent

COUNTED_EVENTS = frozenset((CallEndedEvent.event, RecordingSavedEvent.event, ExecEndedEvent.event))


class ServerTotals:
    """
    Count calls, and what they lack.

    A call that is recorded is complete when its recording is saved and complete: nothing else is certainly on disk.
    """

    def __init__(self, *, recording: bool) -> None:
        self._recording = recording
        self._calls = 0
        self._complete = 0
        self._lost = 0.0
        self._unrecorded = 0.0
        self._unread = 0.0
        self.programs_lost_audio = False
        self._rates: dict[str | None, float] = {}  # samples per second of calls that have ended but aren't saved

    def take_event(self, event: EventFields, call: str | None) -> None:
        """Count one of ``COUNTED_EVENTS``; a call ends before it is saved."""
        match event:
            case CallEndedEvent():
                self._take_call(event, call)
            case RecordingSavedEvent() if call in self._rates:  # Others are of an earlier server.
                self._complete += bool(event.complete)
                rate = self._rates.pop(call, 0.0)
                self._unrecorded += event.unrecorded_samples / rate if rate else 0.0
            case ExecEndedEvent():
                self.programs_lost_audio |= event.dropped_samples > 0
                self._unread += event.dropped_seconds

    def _take_call(self, ended: CallEndedEvent, call: str | None) -> None:
        self._calls += 1
        rate = ended.received_samples / ended.seconds if ended.seconds else 0.0
        self._lost += ended.lost_samples / rate if rate else 0.0
        if self._recording:
            self._rates[call] = rate
        else:
            self._complete += bool(ended.complete)

    def describe(self) -> ServerEndedEvent:
        return ServerEndedEvent(
            calls=self._calls,
            complete_calls=self._complete,
            lost_seconds=round(self._lost, 3),
            unrecorded_seconds=round(self._unrecorded, 3),
            unread_seconds=round(self._unread, 3),
        )
