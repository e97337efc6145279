"""Work that may block on a disk or a slow reader, done in a thread so that the event loop never waits for it."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from math import inf
from queue import Empty, SimpleQueue
from typing import TypeAlias

Job: TypeAlias = Callable[[], object]

# How long low-priority jobs may delay the others, and how often they run while there are no others, in seconds.
LOW_PRIORITY_TIME = 0.005
LOW_PRIORITY_INTERVAL = 0.05

logger = logging.getLogger(__name__)


class BackgroundWriter:
    """Run jobs in order, in a thread of its own. A job that raises is logged, and the next one runs."""

    def __init__(
        self,
        thread_name: str,
        max_waiting_bytes: float = inf,
        clock: Callable[[], float] = time.monotonic,
        around_low_priority: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._max_waiting_bytes = max_waiting_bytes  # of data in jobs that have not run yet; see ``reserve_bytes``
        self._clock = clock
        self._around_low_priority = around_low_priority  # a block in which some low-priority jobs run
        # Each is changed by one thread only.
        self._reserved_bytes = self._released_bytes = 0
        self._queue: SimpleQueue[Sequence[Job] | None] = SimpleQueue()
        self._low_priority: deque[Job] = deque()
        self._raised = False
        self._thread = threading.Thread(target=self._work, name=thread_name, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that were reserved and not released yet."""
        return self._reserved_bytes - self._released_bytes

    def reserve_bytes(self, size: int) -> bool:
        """Return whether data of this size may wait; if so, a job must call ``release_bytes`` when it is written."""
        if self._reserved_bytes - self._released_bytes + size > self._max_waiting_bytes:
            return False
        self._reserved_bytes += size
        return True

    def release_bytes(self, size: int) -> None:
        """Count data as written; to be called by a job."""
        self._released_bytes += size

    def add_jobs(self, *jobs: Job) -> None:
        self._queue.put(jobs)

    def add_low_priority_job(self, job: Job) -> None:
        """Run a job when there are no others, or for a moment between others."""
        self._low_priority.append(job)
        if threading.current_thread() is not self._thread:
            self._queue.put(())  # wakes the thread, which may wait for other jobs without a limit

    def wait_until_done(self, limit: float) -> None:
        done = threading.Event()
        self.add_jobs(done.set)
        done.wait(limit)

    def raise_low_priority(self) -> None:
        self._raised = True

    def close(self, limit: float | None = None) -> bool:
        self._queue.put(None)
        self._thread.join(limit)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (jobs := self._next_jobs()) is not None:
            for job in jobs:
                run_job(job)
            while self._low_priority:
                self._run_low_priority()
                if not self._raised:
                    break

    def _run_low_priority(self) -> None:
        until = self._clock() + LOW_PRIORITY_TIME
        with self._around_low_priority():
            while self._low_priority and self._clock() < until:
                run_job(self._low_priority.popleft())

    def _next_jobs(self) -> Sequence[Job] | None:
        try:
            return self._queue.get(timeout=LOW_PRIORITY_INTERVAL if self._low_priority else None)
        except Empty:
            return ()


class LoopMailbox:
    """Pass jobs from threads to the event loop; one wake-up serves all jobs that are waiting."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: deque[Job] = deque()
        self._woken = False
        self._collecting = False

    def add_job(self, job: Job) -> None:
        self._jobs.append(job)
        if not self._collecting:
            self._wake_up()

    @contextmanager
    def collect_jobs(self) -> Iterator[None]:
        """
        Wake the loop at the end of the block for all jobs that were added in it. A wake-up costs both threads as much
        as several files, because they change places.
        """
        self._collecting = True
        try:
            yield
        finally:
            self._collecting = False
            if self._jobs:
                self._wake_up()

    def _wake_up(self) -> None:
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # The loop is closed after a second signal.
                self._loop.call_soon_threadsafe(self._work)

    def _work(self) -> None:
        self._woken = False
        while self._jobs:
            run_job(self._jobs.popleft())


def run_job(job: Job) -> None:
    """Run a job; log what it raises, so that one file's failure doesn't end the thread that all others need."""
    try:
        job()
    except Exception:
        logger.exception("a background job failed unexpectedly")
