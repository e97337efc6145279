"""What the parent of workers knows of their calls."""

from pathlib import Path

from listenctl.events import (
    CallEndedEvent,
    CallStartedEvent,
    DtmfEvent,
    EventFields,
    GapEvent,
    RecordingFailedEvent,
    RecordingSavedEvent,
    WarningEvent,
)
from listenctl.protocol.gaps.gap import Gap, GapKind
from listenctl.server.workers.pool_calls import PoolCalls

STARTED = CallStartedEvent(
    caller="1508",
    callee="1509",
    direction="inbound",
    remote="127.0.0.1:5",
    target="/",
    subprotocol=None,
    upstream=None,
    sample_rate=8000,
    channels=1,
    mix_type="mono",
    metadata={},
    metadata_valid=True,
)
ENDED = CallEndedEvent(
    caller="1508",
    callee="1509",
    direction="inbound",
    duration=1.0,
    seconds=1.0,
    close_code=None,
    close_reason="",
    closed_by="nobody",
    warnings=0,
    received_samples=8000,
    lost_samples=0,
    paused_samples=0,
    unrecorded_samples=0,
    completeness=1.0,
    complete=True,
    clock_drift_ppm=None,
)
SAVED = RecordingSavedEvent(
    path="a.wav",
    paths=["a.wav"],
    sidecar="a.json",
    format="wav",
    samples=8000,
    seconds=1.0,
    bytes=16_044,
    lost_samples=0,
    unrecorded_samples=0,
    complete=True,
    warnings=[],
)


def gap(kind: GapKind, missing: int) -> GapEvent:
    return GapEvent.of(Gap(kind, 0, missing / 8000, 0.02, missing=missing), 8000)


def take(calls: PoolCalls, call: str, *events: EventFields, worker: int = 0) -> None:
    for event in events:
        calls.take_event(event, 5.0, {"call": call, "call_sid": f"sid-{call}"}, worker=worker)


def test_calls_are_named_oldest_first_with_their_worker() -> None:
    calls = PoolCalls(recording=False)
    take(calls, "b", STARTED, worker=1)
    take(calls, "a", STARTED)
    take(calls, "c", STARTED, ENDED)

    assert [(call.worker, name, sid) for call, name, sid in calls.named] == [(1, "b", "sid-b"), (0, "a", "sid-a")]
    assert [call.id for call in calls.of_worker(1)] == ["b"]
    assert (calls.total, calls.broken) == (3, 1)


def test_late_metadata_can_change_the_call_sid() -> None:
    calls = PoolCalls(recording=False)
    calls.take_event(STARTED, 5.0, {"call": "unknown-1", "call_sid": None}, worker=0)
    calls.take_event(
        DtmfEvent(digit="5", duration_ms=None, duration=None), 5.0, {"call": "unknown-1", "call_sid": "x"}, worker=0
    )

    assert [(name, sid, call.last_digit) for call, name, sid in calls.named] == [("unknown-1", "x", "5")]


def test_lost_audio_and_pauses_are_counted_apart() -> None:
    calls = PoolCalls(recording=False)
    take(calls, "a", STARTED, gap(GapKind.HOLE, 8000), gap(GapKind.PAUSE, 4000), WarningEvent(rule="x", detail=""))
    (call,) = calls.live

    assert (call.lost_samples, call.paused_samples, call.warnings, call.gap_seconds) == (8000, 4000, 1, 1.5)
    assert [one.kind for one in call.gaps] == ["hole", "pause"]
    take(calls, "a", ENDED)
    assert calls.gap_seconds == 1.5


def test_a_recorded_call_is_known_until_its_recording_is_finished() -> None:
    calls = PoolCalls(recording=True)
    failed = RecordingFailedEvent(path="a.wav", reason="the disk is full")
    take(calls, "a", STARTED, failed)
    take(calls, "b", STARTED, ENDED)
    take(calls, "c", STARTED, ENDED, SAVED)
    take(calls, "d", STARTED, ENDED, failed)

    assert [call.id for call in calls.of_worker(0)] == ["a", "b"]
    assert [call.recording_failed for call in calls.live] == [True]
    assert (calls.recorded_bytes, calls.recorded_seconds) == (16_044, 1.0)


def test_a_call_whose_files_could_not_be_created_is_known_until_it_ends() -> None:
    calls = PoolCalls(recording=True)
    failed = RecordingFailedEvent(path="a.wav", reason="the disk is full")
    for name in ("without files", "with files"):
        take(calls, name, STARTED, failed)
    with_files = calls.find_call("with files")
    assert with_files is not None
    with_files.files = [Path("a.wav")]
    for name in ("without files", "with files"):
        take(calls, name, ENDED)

    assert [call.id for call in calls.of_worker(0)] == ["with files"]


def test_what_is_about_no_known_call_is_ignored() -> None:
    calls = PoolCalls(recording=True)
    take(calls, "a", ENDED, SAVED)
    calls.take_event(WarningEvent(rule="x", detail=""), 5.0, {}, worker=0)

    assert calls.live == []
