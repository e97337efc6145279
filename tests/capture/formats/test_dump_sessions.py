"""Dumps as captured sessions, also from damaged files."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.capture_events import CapturedAudio, CapturedFrame, CaptureEvent
from listenctl.capture.compressed_files import OpenedCapture
from listenctl.capture.formats.dump_line_format import (
    DumpEnd,
    DumpFault,
    DumpHeader,
    DumpLoss,
    event_line,
    frame_line,
    header_line,
)
from listenctl.capture.formats.dump_sessions import read_dump_sessions
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.inspected import inspect
from tests.helpers.pcap import endings, frames, losses, notices, sessions, timed_frames

HEADER = DumpHeader("2026-11-21T15:00:00.250000Z", "CS-A", "CS-A", "10.0.0.5:4", "/a?b=1", None, "wss://h:3000/a")
BEGAN = 1795273200.25
METADATA = RawFrame(True, 0, 1, True, b'{"callSid":"CS-A","sampleRate":8000,"mixType":"mono"}')
AUDIO = RawFrame(True, 0, 2, True, bytes(320))
KILL = RawFrame(True, 0, 1, False, b'{"type":"killAudio"}')


def dumped(*lines: bytes, join_audio: bool = False) -> list[CaptureEvent]:
    file = OpenedCapture("a.jsonl", b"", iter(lines))
    return list(read_dump_sessions(file, count(1), join_audio=join_audio))


def call(header: DumpHeader = HEADER) -> list[bytes]:
    return [
        header_line(header),
        frame_line(0.0, Sender.JAMBONZ, METADATA),
        frame_line(0.02, Sender.JAMBONZ, AUDIO),
        frame_line(0.03, Sender.APPLICATION, KILL),
    ]


def test_frames_have_the_time_of_day() -> None:
    events = dumped(*call(), event_line(DumpEnd(0.5, "jambonz", 1000, "")))

    (session,) = sessions(events)
    assert (session.source, session.began) == ("a.jsonl", BEGAN)
    assert (session.client, session.server, session.encrypted) == ("10.0.0.5:4", "h:3000", True)
    assert (session.target, session.subprotocol, session.is_listen) == ("/a?b=1", None, True)
    assert not session.started_midway
    assert [(round(one.at - BEGAN, 6), one.sender, one.frame) for one in timed_frames(events)] == [
        (0.0, Sender.JAMBONZ, METADATA),
        (0.02, Sender.JAMBONZ, AUDIO),
        (0.03, Sender.APPLICATION, KILL),
    ]
    assert endings(events) == [(Sender.JAMBONZ, "closed"), (None, "closed")]
    assert events[-1].at == BEGAN + 0.5  # type: ignore[union-attr]


@pytest.mark.parametrize(("closed_by", "how"), [("nobody", "the connection broke"), (None, "never was a call")])
def test_a_call_that_nobody_closed_says_so(closed_by: str | None, how: str) -> None:
    events = dumped(*call(), event_line(DumpEnd(0.5, closed_by, 1006, "")))

    assert endings(events) == [(None, how)]


def test_several_calls_may_be_in_one_file() -> None:
    events = dumped(*call(), *call())

    assert [session.number for session in sessions(events)] == [1, 2]
    assert endings(events) == [(None, "capture")] * 2
    assert len(frames(events)) == 6


def test_a_dump_without_its_begin_is_a_call_that_started_before_it() -> None:
    events = dumped(*call()[2:])

    (session,) = sessions(events)
    assert session.started_midway
    assert session.is_listen


def test_what_could_not_be_dumped_is_reported() -> None:
    fault = event_line(DumpFault(0.1, Sender.APPLICATION, "a frame of 9 bytes, which is more than 8"))

    events = dumped(*call(), event_line(DumpLoss(0.05, 7)), fault)

    *lost, broken = losses(events)
    assert [one.sender for one in lost] == list(Sender)
    assert {one.detail for one in lost} == {"7 frames of both sides together were not written to the dump"}
    assert (broken.sender, broken.detail) == (Sender.APPLICATION, "a frame of 9 bytes, which is more than 8")


def test_lines_that_are_none_are_counted() -> None:
    events = dumped(*call(), *[b"nonsense\n"] * 100, frame_line(0.04, Sender.JAMBONZ, AUDIO))

    assert len(frames(events)) == 4
    assert notices(events) == [
        "line 5: not a JSON object; skipped",
        "the whole dump: 99 more lines skipped: not a JSON object",
    ]


FRAMES = st.one_of(
    *[st.just((Sender.JAMBONZ, AUDIO))] * 6,
    st.just((Sender.JAMBONZ, RawFrame(True, 0, 2, True, bytes(160)))),
    st.just((Sender.APPLICATION, RawFrame(True, 0, 2, False, bytes(320)))),
    st.just((Sender.APPLICATION, KILL)),
    st.just((Sender.JAMBONZ, RawFrame(False, 0, 2, True, bytes(320)))),
    st.just((Sender.JAMBONZ, RawFrame(True, 0, 1, True, b'{"event":"dtmf","dtmf":"1"}'))),
)
STEPS = st.one_of(*[st.just(0.02)] * 6, st.floats(0, 0.05), st.just(0.0), st.floats(-1, 3))


@given(st.lists(st.tuples(STEPS, FRAMES), max_size=60), st.booleans())
def test_joined_audio_has_the_frames_and_gives_the_report_of_single_ones(
    said: list[tuple[float, tuple[Sender, RawFrame]]], whole: bool
) -> None:
    at, lines = 0.05, call() if whole else []
    for step, (sender, frame) in said:
        at = max(0.0, at + step)
        lines.append(frame_line(at, sender, frame))

    joined, single = dumped(*lines, join_audio=True), dumped(*lines)

    assert [alone for event in joined for alone in apart(event)] == [comparable(event) for event in single]
    assert [(report.to_json(), report.gaps) for report in inspect(joined)] == [
        (report.to_json(), report.gaps) for report in inspect(single)
    ]


def apart(event: CaptureEvent) -> list[object]:
    """Return an event, or the frames of joined audio."""
    if isinstance(event, CapturedAudio):
        return [comparable(event.frame(number)) for number in range(len(event.times))]
    return [comparable(event)]


def comparable(event: CaptureEvent) -> object:
    return (event.at, event.sender, event.frame) if isinstance(event, CapturedFrame) else type(event)
