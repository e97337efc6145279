"""Uploads on simulated time: outages of the store, other stores, and what is left at the end."""

import asyncio
from pathlib import Path

import pytest

from listenctl.object_storage.recording_spool import SpooledRecording
from listenctl.object_storage.storage_destination import StorageDestination
from listenctl.object_storage.upload_queue import LAST_RETRY, Upload, UploadQueue
from listenctl.object_storage.upload_recording import UploadedRecording
from tests.helpers.object_storage import MemoryStore, make_recording

pytestmark = pytest.mark.simulated_time

DEST = StorageDestination.parse("s3://calls")


class Outcome:
    def __init__(self) -> None:
        self.stored: list[UploadedRecording] = []
        self.given_up: list[str] = []
        self.problems: list[str | None] = []

    def upload(self, recording: SpooledRecording) -> Upload:
        return Upload(recording, recording.size(), self.stored.append, self.given_up.append)


async def test_a_stored_recording_leaves_the_spool(tmp_path: Path) -> None:
    store, outcome = MemoryStore(), Outcome()
    recording = make_recording(tmp_path)
    content = {path.suffix: path.read_bytes() for path in recording.paths}

    queue = UploadQueue([(DEST, store)])
    async with queue.running(patience=10):
        queue.add(outcome.upload(recording))

    assert store.objects == {"CS-1.wav": content[".wav"], "CS-1.json": content[".json"]}
    assert outcome.stored == [UploadedRecording(["s3://calls/CS-1.wav"], "s3://calls/CS-1.json")]
    assert not any(path.exists() for path in recording.paths)
    assert (queue.uploaded, queue.waiting, queue.waiting_bytes) == (1, 0, 0)


async def test_an_outage_of_hours_costs_no_recording_and_is_told_once(tmp_path: Path) -> None:
    store, outcome = MemoryStore(), Outcome()
    store.problem = "down"
    queue = UploadQueue([(DEST, store)], outcome.problems.append)

    async with queue.running(patience=10):
        for number in range(20):
            queue.add(outcome.upload(make_recording(tmp_path, f"CS-{number}")))
        await asyncio.sleep(4 * 3600)
        waiting, attempts, store.problem = queue.waiting, store.attempts, ""
        await asyncio.sleep(LAST_RETRY + 1)

    assert waiting == 20
    assert attempts < 20 * (4 * 3600 / (LAST_RETRY / 2) + 10)
    assert len(outcome.stored) == 20
    assert len(store.objects) == 40
    assert outcome.problems == ["down", None]


async def test_what_is_not_stored_at_the_end_stays_in_the_spool_with_its_reason(tmp_path: Path) -> None:
    store, outcome = MemoryStore(), Outcome()
    store.problem = "down"
    recording = make_recording(tmp_path)

    queue = UploadQueue([(DEST, store)])
    async with queue.running(patience=10):
        queue.add(outcome.upload(recording))

    assert outcome.given_up == ["down"]
    assert all(path.exists() for path in recording.paths)


async def test_a_store_that_stays_away_is_replaced_by_the_next_one(tmp_path: Path) -> None:
    first, backup, outcome = MemoryStore(), MemoryStore(), Outcome()
    first.problem = "down"
    queue = UploadQueue([(DEST, first), (StorageDestination.parse("s3://backup/x/"), backup)])

    async with queue.running(patience=60):
        queue.add(outcome.upload(make_recording(tmp_path)))

    assert outcome.stored == [UploadedRecording(["s3://backup/x/CS-1.wav"], "s3://backup/x/CS-1.json")]
    assert sorted(backup.objects) == ["x/CS-1.json", "x/CS-1.wav"]


async def test_a_short_failure_does_not_need_the_next_store(tmp_path: Path) -> None:
    first, backup, outcome = MemoryStore(), MemoryStore(), Outcome()
    first.problem = "down"
    queue = UploadQueue([(DEST, first), (DEST, backup)])

    async with queue.running(patience=60):
        queue.add(outcome.upload(make_recording(tmp_path)))
        await asyncio.sleep(0.4)
        first.problem = ""

    assert len(first.objects) == 2
    assert not backup.objects


async def test_a_name_that_another_recording_has_gets_a_number(tmp_path: Path) -> None:
    store, outcome = MemoryStore(), Outcome()
    store.objects = {"CS-1.wav": b"another"}
    queue = UploadQueue([(DEST, store)])

    async with queue.running(patience=10):
        queue.add(outcome.upload(make_recording(tmp_path)))

    assert sorted(store.objects) == ["CS-1-2.json", "CS-1-2.wav", "CS-1.wav"]
    assert store.objects["CS-1.wav"] == b"another"


async def test_recordings_of_one_call_that_end_together_are_both_stored(tmp_path: Path) -> None:
    store, outcome = MemoryStore(), Outcome()
    recordings = [make_recording(tmp_path / str(number), audio=bytes([number, 0]) * 800) for number in range(4)]
    audio = {recording.audio_paths[0].read_bytes() for recording in recordings}
    queue = UploadQueue([(DEST, store)])

    async with queue.running(patience=10):
        for recording in recordings:
            queue.add(outcome.upload(recording))

    stored = [store.objects[url.removeprefix("s3://calls/")] for one in outcome.stored for url in one.urls]
    assert sorted(store.objects) == [
        f"CS-1{number}.{kind}" for number in ("-2", "-3", "-4", "") for kind in ("json", "wav")
    ]
    assert len(stored) == 4
    assert {*stored} == audio


async def test_a_recording_that_was_stored_before_a_crash_is_not_stored_twice(tmp_path: Path) -> None:
    store, outcome = MemoryStore(), Outcome()
    recording = make_recording(tmp_path)
    store.objects = {"CS-1.wav": recording.audio_paths[0].read_bytes()}
    queue = UploadQueue([(DEST, store)])

    async with queue.running(patience=10):
        queue.add(outcome.upload(recording))

    assert sorted(store.objects) == ["CS-1.json", "CS-1.wav"]


async def test_a_recording_that_somebody_deleted_is_given_up(tmp_path: Path) -> None:
    store, outcome = MemoryStore(), Outcome()
    recording = make_recording(tmp_path)
    recording.audio_paths[0].unlink()
    queue = UploadQueue([(DEST, store)])

    upload = Upload(recording, 1, outcome.stored.append, outcome.given_up.append)
    async with queue.running(patience=0):
        queue.add(upload)
        await queue.wait_until_idle()

    assert len(outcome.given_up) == 1
    assert "No such file" in outcome.given_up[0]


async def test_a_recording_that_can_not_be_deleted_is_stored_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, outcome = MemoryStore(), Outcome()
    recording = make_recording(tmp_path)

    def fail(_: SpooledRecording) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(SpooledRecording, "delete", fail)
    queue = UploadQueue([(DEST, store)], outcome.problems.append)
    async with queue.running(patience=10):
        queue.add(outcome.upload(recording))

    assert len(outcome.stored) == 1
    assert (outcome.given_up, outcome.problems) == ([], [])


async def test_an_upload_whose_end_can_not_be_told_is_not_tried_again(tmp_path: Path) -> None:
    store, told = MemoryStore(), list[UploadedRecording]()
    recording = make_recording(tmp_path)

    def fail(stored: UploadedRecording) -> None:
        told.append(stored)
        raise RuntimeError

    queue = UploadQueue([(DEST, store)])
    async with queue.running(patience=10):
        queue.add(Upload(recording, 1, fail, lambda _: None))
        await queue.wait_until_idle()
        await asyncio.sleep(LAST_RETRY)

    assert (len(told), queue.uploaded, queue.failures) == (1, 1, 0)


async def test_tries_can_be_limited(tmp_path: Path) -> None:
    store, outcome = MemoryStore(), Outcome()
    store.problem = "down"
    queue = UploadQueue([(DEST, store)], max_tries=3)

    async with queue.running(patience=0):
        queue.add(outcome.upload(make_recording(tmp_path)))
        await queue.wait_until_idle()

    assert (outcome.given_up, store.attempts) == (["down"], 3)
