"""Lines on their way out: written by a thread, because a reader that is slow or stopped must not hold up a call."""

import os
import threading
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from itertools import accumulate
from queue import Empty, SimpleQueue
from select import PIPE_BUF

# Lines that may wait for a slow reader; later ones are lost, and their number is told in the end.
MAX_WAITING = 100_000
PATIENCE = 2.0


class LineWriter:
    """
    Write lines to a descriptor, in order.

    Attributes:
        lost: how many lines weren't written; those that were on their way are counted when it is closed.
        problem: why no more can be written; None while they can.

    Args:
        on_broken: called once, in the writing thread, with the reason why no more can be written.
    """

    def __init__(self, fd: int, encoding: str = "utf-8", on_broken: Callable[[str], None] = lambda _: None) -> None:
        self.lost = 0
        self.problem: str | None = None
        self._fd = fd
        self._encoding = encoding
        self._on_broken = on_broken
        self._unwritten = 0
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="lines", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Have ``line``, without its end, written soon."""
        if self._queue.qsize() < MAX_WAITING and self._thread.is_alive():
            self._queue.put(line)
        else:
            self.lost += 1

    def close(self) -> int:
        """Wait until everything is written, but not for a reader that has stopped; return how many lines were lost."""
        self._queue.put(None)
        self._thread.join(PATIENCE)
        self.lost += self._unwritten + self._left()
        self._unwritten = 0
        return self.lost

    def _left(self) -> int:
        """Take all lines that still wait, which nobody will write; return their number."""
        left = 0
        with suppress(Empty):
            while True:
                left += self._queue.get_nowait() is not None
        # For a thread that is still stuck in a write.
        self._queue.put(None)
        return left

    def _work(self) -> None:
        try:
            while (lines := self._take()) is not None:
                self._write([f"{line}\n".encode(self._encoding, "backslashreplace") for line in lines])
        except OSError as exc:
            self.problem = exc.strerror or str(exc)
            self._on_broken(self.problem)

    def _take(self) -> list[str] | None:
        """Return all lines that wait, at least one; None at the end."""
        first = self._queue.get()
        if first is None:
            return None
        lines = [first]
        with suppress(Empty):
            while (line := self._queue.get_nowait()) is not None:
                lines.append(line)
            self._queue.put(None)
        return lines

    def _write(self, lines: list[bytes]) -> None:
        ends = list(accumulate(map(len, lines)))
        view = memoryview(b"".join(lines))
        written = 0
        self._unwritten = len(lines)
        while written < len(view):
            # A pipe takes so much or nothing; of a longer write that hangs nobody knows how much it took.
            written += os.write(self._fd, view[written : written + PIPE_BUF])
            # A line of which only a part was written is none.
            self._unwritten = len(lines) - bisect_right(ends, written)
