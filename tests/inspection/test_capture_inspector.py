"""Several calls at once, those who look on, and what no capture may do to the inspector."""

import json
import struct
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.capture_events import (
    CapturedFrame,
    CapturedSession,
    CaptureEvent,
    FramesLost,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.capture_inspector import CaptureInspector
from listenctl.inspection.rule_violations import Violation
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import AudioReceived, AudioSent, CallStarted, Sender
from listenctl.protocol.timeline import TimelineEntry
from tests.helpers.capture import received_audio
from tests.helpers.frames import BINARY, TEXT
from tests.helpers.inspected import (
    APPLICATION,
    BEGAN,
    JAMBONZ,
    METADATA,
    MadeUp,
    capture_events,
    inspect,
    new_session,
    rules_in,
)

CALL = json.dumps(METADATA).encode()


@dataclass
class Everything(CallObserver):
    """Note all that is told."""

    opened: list[CapturedSession] = field(default_factory=list)
    entries: list[TimelineEntry] = field(default_factory=list)
    heard: list[tuple[float, int, bytes]] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    reports: list[CallReport] = field(default_factory=list)

    def on_session_opened(self, session: CapturedSession) -> None:
        self.opened.append(session)

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:  # noqa: ARG002
        self.entries.append(entry)

    def on_frames_lost(self, session: CapturedSession, at: float, lost: FramesLost) -> None:  # noqa: ARG002
        self.lost.append(at)

    def on_played_audio(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:  # noqa: ARG002
        self.heard.append((at, sample_rate, samples))

    def on_violation(self, session: CapturedSession, violation: Violation) -> None:  # noqa: ARG002
        self.violations.append(violation)

    def on_call_finished(self, session: CapturedSession, report: CallReport) -> None:  # noqa: ARG002
        self.reports.append(report)


def frame(session: CapturedSession, at: float, opcode: int, data: bytes, sender: Sender = JAMBONZ) -> CapturedFrame:
    return CapturedFrame(BEGAN + at, session, sender, RawFrame(True, 0, opcode, sender is JAMBONZ, data), None)


def test_calls_at_once_are_kept_apart_and_reported_in_the_order_of_their_begin() -> None:
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
    ]

    reports = inspect(events)

    assert [(report.call, report.completeness.received) for report in reports] == [("CS-A", 320), ("CS-B", 0)]


def test_a_report_comes_when_its_call_ends() -> None:
    session, inspector = new_session(), CaptureInspector()
    inspector.feed_event(frame(session, 0.1, TEXT, CALL))

    first = inspector.feed_event(SessionClosed(BEGAN + 1, session, JAMBONZ, StreamEnding.FIN))
    second = inspector.feed_event(SessionClosed(BEGAN + 1, session, APPLICATION, StreamEnding.FIN))

    assert first is None
    assert second is not None
    assert second.call == "CS-A"
    assert inspector.finish_calls() == [second]


def test_what_comes_after_the_end_of_a_call_begins_no_other() -> None:
    session, inspector = new_session(), CaptureInspector()
    inspector.feed_event(SessionClosed(BEGAN + 1, session, None, StreamEnding.RST))

    inspector.feed_event(frame(session, 1.1, BINARY, b"ab"))

    assert len(inspector.finish_calls()) == 1


def test_each_call_has_an_id_of_its_own() -> None:
    texts = [CALL, CALL, b"{}", b"{}"]
    sessions = [new_session(number=number) for number in range(1, 5)]

    reports = inspect(frame(session, 0.1, TEXT, text) for session, text in zip(sessions, texts, strict=True))

    assert [report.call for report in reports] == ["CS-A", "CS-A~2", "unknown-1", "unknown-2"]


def test_notices_of_the_capture_begin_no_call() -> None:
    assert inspect([CaptureNotice("packet 3", "it is cut")]) == []


def test_another_kind_of_websocket_is_reported_and_held_against_no_rule() -> None:
    session = new_session()
    session.is_listen = False
    observer = Everything()

    call = MadeUp(session=session, metadata=b'{"hello":1}', observers=[observer])
    call.say(1.0, "what?")
    report = call.close(2.0)

    assert report.listens is False
    assert (report.violations, report.counts, observer.violations) == ([], {}, [])


def test_a_call_without_a_subprotocol_is_known_by_its_first_text() -> None:
    session = new_session()
    session.subprotocol = None

    assert MadeUp(session=session).close(1.0).listens is True


def test_who_looks_on_sees_every_sample_of_both_directions() -> None:
    name = "c2_bidir_stream8k_marks_nominus1"
    observer = Everything()
    inspector = CaptureInspector(observers=[observer])

    for event in capture_events(name):
        inspector.feed_event(event)
    (report,) = inspector.finish_calls()

    events = [entry.event for entry in observer.entries]
    assert isinstance(events[0], CallStarted)
    assert b"".join(event.data for event in events if isinstance(event, AudioReceived)) == received_audio(name).data
    assert sum(len(event.data) for event in events if isinstance(event, AudioSent)) == 144_000
    assert [entry.at for entry in observer.entries] == sorted(entry.at for entry in observer.entries)
    assert sorted(observer.violations, key=lambda one: one.at) == report.violations
    assert observer.reports == [report]
    assert len(observer.opened) == 1


def test_who_looks_on_hears_what_the_caller_hears_when_it_hears_it() -> None:
    observer = Everything()
    call = MadeUp(InspectionSettings(stream_rate=8000), [observer])
    call.stream(1.0, struct.pack("<h", 1000) * 1600)
    call.say(1.1, {"type": "killAudio"})
    call.close(3.0)

    ticks = [(at, rate, set(struct.unpack("<160h", samples))) for at, rate, samples in observer.heard]

    # 100 ms are played before the kill, of which the last tick clears the rest.
    assert 4 <= len(ticks) <= 6
    assert ticks[0][0] == pytest.approx(1.0, abs=0.021)
    assert {(rate, *values) for _, rate, values in ticks[:-1]} == {(8000, 1000)}


def test_frames_that_are_missing_are_told() -> None:
    observer = Everything()
    call = MadeUp(observers=[observer])
    call.lose(1.0)
    call.close(2.0)

    assert observer.lost == [pytest.approx(1.0)]
    assert [one.rule for one in observer.violations] == ["capture-hole"]


def test_a_report_is_json() -> None:
    for name in ("c2_bidir_stream8k_marks_nominus1", "f_pause_graceful"):
        (report,) = inspect(capture_events(name))

        read = json.loads(json.dumps(report.to_json()))

        assert read["v"] == 1
        assert read["source"] == f"{name}.pcap"
        assert read["number"] == 1


def test_a_flood_of_marks_is_listed_in_part_and_counted() -> None:
    call = MadeUp(metadata=METADATA | {"streamRate": 8000})
    for number in range(10_050):
        call.mark(1.0, str(number))

    report = call.close(2.0)

    assert len(report.marks) == 10_000
    assert report.to_json()["not_listed"] == 50
    assert report.counts["marks-too-many"] == 10_020


FRAMES = st.builds(
    RawFrame,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 4]),
    opcode=st.sampled_from([0, 1, 1, 2, 2, 3, 8, 9, 10]),
    masked=st.booleans(),
    payload=st.binary(max_size=400)
    | st.sampled_from(
        [
            CALL,
            b'{"type":"mark","data":{"name":"a"}}',
            b'{"type": "mark", "data": {"name":"a", "event": "playout"}}',
            b'{"type":"playAudio","data":{"audioContent":"AADoAw==","audioContentType":"raw","id":"x"}}',
            b'{"type":"playDone","data":{"id":"x"}}',
            b'{"type":"killAudio"}',
            b'{"type":"clearMarks"}',
            b'{"type":"disconnect"}',
            b'{"sampleRate":384000,"mixType":"stereo","streamRate":1000}',
            bytes(640),
        ]
    ),
)
TIMES = st.floats(-10, 1e6) | st.floats(0, 20)


@given(
    st.lists(st.tuples(TIMES, st.sampled_from(Sender), FRAMES), max_size=30),
    st.sampled_from([None, 0, 8000, 16000]),
    st.booleans(),
)
def test_nothing_makes_it_raise(
    frames: list[tuple[float, Sender, RawFrame]], stream_rate: int | None, midway: bool
) -> None:
    session = new_session(request=None) if midway else new_session()
    observer = Everything()
    inspector = CaptureInspector(InspectionSettings(stream_rate=stream_rate, detect_dtmf=True), [observer])

    for at, sender, raw in frames:
        inspector.feed_event(CapturedFrame(BEGAN + at, session, sender, raw, None))
    inspector.feed_event(SessionClosed(BEGAN + 30, session, None, StreamEnding.FIN))
    (report,) = inspector.finish_calls()

    json.dumps(report.to_json(), allow_nan=False)
    assert report.table_row()["number"] == 1
    assert all(one.at >= 0 for one in report.violations)
    assert [entry.at for entry in observer.entries] == sorted(entry.at for entry in observer.entries)
    assert len(rules_in(report)) <= sum(report.counts.values())
