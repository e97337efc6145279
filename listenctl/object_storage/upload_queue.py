"""Recordings that wait for object storage: a few go at once, and what a store doesn't take is tried again for hours."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf

from listenctl.background_task import background_task, log_failure
from listenctl.errors import ListenctlError
from listenctl.object_storage.object_store import ObjectStore, StorageError
from listenctl.object_storage.recording_spool import SpooledRecording
from listenctl.object_storage.storage_destination import StorageDestination
from listenctl.object_storage.upload_recording import UploadedRecording, upload_recording

logger = logging.getLogger(__name__)

UPLOADS_AT_ONCE = 4
FIRST_RETRY, LAST_RETRY = 1.0, 60.0
"""Seconds until a recording is tried again, at first and at most; the time doubles."""
TRIES_BEFORE_BACKUP = 3


@dataclass(eq=False, slots=True)
class Upload:
    """A recording on its way; one of the callbacks is called once, at its end."""

    recording: SpooledRecording
    size: int
    on_stored: Callable[[UploadedRecording], None]
    on_given_up: Callable[[str], None]
    problem: str = "it is not uploaded yet"
    tries: int = field(default=0)


class UploadQueue:
    """
    Upload recordings and delete them from the spool.

    Args:
        stores: where they go; what the first store doesn't take goes to the next.
        on_problem: called with the reason when uploads begin to fail, and with None when they work again.
        max_tries: of one recording; it is given up then.
    """

    def __init__(
        self,
        stores: Sequence[tuple[StorageDestination, ObjectStore]],
        on_problem: Callable[[str | None], None] = lambda _: None,
        max_tries: float = inf,
    ) -> None:
        self.failures = 0  # tries that failed
        self.uploaded = 0
        self._stores = stores
        self._on_problem = on_problem
        self._max_tries = max_tries
        self._failing = False
        self._ready: asyncio.Queue[Upload] = asyncio.Queue()
        self._unfinished: dict[Upload, None] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        return len(self._unfinished)

    @property
    def waiting_bytes(self) -> int:
        return sum(upload.size for upload in self._unfinished)

    def add(self, upload: Upload) -> None:
        self._unfinished[upload] = None
        self._idle.clear()
        self._ready.put_nowait(upload)

    @asynccontextmanager
    async def running(self, patience: float) -> AsyncIterator[None]:
        """Upload while the block runs, and for ``patience`` seconds more; what is left is given up, in the spool."""
        async with background_task(self._work()):
            try:
                yield
                await self.wait_until_idle(patience)
            finally:
                for upload in list(self._unfinished):
                    self._give_up(upload)

    async def wait_until_idle(self, patience: float | None = None) -> None:
        try:
            async with asyncio.timeout(patience):
                await self._idle.wait()
        except TimeoutError:
            return

    def _give_up(self, upload: Upload) -> None:
        self._end(upload)
        upload.on_given_up(upload.problem)

    def _end(self, upload: Upload) -> None:
        del self._unfinished[upload]
        if not self._unfinished:
            self._idle.set()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(UPLOADS_AT_ONCE):
                tasks.create_task(self._upload_next())

    async def _upload_next(self) -> None:
        while True:
            upload = await self._ready.get()
            await log_failure(partial(self._try, upload), "an upload", partial(self._retry, upload))

    async def _try(self, upload: Upload) -> None:
        upload.tries += 1
        try:
            stored = await self._put(upload)
        except (ListenctlError, OSError) as exc:
            self.failures += 1
            upload.problem = str(exc)
            if not self._failing:
                self._failing = True
                self._on_problem(upload.problem)
            if isinstance(exc, FileNotFoundError) or upload.tries >= self._max_tries:
                self._give_up(upload)
            else:
                self._retry(upload)
            return
        if self._failing:
            self._failing = False
            self._on_problem(None)
        self.uploaded += 1
        try:
            await asyncio.to_thread(upload.recording.delete)
        except OSError as exc:
            logger.warning(
                "%s: is stored, and can't be deleted: %s", upload.recording.sidecar_path, exc.strerror or exc
            )
        self._end(upload)
        upload.on_stored(stored)

    async def _put(self, upload: Upload) -> UploadedRecording:
        stores = self._stores if upload.tries >= TRIES_BEFORE_BACKUP else self._stores[:1]
        for destination, store in stores[:-1]:
            try:
                return await upload_recording(upload.recording, destination, store)
            except StorageError as exc:
                upload.problem = str(exc)
        destination, store = stores[-1]
        return await upload_recording(upload.recording, destination, store)

    def _retry(self, upload: Upload) -> None:
        if upload not in self._unfinished:  # It has ended, and what failed was to tell somebody.
            return
        delay = min(LAST_RETRY, FIRST_RETRY * 2 ** min(upload.tries - 1, 10))
        # Those that failed together don't come back together.
        asyncio.get_running_loop().call_later(delay * random.uniform(0.5, 1.0), self._ready.put_nowait, upload)
