"""Inspect all calls of one or more captures at once."""

from collections import Counter
from collections.abc import Iterable

from listenctl.capture.capture_events import CapturedSession, CaptureEvent, SessionClosed, SessionOpened
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.inspection.call_inspector import CallInspector
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.settings import InspectionSettings


class CaptureInspector:
    """
    Hand each event to the inspector of its call.

    Attributes:
        observers: told of everything in every call; add them before the first event.
        notices: what was wrong with the captures themselves.
    """

    def __init__(self, settings: InspectionSettings | None = None, observers: Iterable[CallObserver] = ()) -> None:
        self._settings = settings or InspectionSettings()
        self._open: dict[CapturedSession, CallInspector] = {}
        self._ended: set[CapturedSession] = set()
        self._reports: list[CallReport] = []
        self._ids: Counter[str] = Counter()
        self.observers = list(observers)
        self.notices: list[CaptureNotice] = []

    def feed(self, event: CaptureEvent) -> CallReport | None:
        """Take an event; return the report of the call that it ends."""
        if isinstance(event, CaptureNotice):
            self.notices.append(event)
            return None
        inspector = self._open.get(event.session) or self._begin(event.session)
        if inspector is None or isinstance(event, SessionOpened):
            return None
        inspector.feed(event)
        return self._end(inspector) if isinstance(event, SessionClosed) and inspector.over else None

    def finish(self) -> list[CallReport]:
        """End the calls that go on at the end of the captures; return all reports, in the order of their begin."""
        for inspector in list(self._open.values()):
            self._end(inspector)
        return sorted(self._reports, key=lambda report: report.session.number)

    def _begin(self, session: CapturedSession) -> CallInspector | None:
        if session in self._ended:
            # After a reset that its receiver ignored more may come; the call is over all the same.
            return None
        inspector = self._open[session] = CallInspector(session, self._settings, self.observers, name=self._name)
        for observer in self.observers:
            observer.on_opened(session)
        return inspector

    def _end(self, inspector: CallInspector) -> CallReport:
        del self._open[inspector.session]
        self._ended.add(inspector.session)
        report = inspector.finish()
        self._reports.append(report)
        return report

    def _name(self, call_sid: str | None) -> str:
        """Return an id that no other call has."""
        base = call_sid or "unknown"
        self._ids[base] += 1
        if call_sid is None:
            return f"unknown-{self._ids[base]}"
        return base if self._ids[base] == 1 else f"{base}~{self._ids[base]}"
