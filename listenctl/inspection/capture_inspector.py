"""Inspect all calls of one or more captures at the same time."""

from collections import Counter
from collections.abc import Container, Iterable

from listenctl.capture.capture_events import CapturedSession, CaptureEvent, SessionClosed, SessionOpened
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.inspection.call_inspector import CallInspector
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.settings import InspectionSettings

MAX_KEPT = 1 << 28
"""Estimated bytes of the reports that are kept; the calls after them are only counted."""
_REPORT_BYTES, _ITEM_BYTES = 6000, 300
_PARSED = 5
"""Memory of a text with its parsed values, relative to its length."""


class CaptureInspector:
    """Pass each event to the inspector of its call."""

    def __init__(
        self,
        settings: InspectionSettings | None = None,
        observers: Iterable[CallObserver] = (),
        *,
        observed: Container[int] | None = None,
    ) -> None:
        self._settings = settings or InspectionSettings()
        self._observers = list(observers)
        self._observed = observed  # numbers of the sessions that observers follow; None for all
        self._open: dict[CapturedSession, CallInspector] = {}
        self._ended: set[int] = set()  # numbers of sessions
        self._reports: list[CallReport] = []
        self._kept = 0
        self.omitted = 0  # sessions whose reports are not kept
        self._ids: Counter[str] = Counter()

    def feed_event(self, event: CaptureEvent) -> CallReport | None:
        if isinstance(event, CaptureNotice):
            return None
        inspector = self._open.get(event.session) or self._open_call(event.session)
        if inspector is None or isinstance(event, SessionOpened):
            return None
        inspector.feed_event(event)
        return self._end_call(inspector) if isinstance(event, SessionClosed) and inspector.over else None

    def finish_calls(self) -> list[CallReport]:
        """
        End the calls that are still open; return the reports of all calls, except omitted ones, in the order in which
        they began.
        """
        for inspector in list(self._open.values()):
            self._end_call(inspector)
        return sorted(self._reports, key=lambda report: report.session.number)

    def _open_call(self, session: CapturedSession) -> CallInspector | None:
        if session.number in self._ended:
            # A peer that ignores a reset may go on sending; the call is over.
            return None
        observers = self._observers if self._observed is None or session.number in self._observed else ()
        inspector = self._open[session] = CallInspector(session, self._settings, observers, make_id=self._make_id)
        for observer in observers:
            observer.on_session_opened(session)
        return inspector

    def _end_call(self, inspector: CallInspector) -> CallReport:
        del self._open[inspector.session]
        self._ended.add(inspector.session.number)
        report = inspector.finish_call()
        self._kept += _memory_of(report)
        if self._kept > MAX_KEPT:
            self.omitted += 1
        else:
            self._reports.append(report)
        return report

    def _make_id(self, call_sid: str | None, listens: bool) -> str:
        base = (call_sid if listens else None) or ("unknown" if listens else "other")
        self._ids[base] += 1
        if call_sid is None or not listens:
            return f"{base}-{self._ids[base]}"
        return base if self._ids[base] == 1 else f"{base}~{self._ids[base]}"


def _memory_of(report: CallReport) -> int:
    """Return about how many bytes a report takes."""
    session, metadata = report.session, report.metadata
    text = sum(len(head.raw) for head in (session.request, session.response) if head)
    text += len(metadata.raw) if metadata else 0
    items = len(report.marks) + len(report.clips) + len(report.gaps) + len(report.keys) + len(report.violations)
    return _REPORT_BYTES + _PARSED * text + _ITEM_BYTES * items
