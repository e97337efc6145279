"""
The recordings of a server go to object storage: what is saved to the spool is reported as saved when the store has it,
and as failed, with where it is now, when the server ends before that.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from listenctl.background_task import background_task, in_daemon_thread, log_failure
from listenctl.errors import ListenctlError
from listenctl.events import CallIdentity, RecordingFailedEvent, RecordingSavedEvent, Reporter, WarningEvent
from listenctl.object_storage.object_store import ObjectStore
from listenctl.object_storage.recording_spool import SpooledRecording, SpoolLock, find_recordings
from listenctl.object_storage.storage_destination import StorageDestination
from listenctl.object_storage.upload_queue import Upload, UploadQueue
from listenctl.object_storage.upload_recording import UploadedRecording

PATIENCE = 10.0
"""Seconds that a server which ends gives its uploads; what is left stays in the spool for the next start."""


@dataclass(frozen=True, slots=True)
class UploadSettings:
    spool: Path
    stores: Sequence[tuple[StorageDestination, ObjectStore]]  # the first one, and what takes its place if it fails


class RecordingUploads:
    def __init__(self, settings: UploadSettings, reporter: Reporter) -> None:
        self.queue = UploadQueue(settings.stores, self._report_problem)
        self._settings = settings
        self._reporter = reporter

    def take_saved(self, saved: RecordingSavedEvent, identity: CallIdentity) -> None:
        """Upload a recording that is finished in the spool."""
        try:
            self._add(SpooledRecording.read(Path(str(saved.sidecar))), saved, identity)
        except (ListenctlError, OSError) as exc:
            self._give_up(saved, identity, str(exc))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Upload while the block runs, beginning with what an earlier server has left in the spool."""
        lock = SpoolLock(self._settings.spool)
        try:
            checking = log_failure(self._check_buckets, "the check of buckets")
            async with background_task(checking), self.queue.running(PATIENCE):
                if lock.lock_alone():
                    await self._resume()
                # What belongs to another live server is uploaded by that; `listenctl upload` may take long.
                await in_daemon_thread(lock.share, "spool-lock")
                yield
        finally:
            lock.release()

    async def _check_buckets(self) -> None:
        for _, store in self._settings.stores:
            if await store.lacks_lifecycle_rule():
                detail = (
                    f"{store.url} has no lifecycle rule that deletes unfinished multipart uploads: parts of uploads "
                    "that break off stay there unseen, and cost money; see listenctl-operations(7)"
                )
                self._reporter.emit(WarningEvent(rule="no-lifecycle-rule", detail=detail))

    async def _resume(self) -> None:
        left = await asyncio.to_thread(lambda: list(find_recordings(self._settings.spool)))
        for recording in left:
            if isinstance(recording, ListenctlError):
                self._reporter.emit(WarningEvent(rule="upload-left", detail=f"{recording}; it stays in the spool"))
                continue
            metadata = recording.sidecar.metadata
            identity = CallIdentity(call=recording.sidecar.call, call_sid=metadata.call_sid, trace_id=metadata.trace_id)
            self._add(recording, _describe_saved(recording), identity)

    def _add(self, recording: SpooledRecording, saved: RecordingSavedEvent, identity: CallIdentity) -> None:
        upload = Upload(
            recording,
            recording.size(),
            partial(self._report_stored, saved, identity),
            partial(self._give_up, saved, identity),
        )
        self.queue.add(upload)

    def _report_stored(self, saved: RecordingSavedEvent, identity: CallIdentity, stored: UploadedRecording) -> None:
        event = replace(saved, urls=stored.urls, url=stored.urls[0], sidecar_url=stored.sidecar_url)
        self._reporter.emit(event, **identity)

    def _give_up(self, saved: RecordingSavedEvent, identity: CallIdentity, problem: str) -> None:
        reason = f"it is not in object storage: {problem}; the next server with this spool uploads it"
        self._reporter.emit(RecordingFailedEvent(path=saved.path, reason=reason), **identity)

    def _report_problem(self, problem: str | None) -> None:
        if problem is None:
            event = WarningEvent(rule="upload-resumed", detail="recordings are uploaded again")
        else:
            detail = f"recordings can't be uploaded: {problem}; they wait in {self._settings.spool}"
            event = WarningEvent(rule="upload-delayed", detail=detail)
        self._reporter.emit(event)


def _describe_saved(recording: SpooledRecording) -> RecordingSavedEvent:
    """Return the event of a recording that another server has made."""
    sidecar, audio = recording.sidecar, recording.sidecar.audio
    assert audio is not None
    return RecordingSavedEvent(
        path=str(recording.audio_paths[0]),
        paths=[str(path) for path in recording.audio_paths],
        sidecar=str(recording.sidecar_path),
        format=audio.format,
        samples=audio.samples,
        seconds=audio.seconds,
        bytes=sum(path.stat().st_size for path in recording.audio_paths),
        lost_samples=sidecar.completeness["lost_samples"],
        unrecorded_samples=sidecar.completeness["unrecorded_samples"],
        complete=sidecar.completeness["complete"],
        warnings=audio.warnings,
    )
