import json
import struct
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from listenctl.capture.capture_events import CapturedFrame, CapturedSession, FramesLost, SessionClosed
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.rule_violations import Violation
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import AudioReceived, AudioSent, CallStarted, Sender
from listenctl.protocol.timeline import TimelineEntry
from tests.helpers.capture import received_audio
from tests.helpers.inspected import BEGAN, METADATA, MadeUp, capture_events, inspect, new_session, rules_in


@dataclass
class RecordingObserver(CallObserver):
    """Record all calls of its methods."""

    opened: list[CapturedSession] = field(default_factory=list)
    entries: list[TimelineEntry] = field(default_factory=list)
    played: list[tuple[float, int, bytes]] = field(default_factory=list)
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
        self.played.append((at, sample_rate, samples))

    def on_violation(self, session: CapturedSession, violation: Violation) -> None:  # noqa: ARG002
        self.violations.append(violation)

    def on_call_finished(self, session: CapturedSession, report: CallReport) -> None:  # noqa: ARG002
        self.reports.append(report)


def test_another_kind_of_websocket_is_reported_without_violations() -> None:
    observer = RecordingObserver()
    session = replace(new_session(), is_listen=False)
    call = MadeUp(session=session, metadata=b'{"hello":1}', observers=[observer])
    call.say(1.0, "what?")
    report = call.close(2.0)

    assert report.listens is False
    assert (report.violations, report.counts, observer.violations) == ([], {}, [])


def test_a_call_without_a_subprotocol_is_recognised_by_its_first_text() -> None:
    assert MadeUp(session=replace(new_session(), subprotocol=None)).close(1.0).listens is True


def test_observers_receive_every_sample_of_both_directions() -> None:
    name = "c2_bidir_stream8k_marks_nominus1"
    observer = RecordingObserver()

    (report,) = inspect(capture_events(name), observers=[observer])

    events = [entry.event for entry in observer.entries]
    assert isinstance(events[0], CallStarted)
    assert b"".join(event.data for event in events if isinstance(event, AudioReceived)) == received_audio(name).data
    assert sum(len(event.data) for event in events if isinstance(event, AudioSent)) == 144_000
    assert [entry.at for entry in observer.entries] == sorted(entry.at for entry in observer.entries)
    assert sorted(observer.violations, key=lambda one: one.at) == report.violations
    assert observer.reports == [report]
    assert len(observer.opened) == 1


def test_observers_receive_what_the_caller_hears_at_its_time() -> None:
    observer = RecordingObserver()
    call = MadeUp(InspectionSettings(stream_rate=8000), [observer])
    call.stream(1.0, struct.pack("<h", 1000) * 1600)
    call.say(1.1, {"type": "killAudio"})
    call.close(3.0)

    ticks = [(at, rate, set(struct.unpack("<160h", samples))) for at, rate, samples in observer.played]

    # 100 ms are played before the kill, the last tick of which clears the rest.
    assert 4 <= len(ticks) <= 6
    assert ticks[0][0] == pytest.approx(1.0, abs=0.021)
    assert {(rate, *values) for _, rate, values in ticks[:-1]} == {(8000, 1000)}


def test_observers_learn_of_frames_that_are_missing() -> None:
    observer = RecordingObserver()
    call = MadeUp(observers=[observer])
    call.lose(1.0)
    call.close(2.0)

    assert observer.lost == [pytest.approx(1.0)]
    assert [one.rule for one in observer.violations] == ["capture-hole"]


FRAMES = st.builds(
    RawFrame,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 4]),
    opcode=st.sampled_from([0, 1, 1, 2, 2, 3, 8, 9, 10]),
    masked=st.booleans(),
    payload=st.binary(max_size=400)
    | st.sampled_from(
        [
            json.dumps(METADATA).encode(),
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


HALF_A_SAMPLE_IS_HELD = [
    (0.0, Sender.JAMBONZ, RawFrame(False, 0, 0, False, b"")),
    (0.0, Sender.APPLICATION, RawFrame(True, 0, 1, False, b'{"type":"mark","data":{"name":""}}')),
    (0.0, Sender.APPLICATION, RawFrame(True, 0, 2, False, b"\0")),
    (1.0, Sender.JAMBONZ, RawFrame(False, 0, 0, False, b"")),
    (0.0, Sender.APPLICATION, RawFrame(True, 0, 2, False, b"")),
]


@example(HALF_A_SAMPLE_IS_HELD, None, False)
@given(
    st.lists(st.tuples(st.floats(-10, 1e6) | st.floats(0, 20), st.sampled_from(Sender), FRAMES), max_size=30),
    st.sampled_from([None, 0, 8000, 16000]),
    st.booleans(),
)
def test_any_frames_can_be_inspected(
    frames: list[tuple[float, Sender, RawFrame]], stream_rate: int | None, midway: bool
) -> None:
    session = new_session(request=None) if midway else new_session()
    observer = RecordingObserver()
    events = [CapturedFrame(BEGAN + at, session, sender, raw, None) for at, sender, raw in frames]
    end = SessionClosed(BEGAN + 30, session, None, StreamEnding.FIN)

    (report,) = inspect([*events, end], InspectionSettings(stream_rate=stream_rate, detect_dtmf=True), [observer])

    json.dumps(report.to_json(), allow_nan=False)
    assert report.table_row()["number"] == 1
    assert all(one.at >= 0 for one in report.violations)
    assert [entry.at for entry in observer.entries] == sorted(entry.at for entry in observer.entries)
    assert len(rules_in(report)) <= sum(report.counts.values())


@pytest.mark.parametrize("by", list(Sender))
def test_a_side_that_ends_within_a_frame_is_no_hole_of_the_capture(by: Sender) -> None:
    call = MadeUp()
    call.listen(0.0, 2.0)
    call.inspector.feed_event(FramesLost(BEGAN + 2.01, call.session, by, 7, "the stream ends (rst) in a frame", by))

    report = call.end(2.02, how=StreamEnding.RST, sender=by)

    assert [(one.rule, one.severity, one.sender) for one in report.violations] == [("frame-cut", "warning", str(by))]
    assert report.completeness.share == 1
