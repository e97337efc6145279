"""Events as objects, and who gets them."""

import pytest

from listenctl.events import (
    MAX_MESSAGE_TEXT,
    ConnectionRefusedEvent,
    EventFields,
    MessageEvent,
    RecordingFailedEvent,
    Reporter,
    message_event,
)
from listenctl.json_lines import JsonObject, json_line, timestamp
from listenctl.media.measure_levels import LevelMeasurer
from listenctl.protocol.jambonz_messages import Dtmf, JambonzMessage, Mark, PlayDone, UnknownMessage
from listenctl.server.calls.live_call import LevelReporter
from tests.helpers.server import STARTED_AT, call_log

METADATA = '{"sampleRate":8000,"mixType":"stereo","callSid":"CS-A"}'


def test_every_event_has_what_all_have_first() -> None:
    reports: list[JsonObject] = []
    reporter = Reporter(reports.append, clock=lambda: STARTED_AT)

    reporter.emit(
        ConnectionRefusedEvent(remote="h", target=None, status=401, reason="no", limit=None),
        call="CS-A~2",
        call_sid="CS-A",
        trace_id="4bf92f",
    )
    reporter.emit(MessageEvent(type=None))

    assert reports == [
        {
            "v": 1,
            "ts": "2026-11-18T11:06:40.500Z",
            "event": "connection-refused",
            "call": "CS-A~2",
            "call_sid": "CS-A",
            "trace_id": "4bf92f",
            "remote": "h",
            "target": None,
            "status": 401,
            "reason": "no",
            "limit": None,
        },
        {
            "v": 1,
            "ts": "2026-11-18T11:06:40.500Z",
            "event": "message",
            "call": None,
            "call_sid": None,
            "trace_id": None,
            "type": None,
        },
    ]
    assert list(reports[0])[:6] == ["v", "ts", "event", "call", "call_sid", "trace_id"]


def test_a_sink_gets_what_it_wants() -> None:
    failures: list[JsonObject] = []
    everything: list[JsonObject] = []
    reporter = Reporter(everything.append)
    reporter.add_sink(failures.append, frozenset(("recording-failed",)))

    reporter.emit(MessageEvent(type=None))
    reporter.emit(RecordingFailedEvent(path="a.wav", reason="full"))

    assert [report["event"] for report in everything] == ["message", "recording-failed"]
    assert [report["event"] for report in failures] == ["recording-failed"]


def test_a_counter_gets_events_and_their_calls_beside_the_sinks() -> None:
    counted: list[tuple[EventFields, str | None]] = []
    reports: list[JsonObject] = []
    reporter = Reporter(reports.append)
    reporter.add_counter(lambda event, call: counted.append((event, call)), frozenset(("recording-failed",)))
    failed = RecordingFailedEvent(path="a.wav", reason="full")

    reporter.emit(MessageEvent(type=None), call="CS-A")
    reporter.emit(failed, call="CS-A")

    assert counted == [(failed, "CS-A")]
    assert [report["event"] for report in reports] == ["message", "recording-failed"]


def test_nobody_describes_what_nobody_wants() -> None:
    reporter = Reporter()
    reporter.add_sink(list[JsonObject]().append, frozenset(("gap",)))
    reporter.add_counter(lambda *_: None, frozenset(("recording-saved",)))

    assert reporter.wants("gap")
    assert reporter.wants("recording-saved")
    assert not reporter.wants("dtmf")


def test_a_time_is_utc_with_milliseconds() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1.0005) == "1970-01-01T00:00:01.000Z"


def test_levels_are_reported_for_each_window_and_channel() -> None:
    reports: list[JsonObject] = []
    log = call_log(METADATA)
    reporter = LevelReporter(Reporter(reports.append), 0.1)
    meter: LevelMeasurer = reporter.start_meter(log)

    # 0.25 s: left at full scale, right silent.
    reporter.show_levels(log, 2000, meter.feed(b"\xff\x7f\x00\x00" * 2000))

    assert [(report["position"], report["time"]) for report in reports] == [(0, 0.0), (800, 0.1)]
    channels = reports[0]["channels"]
    assert isinstance(channels, list)
    assert (channels[0]["peak_db"], channels[0]["clipped"] > 0) == (0.0, True)
    assert channels[1]["peak_db"] <= -90
    assert reports[0]["call"] == "CS-A"


@pytest.mark.parametrize(
    "message",
    [
        Mark("m" * 5000, "playout" * 1000),
        PlayDone(id={"a": ["x"] * 5000}, reason="r" * 5000),
        Dtmf("1", "8" * 5000),
        UnknownMessage("t" * 5000, "x" * 100_000),
    ],
    ids=["mark", "playDone", "dtmf", "unknown"],
)
def test_what_is_reported_of_a_message_is_bounded(message: JambonzMessage) -> None:
    events: list[JsonObject] = []
    Reporter(events.append).emit(message_event(message), call="a", call_sid="c" * 5000)

    assert len(json_line(events[0])) < 20_000


def test_of_a_long_text_the_length_is_reported() -> None:
    assert message_event(UnknownMessage(None, "x" * MAX_MESSAGE_TEXT)).serialize() == {
        "type": None,
        "text": "x" * MAX_MESSAGE_TEXT,
    }
    assert message_event(UnknownMessage(None, "x" * 20_000)).serialize() == {
        "type": None,
        "text": "x" * MAX_MESSAGE_TEXT,
        "text_length": 20_000,
    }
