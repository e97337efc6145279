"""The calls of a worker that has died."""

from pathlib import Path

from listenctl.events import CallEndedEvent, EventFields, RecordingFailedEvent, RecordingSavedEvent
from listenctl.protocol.gaps.gap import GapKind
from listenctl.server.workers.dead_worker import end_call_of_dead_worker
from listenctl.server.workers.pool_calls import PoolCall
from tests.server.recording.test_abandoned_recording import abandon
from tests.server.workers.test_pool_calls import STARTED, gap


async def end(call: PoolCall) -> list[EventFields]:
    """Return what is reported of the call of a worker that was killed 7 s after the call had begun."""
    events: list[EventFields] = []
    await end_call_of_dead_worker(call, lambda _, event: events.append(event), lambda: 12.0, "was killed by SIGKILL")
    return events


def call_of(**fields: object) -> PoolCall:
    call = PoolCall("a", {"call": "a"}, 0, STARTED, 5.0)
    for name, value in fields.items():
        setattr(call, name, value)
    return call


async def test_a_call_that_was_recorded_ends_with_what_is_on_disk(tmp_path: Path) -> None:
    recording = abandon(tmp_path)
    call = call_of(files=recording.paths, sidecar=recording.sidecar_path)
    call.take_gap(gap(GapKind.HOLE, 800))
    ended, saved = await end(call)

    assert isinstance(ended, CallEndedEvent)
    assert (ended.duration, ended.seconds, ended.received_samples, ended.lost_samples) == (7.0, 1.0, 8000, 800)
    assert (ended.closed_by, ended.close_code, ended.complete) == ("nobody", None, False)
    assert ended.close_reason == "the process that had the call was killed by SIGKILL"
    assert isinstance(saved, RecordingSavedEvent)
    assert (saved.samples, saved.lost_samples, saved.complete) == (8000, 800, False)


async def test_a_call_that_was_not_recorded_ends(tmp_path: Path) -> None:
    (ended,) = await end(call_of())

    assert isinstance(ended, CallEndedEvent)
    assert (ended.seconds, ended.complete) == (0.0, False)


async def test_a_call_that_had_ended_is_only_saved(tmp_path: Path) -> None:
    recording = abandon(tmp_path)
    (saved,) = await end(call_of(files=recording.paths, sidecar=recording.sidecar_path, ended=True))

    assert isinstance(saved, RecordingSavedEvent)


async def test_a_recording_that_is_gone_has_failed(tmp_path: Path) -> None:
    ended, failed = await end(call_of(files=[tmp_path / "a.wav"], sidecar=tmp_path / "a.json"))

    assert isinstance(ended, CallEndedEvent)
    assert isinstance(failed, RecordingFailedEvent)
    assert failed.path == str(tmp_path / "a.wav")
    assert failed.reason.startswith("the process that had the call was killed by SIGKILL: ")
