"""
The recordings of a server go to object storage: what is saved to the spool is reported as saved when the store has it,
and as failed, with where it is now, when the server ends before that.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from listenctl.background_task import background_task, in_daemon_thread, log_failure
from listenctl.errors import ListenctlError
from listenctl.events import (
    CallIdentity,
    EventFields,
    RecordingFailedEvent,
    RecordingSavedEvent,
    Reporter,
    WarningEvent,
)
from listenctl.object_storage.object_store import ObjectStore
from listenctl.object_storage.recording_spool import SpooledRecording, SpoolLock, find_recordings
from listenctl.object_storage.storage_destination import StorageDestination
from listenctl.object_storage.upload_queue import Upload, UploadQueue
from listenctl.object_storage.upload_recording import UploadedRecording
from listenctl.server.recording.abandoned_recording import AbandonedCall, finish_abandoned_recording

PATIENCE = 10.0
"""Seconds that a server which ends gives its uploads; what is left stays in the spool for the next start."""


@dataclass(frozen=True, slots=True)
class UploadSettings:
    spool: Path
    stores: Sequence[tuple[StorageDestination, ObjectStore]]  # the first one, and what takes its place if it fails


class RecordingUploads:
    """``report`` reports the end of each recording; None does it through ``reporter``."""

    def __init__(
        self,
        settings: UploadSettings,
        reporter: Reporter,
        report: Callable[[EventFields, CallIdentity], None] | None = None,
    ) -> None:
        self.queue = UploadQueue(settings.stores, self._report_problem)
        self.left_any = False  # whether a recording stays in the spool
        self._settings = settings
        self._reporter = reporter
        self._report = report or (lambda event, identity: reporter.emit(event, **identity))

    def take_saved(self, saved: RecordingSavedEvent, identity: CallIdentity) -> None:
        """Upload a recording that is finished in the spool."""
        try:
            self._add(SpooledRecording.read(Path(str(saved.sidecar))), saved, identity)
        except (ListenctlError, OSError) as exc:
            self._give_up(saved, identity, str(exc))

    @asynccontextmanager
    async def running(self, *, alone: bool = True) -> AsyncIterator[None]:
        """
        Upload while the block runs, beginning with what an earlier server has left in the spool.

        Args:
            alone: whether to look at spool and buckets; a worker leaves that to its parent.
        """
        lock = SpoolLock(self._settings.spool)
        try:
            async with self._checking_buckets() if alone else nullcontext(), self.queue.running(PATIENCE):
                if alone and lock.lock_alone():
                    # Before the first call: nothing in the spool belongs to a live one yet.
                    left = await asyncio.to_thread(find_left, self._settings.spool)
                    for recording, saved in left.recordings:
                        self._add(recording, saved, _identity_of(recording))
                    for problem in left.problems:
                        detail = f"{problem}; it stays in the spool"
                        self._reporter.emit(WarningEvent(rule="upload-left", detail=detail))
                # What belongs to another live server is uploaded by that; `listenctl upload` may take long.
                await in_daemon_thread(lock.share, "spool-lock")
                yield
        finally:
            lock.release()

    def _checking_buckets(self) -> AbstractAsyncContextManager[object]:
        return background_task(log_failure(self._check_buckets, "the check of buckets"))

    async def _check_buckets(self) -> None:
        for _, store in self._settings.stores:
            if await store.lacks_lifecycle_rule():
                detail = (
                    f"{store.url} has no lifecycle rule that deletes unfinished multipart uploads: parts of uploads "
                    "that break off stay there unseen, and cost money; see listenctl-operations(7)"
                )
                self._reporter.emit(WarningEvent(rule="no-lifecycle-rule", detail=detail))

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
        self._report(event, identity)

    def _give_up(self, saved: RecordingSavedEvent, identity: CallIdentity, problem: str) -> None:
        reason = f"it is not in object storage: {problem}; the next server with this spool uploads it"
        self.left_any = True
        self._report(RecordingFailedEvent(path=saved.path, reason=reason), identity)

    def _report_problem(self, problem: str | None) -> None:
        if problem is None:
            event = WarningEvent(rule="upload-resumed", detail="recordings are uploaded again")
        else:
            detail = f"recordings can't be uploaded: {problem}; they wait in {self._settings.spool}"
            event = WarningEvent(rule="upload-delayed", detail=detail)
        self._reporter.emit(event)


@dataclass(frozen=True, slots=True)
class LeftRecordings:
    """What another server has left in a spool, and why the rest of it can't be uploaded."""

    recordings: Sequence[tuple[SpooledRecording, RecordingSavedEvent]]
    problems: Sequence[str]


def find_left(spool: Path) -> LeftRecordings:
    """Find the recordings in a spool that nobody else uses, and complete those whose server was killed."""
    found: list[tuple[SpooledRecording, RecordingSavedEvent]] = []
    problems: list[str] = []
    for recording in find_recordings(spool):
        try:
            if isinstance(recording, ListenctlError):
                raise recording
            saved = _finish(recording)
            found.append((SpooledRecording.read(recording.sidecar_path), saved))
        except (ListenctlError, OSError) as exc:
            problems.append(str(exc))
    return LeftRecordings(found, problems)


def _finish(recording: SpooledRecording) -> RecordingSavedEvent:
    call = AbandonedCall(
        ended_at=max(path.stat().st_mtime for path in recording.audio_paths),
        reason="the server that had the call did not finish its recording",
        gaps=(),
        lost_samples=0,
        paused_samples=0,
    )
    return finish_abandoned_recording(recording.sidecar_path, recording.audio_paths, call)


def _identity_of(recording: SpooledRecording) -> CallIdentity:
    metadata = recording.sidecar.metadata
    return CallIdentity(call=recording.sidecar.call, call_sid=metadata.call_sid, trace_id=metadata.trace_id)
