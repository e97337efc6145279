"""Lines written in the background, so that a slow or stopped reader doesn't hold up a call."""

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from select import PIPE_BUF

from listenctl.background_writer import BackgroundWriter
from listenctl.terminal.printable_text import count_noun

# Lines that may wait for a slow reader; lines beyond that are lost, and counted.
MAX_WAITING = 100_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
CLOSE_LIMIT = 2.0


class LineWriter:
    """
    Write lines to a descriptor, in order.

    Args:
        on_broken: called once, in the writing thread, with the reason why nothing more can be written.
    """

    def __init__(self, fd: int, encoding: str = "utf-8", on_broken: Callable[[str], None] = lambda _: None) -> None:
        self.lost = 0  # number of lines that were not written; those under way are counted when the writer is closed
        self.problem: str | None = None  # why nothing more can be written; None while it can
        self._fd = fd
        self._encoding = encoding
        self._on_broken = on_broken
        self._unwritten = 0
        self._waiting: deque[str] = deque()
        self._writer = BackgroundWriter("lines", MAX_WAITING_BYTES)

    def write(self, line: str) -> None:
        """Queue a line, given without its end."""
        broken = self.problem is not None or not self._writer.is_alive
        if broken or len(self._waiting) >= MAX_WAITING or not self._writer.reserve_bytes(len(line)):
            self.lost += 1
            return
        self._waiting.append(line)
        self._writer.add_jobs(self._write_waiting)

    def close(self) -> int:
        """Write what is queued, without waiting for a reader that has stopped; return how many lines were lost."""
        self._writer.close(CLOSE_LIMIT)
        self.lost += self._unwritten + len(self._waiting)
        self._unwritten = 0
        self._waiting.clear()
        return self.lost

    def describe_loss(self, noun: str) -> str:
        """Return how many lines, each a ``noun``, were lost, and why."""
        return (
            f"{count_noun(self.lost, noun)} couldn't be written: {(self.problem or 'its reader has stopped').lower()}"
        )

    def _write_waiting(self) -> None:
        if self.problem is not None:
            return
        lines: list[bytes] = []
        taken = 0
        while self._waiting:
            line = self._waiting.popleft()
            taken += len(line)
            lines.append(f"{line}\n".encode(self._encoding, "backslashreplace"))
        try:
            self._write(lines)
            self._writer.release_bytes(taken)
        except OSError as exc:
            self.problem = exc.strerror or str(exc)
            self._on_broken(self.problem)

    def _write(self, lines: list[bytes]) -> None:
        ends = list(accumulate(map(len, lines)))
        view = memoryview(b"".join(lines))
        written = 0
        self._unwritten = len(lines)
        while written < len(view):
            # A pipe takes all of a write of this size or nothing; how much of a longer write was taken is unknown.
            written += os.write(self._fd, view[written : written + PIPE_BUF])
            self._unwritten = len(lines) - bisect_right(ends, written)
