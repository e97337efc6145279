"""The span of a call: what it says, and what it keeps to itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from listenctl.events import GapEvent, MarkEvent, RecordingFailedEvent
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.server.telemetry import call_spans
from listenctl.server.telemetry.call_spans import MAX_EVENTS, CallSpan, CallSpans, trace_id_of
from tests.helpers.frames import binary, close, text
from tests.helpers.server import FAST, Running, running

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
METADATA = text(
    '{"sampleRate":8000,"mixType":"mono","callSid":"CS-A","accountSid":"AC-B","direction":"inbound",'
    f'"traceId":"{TRACE_ID}",'
    '"from":"+15550001","to":"+15550002","callerName":"Bob","customerData":{"secret":"s3cret"}}'
)
DTMF = text('{"event":"dtmf","dtmf":"7","duration":"1600"}')
MARK = text('{"type":"mark","data":{"name":"m1","event":"playout"}}')
PLAY_DONE = text('{"type":"playDone","data":{"id":"clip","reason":"completed","playbackMilliseconds":1240}}')


@asynccontextmanager
async def tracing(record: Path | None = None) -> AsyncIterator[tuple[Running, list[CallSpan]]]:
    """Run a server, with the list of the spans of its calls."""
    spans: list[CallSpan] = []
    async with running(record=record) as run:
        CallSpans(run.server, spans.append)
        yield run, spans


async def test_a_span_says_how_a_call_went() -> None:
    async with tracing() as (run, spans):
        peer = await run.call(METADATA, binary(bytes(16_000)), MARK, DTMF, PLAY_DONE)
        await run.events.wait_for("play-done")
        before = run.server.unix_clock()
        await peer.send(close())
        await run.events.wait_for("call-ended")

    [span] = spans
    assert span.trace_id == int(TRACE_ID, 16)
    assert span.start < before <= span.end
    assert span.failure == ""
    assert span.attributes == {
        "callSid": "CS-A",
        "accountSid": "AC-B",
        "direction": "inbound",
        "client.address": "127.0.0.1",
        "server.port": run.port,
        "url.path": "/calls",
        "network.protocol.name": "websocket",
        "listenctl.call": "CS-A",
        "listenctl.sample_rate": 8000,
        "listenctl.channels": 1,
        "listenctl.seconds": 1.0,
        "listenctl.closed_by": "jambonz",
        "listenctl.close_code": 1000,
        "listenctl.received_samples": 8000,
        "listenctl.lost_samples": 0,
        "listenctl.paused_samples": 0,
        "listenctl.unrecorded_samples": 0,
        "listenctl.completeness": 1.0,
        "listenctl.warnings": 0,
        "listenctl.events_left_out": 0,
    }
    events = [event for event in span.events if event.name != "gap"]
    assert {event.name: event.attributes for event in events} == {
        "mark": {"name": "m1", "result": "playout", "time": 1.0},
        "dtmf": {"duration_ms": 200.0, "time": 1.0},
        "play-done": {"id": "clip", "reason": "completed", "played_ms": 1240.0, "time": 1.0},
    }
    assert all(span.start < event.at < before for event in events)


async def test_a_span_names_no_party_digit_or_file(tmp_path: Path) -> None:
    async with tracing(tmp_path) as (run, spans):
        peer = await run.call(METADATA, binary(bytes(320)), DTMF, close())
        await run.events.wait_for("recording-saved")
        await peer.close()

    shown = repr(spans)
    assert "CS-A" in shown
    assert not [private for private in ("+1555", "Bob", "s3cret", "'7'", str(tmp_path)) if private in shown]


@pytest.mark.parametrize("trace_id", ["", "tr", "0" * 32, "g" * 32, f"{TRACE_ID}0", f" {TRACE_ID[1:]}"])
def test_without_a_usable_id_a_call_has_a_trace_of_its_own(trace_id: str) -> None:
    assert trace_id_of(CallMetadata.from_fields({"traceId": trace_id})) == 0


def test_the_trace_id_may_be_in_capitals() -> None:
    assert trace_id_of(CallMetadata.from_fields({"traceId": TRACE_ID.upper()})) == int(TRACE_ID, 16)
    assert trace_id_of(CallMetadata.from_fields({"traceId": 5})) == 0


async def test_metadata_that_come_late_still_name_the_trace() -> None:
    spans: list[CallSpan] = []
    async with running(replace(FAST, metadata_timeout=0.05)) as run:
        CallSpans(run.server, spans.append)
        peer = await run.call(binary(bytes(320)))
        await run.events.wait_for_warning("no-metadata")
        await peer.send(METADATA, close())
        await run.events.wait_for("call-ended")

    assert [(span.trace_id, span.attributes["callSid"]) for span in spans] == [(int(TRACE_ID, 16), "CS-A")]


async def test_a_span_waits_for_the_recording(tmp_path: Path) -> None:
    async with tracing(tmp_path) as (run, spans):
        await run.call(METADATA, binary(bytes(16_000)), close())
        await run.events.wait_for("call-ended")
        ended = list(spans)
        saved = await run.events.wait_for("recording-saved")

    assert ended == []
    [span] = spans
    [event] = [event for event in span.events if event.name == "recording-saved"]
    assert event.attributes == {"format": "wav", "seconds": 1.0, "bytes": saved["bytes"], "complete": True}
    assert span.attributes["listenctl.unrecorded_samples"] == 0
    assert span.failure == ""


async def test_a_recording_that_failed_is_a_failure(tmp_path: Path) -> None:
    async with tracing(tmp_path) as (run, spans):
        peer = await run.call(METADATA, binary(bytes(320)))
        started = await run.events.wait_for("call-started")
        run.server.reporter.emit(RecordingFailedEvent(path="/secret", reason="/secret is full"), call=started["call"])
        await peer.send(close())
        await run.events.wait_for("recording-saved")

    [span] = spans
    assert [event.name for event in span.events] == ["recording-failed", "recording-saved"]
    # What was saved in the end is what counts.
    assert span.failure == ""
    assert "secret" not in repr(span)


async def test_a_recording_that_is_never_saved_is_a_failure(tmp_path: Path) -> None:
    async with tracing() as (run, spans):
        peer = await run.call(METADATA, binary(bytes(320)))
        started = await run.events.wait_for("call-started")
        run.server.reporter.emit(RecordingFailedEvent(path="/secret", reason="/secret is full"), call=started["call"])
        await peer.send(close())
        await run.events.wait_for("call-ended")

    assert [span.failure for span in spans] == ["the recording failed"]


async def test_a_connection_that_breaks_is_a_failure() -> None:
    async with tracing() as (run, spans):
        peer = await run.call(METADATA, binary(bytes(320)))
        await run.events.wait_for("call-started")
        await peer.reset()
        await run.events.wait_for("call-ended")

    [span] = spans
    assert span.failure == "the connection broke"
    assert span.attributes["listenctl.closed_by"] == "nobody"


async def test_of_very_many_events_the_last_ones_are_kept() -> None:
    async with tracing() as (run, spans):
        peer = await run.call(METADATA)
        started = await run.events.wait_for("call-started")
        for number in range(MAX_EVENTS + 7):
            gap = GapEvent(kind="hole", position=number, time=0.0, length=0.5, missing=4000)
            run.server.reporter.emit(gap, call=started["call"])
        await peer.send(close())
        await run.events.wait_for("call-ended")

    [span] = spans
    assert len(span.events) == MAX_EVENTS
    assert span.events[-1].attributes["position"] == MAX_EVENTS + 6
    assert span.attributes["listenctl.events_left_out"] == 7


async def test_ended_calls_do_not_wait_without_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(call_spans, "MAX_UNFINISHED", 1)
    spans: list[CallSpan] = []
    async with running(record=tmp_path) as run:
        traced = CallSpans(run.server, spans.append)
        peers = [await run.call(METADATA) for _ in range(2)]
        await run.events.wait_for("call-started", 2)
        for peer in peers:
            await peer.send(close())
        await run.events.wait_for("recording-saved", 2)
    traced.finish_all()

    assert sorted(str(span.attributes["listenctl.call"]) for span in spans) == ["CS-A", "CS-A~2"]


async def test_a_span_that_fails_costs_no_call(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    def fail(_: CallSpan) -> None:
        raise ZeroDivisionError

    async with running(record=tmp_path) as run:
        CallSpans(run.server, fail)
        await run.call(METADATA, binary(bytes(320)), close())
        saved = await run.events.wait_for("recording-saved")

    assert saved["complete"]
    assert "a span failed unexpectedly" in caplog.text


async def test_texts_of_the_peer_are_short_and_unicode() -> None:
    async with tracing() as (run, spans):
        peer = await run.call(METADATA)
        started = await run.events.wait_for("call-started")
        mark = MarkEvent(name="\ud800" + "x" * 500, result="playout")
        run.server.reporter.emit(mark, call=started["call"])
        await peer.send(close())
        await run.events.wait_for("call-ended")

    # What is no Unicode would fail the whole export.
    assert spans[0].events[0].attributes["name"] == "?" + "x" * 255
