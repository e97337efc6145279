"""
What one recording waits to have written: the event loop adds to it, the writer thread empties it.

A disk that takes 10 ms for a write takes a hundred a second, however long they are. While the writer is busy, the audio
of a call piles up here, and the next turn of the call writes all of it at once.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

from listenctl.background_writer import Job, run_job
from listenctl.server.operations.metric_families import DurationCounts
from listenctl.server.recording.recording_writer import Piece, RecordingWriter

MAX_WRITE = 1024 * 1024
"""Bytes of audio that are given to the disk at once."""

_WAITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RecordingQueue:
    def __init__(self, writer: RecordingWriter, release_bytes: Callable[[int], None]) -> None:
        self._writer = writer
        self._release_bytes = release_bytes  # called with the size of audio that is written or lost
        self._items: deque[Piece | Job] = deque()
        self._has_turn = False
        # Each is changed by one thread only.
        self._added_bytes = self._written_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        return self._added_bytes - self._written_bytes

    def add_audio(self, position: int, data: bytes) -> None:
        self._items.append((position, data))
        self._added_bytes += len(data)

    def add_job(self, job: Job) -> None:
        """Add a job between the audio before and after it."""
        self._items.append(job)

    def take_turn(self) -> bool:
        """Return whether the queue needs a turn, for which ``write_items`` must be called."""
        if self._has_turn:
            return False
        self._has_turn = True
        return True

    def write_items(self) -> None:
        """Write what waits; runs in the writer thread."""
        # Cleared first: what is added from now on is written now, or has a turn of its own.
        self._has_turn = False
        self._writer.note_backlog()
        run: list[Piece] = []
        size = 0
        # What the event loop adds meanwhile has the next turn, so that no call keeps the writer for itself.
        for _ in range(len(self._items)):
            item = self._items.popleft()
            if run and (size >= MAX_WRITE or not isinstance(item, tuple)):
                self._write_run(run, size)
                run, size = [], 0
            if isinstance(item, tuple):
                run.append(item)
                size += len(item[1])
            else:
                run_job(item)
        if run:
            self._write_run(run, size)

    def _write_run(self, run: list[Piece], size: int) -> None:
        run_job(partial(self._writer.write_pieces, run))
        self._written_bytes += size
        self._release_bytes(size)


class DiskBacklog:
    """How long audio waits for the disk: turns are added by the event loop, ended by the writer."""

    def __init__(self) -> None:
        self.waits = DurationCounts(_WAITS)
        self._added_at: deque[float] = deque()

    def add_turn(self, now: float) -> None:
        self._added_at.append(now)

    def end_turn(self, now: float) -> None:
        self.waits.add(now - self._added_at.popleft())

    def age(self, now: float) -> float:
        """Return how long the oldest audio has waited."""
        try:
            return now - self._added_at[0]
        except IndexError:
            return 0.0
