"""
What one recording waits to have written: the event loop adds to it, the writer thread empties it.

A disk that takes 10 ms for a write takes a hundred a second, however long they are. While the writer is busy, the audio
of a call piles up here, and the next turn of the call writes all of it at once.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from listenctl.background_writer import Job, run_job
from listenctl.server.recording.recording_writer import Piece, RecordingWriter

MAX_WRITE = 1024 * 1024
"""Bytes of audio that are given to the disk at once."""


class RecordingQueue:
    def __init__(self, writer: RecordingWriter, release_bytes: Callable[[int], None]) -> None:
        self._writer = writer
        self._release_bytes = release_bytes  # called with the size of audio that is written or lost
        self._items: deque[Piece | Job] = deque()
        self._has_turn = False

    def add_pieces(self, pieces: Sequence[Piece]) -> bool:
        """Add audio; return whether the queue needs a turn, for which ``write_items`` must be called."""
        self._items.extend(pieces)
        return self._take_turn()

    def add_job(self, job: Job) -> bool:
        """Add a job between the audio before and after it; return whether the queue needs a turn."""
        self._items.append(job)
        return self._take_turn()

    def write_items(self) -> None:
        """Write what waits; runs in the writer thread."""
        # Cleared first: what is added from now on is written now, or has a turn of its own.
        self._has_turn = False
        self._writer.note_backlog()
        # What the event loop adds meanwhile has the next turn, so that no call keeps the writer for itself.
        run: list[Piece] = []
        for item in [self._items.popleft() for _ in range(len(self._items))]:
            if isinstance(item, tuple):
                run.append(item)
                continue
            self._write_run(run)
            run = []
            run_job(item)
        self._write_run(run)

    def _take_turn(self) -> bool:
        needed, self._has_turn = not self._has_turn, True
        return needed

    def _write_run(self, run: list[Piece]) -> None:
        while run:
            size = count = 0
            while count < len(run) and size < MAX_WRITE:
                size += len(run[count][1])
                count += 1
            run_job(partial(self._writer.write_pieces, run[:count]))
            self._release_bytes(size)
            del run[:count]


class DiskBacklog:
    """How long the oldest audio has waited for the disk: turns are added by the event loop, ended by the writer."""

    def __init__(self) -> None:
        self._added_at: deque[float] = deque()

    def add_turns(self, turns: int, now: float) -> None:
        self._added_at.extend([now] * turns)

    def end_turn(self) -> None:
        self._added_at.popleft()

    def age(self, now: float) -> float:
        try:
            return now - self._added_at[0]
        except IndexError:
            return 0.0
