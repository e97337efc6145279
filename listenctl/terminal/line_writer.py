"""Lines written in the background, so that a slow or stopped reader doesn't hold up a call."""

import errno
import fcntl
import os
import stat
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from select import PIPE_BUF

from listenctl.background_writer import BackgroundWriter
from listenctl.terminal.printable_text import count_noun

# Lines that may wait for a slow reader; lines beyond that are lost, and counted.
MAX_WAITING = 100_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
CLOSE_LIMIT = 2.0
# Seconds until a line that the disk didn't take is written again.
RETRY_AFTER = 1.0

_PASSING = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO))
"""Errors of a file on a disk, which can take lines again later."""


class LineWriter:
    """
    Write lines to a descriptor, in order. While a disk is full, lines wait; those for which there is no room are lost.

    A line that an earlier writer of a file left unfinished, on a full disk or in a crash, is ended first.

    Args:
        on_broken: called once, in the writing thread, with the reason why nothing more can be written.
        on_pause: called there with the reason why nothing can be written now.
        on_resume: called there when this is over and there is room for another line, with the number of lines that were
            lost meanwhile.
    """

    def __init__(
        self,
        fd: int,
        encoding: str = "utf-8",
        on_broken: Callable[[str], None] = lambda _: None,
        on_pause: Callable[[str], None] = lambda _: None,
        on_resume: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.lost = 0  # number of lines that were not written; those under way are counted when the writer is closed
        self.problem: str | None = None  # why nothing more can be written; None while it can
        self._fd = fd
        self._encoding = encoding
        self._on_broken = on_broken
        self._on_pause = on_pause
        self._on_resume = on_resume
        self._paused_by = ""
        self._lost_before_pause: int | None = None
        self._closing = threading.Event()
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._unwritten = 0
        self._waiting: deque[str] = deque()
        self._writer = BackgroundWriter("lines", MAX_WAITING_BYTES)
        if self._is_file and _ends_in_a_broken_line(fd):
            self.write("")

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
        self._closing.set()
        self._writer.close(CLOSE_LIMIT)
        self.lost += self._unwritten + len(self._waiting)
        self._unwritten = 0
        self._waiting.clear()
        return self.lost

    def describe_loss(self, noun: str) -> str:
        """Return how many lines, each a ``noun``, were lost, and why."""
        reason = self.problem or self._paused_by or "its reader has stopped"
        return f"{count_noun(self.lost, noun)} couldn't be written: {reason.lower()}"

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
            # What a full disk didn't take at the end is counted by ``close``.
            if not self._can_pass(exc):
                self._on_broken(self.problem)
        else:
            self._note_resumed()

    def _note_resumed(self) -> None:
        # A line about it would be lost, too, while the lines of the pause take all the room.
        if self._lost_before_pause is not None and len(self._waiting) < MAX_WAITING:
            lost, self._lost_before_pause = self.lost - self._lost_before_pause, None
            self._on_resume(lost)

    def _write(self, lines: list[bytes]) -> None:
        ends = list(accumulate(map(len, lines)))
        view = memoryview(b"".join(lines))
        written = 0
        self._unwritten = len(lines)
        while written < len(view):
            # A pipe takes all of a write of this size or nothing; how much of a longer write was taken is unknown.
            written += self._write_when_possible(view[written : written + PIPE_BUF])
            self._unwritten = len(lines) - bisect_right(ends, written)

    def _write_when_possible(self, data: memoryview) -> int:
        """Write some of ``data``, and wait for a disk that is full; at the end of the writer it is tried once more."""
        while True:
            closing = self._closing.is_set()
            try:
                return os.write(self._fd, data)
            except OSError as exc:
                if closing or not self._can_pass(exc):
                    raise
                if self._lost_before_pause is None:
                    self._lost_before_pause = self.lost
                    self._paused_by = exc.strerror or str(exc)
                    self._on_pause(self._paused_by)
                self._closing.wait(RETRY_AFTER)

    def _can_pass(self, problem: OSError) -> bool:
        return self._is_file and problem.errno in _PASSING


def _ends_in_a_broken_line(fd: int) -> bool:
    """Return whether lines are appended to a file whose last one has no end, as far as the file can be read."""
    size = os.fstat(fd).st_size
    if not size or not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND:
        return False
    try:
        # The descriptor itself can't be read.
        with Path(f"/dev/fd/{fd}").open("rb") as file:
            return os.pread(file.fileno(), 1, size - 1) != b"\n"
    except OSError:
        return False
