"""The totals that a server reports when it ends, counted from its events."""

from listenctl.events import ServerEndedEvent
from listenctl.json_lines import ReportedEvent

COUNTED_EVENTS = frozenset(("call-ended", "recording-saved", "exec-ended"))


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
        self._rates: dict[str, float] = {}  # samples per second of calls that have ended but aren't saved

    def take_event(self, report: ReportedEvent) -> None:
        """Count one of ``COUNTED_EVENTS``; a call ends before it is saved."""
        call = str(report["call"])
        if report["event"] == "exec-ended":
            self.programs_lost_audio |= report["dropped_samples"] > 0
            self._unread += report["dropped_seconds"]
            return
        if report["event"] == "recording-saved":
            self._complete += bool(report["complete"])
            rate = self._rates.pop(call, 0.0)
            self._unrecorded += report["unrecorded_samples"] / rate if rate else 0.0
            return
        self._calls += 1
        rate = report["received_samples"] / report["seconds"] if report["seconds"] else 0.0
        self._lost += report["lost_samples"] / rate if rate else 0.0
        if self._recording:
            self._rates[call] = rate
        else:
            self._complete += bool(report["complete"])

    def describe(self) -> ServerEndedEvent:
        return ServerEndedEvent(
            calls=self._calls,
            complete_calls=self._complete,
            lost_seconds=round(self._lost, 3),
            unrecorded_seconds=round(self._unrecorded, 3),
            unread_seconds=round(self._unread, 3),
        )
