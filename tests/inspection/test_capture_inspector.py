import json

import pytest

import listenctl.inspection.capture_inspector as inspector_module
from listenctl.capture.capture_events import CapturedFrame, CapturedSession, CaptureEvent, SessionClosed, SessionOpened
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.inspection.capture_inspector import CaptureInspector
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.frames import BINARY, TEXT
from tests.helpers.inspected import APPLICATION, BEGAN, JAMBONZ, METADATA, inspect, new_session
from tests.inspection.test_call_inspector import RecordingObserver

CALL = json.dumps(METADATA).encode()


def frame(session: CapturedSession, at: float, opcode: int, data: bytes, sender: Sender = JAMBONZ) -> CapturedFrame:
    return CapturedFrame(BEGAN + at, session, sender, RawFrame(True, 0, opcode, sender is JAMBONZ, data), None)


def test_simultaneous_calls_are_kept_apart_and_reported_in_the_order_of_their_start() -> None:
    one, other = new_session(number=1), new_session(number=2)
    events: list[CaptureEvent] = [
        SessionOpened(BEGAN, one),
        SessionOpened(BEGAN, other),
        frame(other, 0.1, TEXT, CALL.replace(b"CS-A", b"CS-B")),
        frame(one, 0.1, TEXT, CALL),
        frame(one, 0.12, BINARY, bytes(320)),
        SessionClosed(BEGAN + 1, other, None, StreamEnding.FIN),
        frame(one, 1.14, BINARY, bytes(320)),
        SessionClosed(BEGAN + 2, one, None, StreamEnding.FIN),
        CaptureNotice("packet 3", "it is cut"),
    ]

    reports = inspect(events)

    assert [(report.call, report.completeness.received) for report in reports] == [("CS-A", 320), ("CS-B", 0)]


def test_a_report_is_returned_when_its_call_ends() -> None:
    session, inspector = new_session(), CaptureInspector()
    inspector.feed_event(frame(session, 0.1, TEXT, CALL))

    first = inspector.feed_event(SessionClosed(BEGAN + 1, session, JAMBONZ, StreamEnding.FIN))
    second = inspector.feed_event(SessionClosed(BEGAN + 1, session, APPLICATION, StreamEnding.FIN))

    assert first is None
    assert second is not None
    assert second.call == "CS-A"
    assert inspector.finish_calls() == [second]


def test_frames_after_the_end_of_a_call_start_no_other() -> None:
    session = new_session()

    reports = inspect([SessionClosed(BEGAN + 1, session, None, StreamEnding.RST), frame(session, 1.1, BINARY, b"ab")])

    assert len(reports) == 1


def test_each_call_has_a_unique_id() -> None:
    texts = [CALL, CALL, b"{}", b"{}"]
    sessions = [new_session(number=number) for number in range(1, 5)]

    reports = inspect(frame(session, 0.1, TEXT, text) for session, text in zip(sessions, texts, strict=True))

    assert [report.call for report in reports] == ["CS-A", "CS-A~2", "unknown-1", "unknown-2"]


@pytest.mark.parametrize(("observed", "numbers"), [(None, [1, 2]), ({2}, [2])])
def test_observers_follow_the_calls_that_they_observe(observed: set[int] | None, numbers: list[int]) -> None:
    observer = RecordingObserver()
    inspector = CaptureInspector(observers=[observer], observed=observed)
    for number in (1, 2):
        inspector.feed_event(frame(new_session(number=number), 0.1, TEXT, CALL))

    assert len(inspector.finish_calls()) == 2
    assert [report.session.number for report in observer.reports] == numbers


def test_reports_are_kept_as_far_as_memory_allows_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector_module, "MAX_KEPT", 30_000)
    inspector = CaptureInspector()

    for number in range(1, 11):
        session = new_session(number=number, response=None)
        inspector.feed_event(SessionOpened(BEGAN, session))
        inspector.feed_event(SessionClosed(BEGAN + 1, session, None, "refused"))

    reports = inspector.finish_calls()
    assert len(reports) + inspector.omitted == 10
    assert [report.session.number for report in reports] == list(range(1, len(reports) + 1))
    assert 2 < len(reports) < 7
