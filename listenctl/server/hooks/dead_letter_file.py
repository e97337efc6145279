"""
Dead letters: events that hooks have not taken, one JSON object a line, kept until ``listenctl hooks retry`` sends them.

The file is locked while it changes. One that is rewritten gets a new inode, so whoever gets the lock of the old one
opens the file again.
"""

import errno
import fcntl
import os
import stat
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from listenctl.background_writer import BackgroundWriter
from listenctl.errors import UsageError
from listenctl.media.files.kept_names import replace_file

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Bytes of lines that may wait for a disk that is full or slow."""
MAX_LINES = 100
"""Lines that are written at once; while the disk is full, each new one costs another try with so many."""
CLOSE_LIMIT = 2.0
MAX_FILE_BYTES = 100 * 1024 * 1024
"""More than the events of a hundred thousand calls; beyond that the disk is left to recordings."""


class DeadLetterFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Create the file if it is missing; raises UsageError if it can't be written."""
        try:
            os.close(self._open_locked(os.O_CREAT))
        except OSError as exc:
            raise UsageError(
                f"{self.path}: dead letters of hooks can't be written there: {exc.strerror}; "
                "give another file with --dead-letters"
            ) from exc

    def append(self, lines: Sequence[str]) -> None:
        """Append lines, all or none of them, and sync them; raises OSError, also if the file would be too large."""
        fd = self._open_locked(os.O_CREAT)
        try:
            size = os.fstat(fd).st_size
            broken = size and os.pread(fd, 1, size - 1) != b"\n"
            data = memoryview(("\n" * bool(broken) + "".join(f"{line}\n" for line in lines)).encode())
            if size + len(data) > MAX_FILE_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            try:
                while data:
                    data = data[os.write(fd, data) :]
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, size)
                raise
        finally:
            os.close(fd)

    def read(self) -> list[str]:
        """Return the lines; raises UsageError if the file can't be read."""
        try:
            fd = self._open_locked()
            try:
                return _read_lines(fd)
            finally:
                os.close(fd)
        except OSError as exc:
            raise UsageError(f"{self.path}: can't be read and changed: {exc.strerror}") from exc

    def rewrite(self, change: Callable[[str], str | None]) -> None:
        """Replace each line, those included that were appended meanwhile; None removes it. Raises OSError."""
        fd = self._open_locked()
        try:
            lines = [changed for line in _read_lines(fd) if (changed := change(line)) is not None]
            replace_file(self.path, "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
        finally:
            os.close(fd)

    def is_private(self) -> bool:
        """Return whether nobody else could have written the file."""
        found = self.path.stat()
        return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)

    def _open_locked(self, flags: int = 0) -> int:
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if _is_named(fd, self.path):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)


def _is_named(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _read_lines(fd: int) -> list[str]:
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        return file.read().decode(errors="surrogateescape").splitlines()


class DeadLetterWriter:
    """
    Append dead letters in a thread; while the disk doesn't take them, they wait for the next one, or the end.

    Args:
        on_problem: called in the thread with the reason when lines begin to wait.
    """

    def __init__(self, file: DeadLetterFile, on_problem: Callable[[str], object] = lambda _: None) -> None:
        self.written = 0
        self.lost = 0
        self.problem = ""  # why lines wait
        self._file = file
        self._on_problem = on_problem
        self._waiting: deque[str] = deque()
        self._writer = BackgroundWriter("dead-letters", MAX_WAITING_BYTES)

    def write(self, line: str) -> None:
        if not self._writer.reserve_bytes(len(line)):
            self.lost += 1
            return
        self._waiting.append(line)
        self._writer.add_jobs(self._write_waiting)

    def close(self) -> None:
        """Write what waits; ``lost`` is then the number of lines that are in no file."""
        self._writer.add_jobs(self._write_waiting)
        self._writer.close(CLOSE_LIMIT)
        self.lost += len(self._waiting)
        self._waiting.clear()

    def _write_waiting(self) -> None:
        while lines := list(islice(self._waiting, MAX_LINES)):
            try:
                self._file.append(lines)
            except OSError as exc:
                waited = bool(self.problem)
                self.problem = exc.strerror or str(exc)
                if not waited:
                    self._on_problem(self.problem)
                return
            self.problem = ""
            self.written += len(lines)
            for _ in lines:
                self._writer.release_bytes(len(self._waiting.popleft()))
