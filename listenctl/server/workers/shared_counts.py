"""
What workers must agree on at once: how many calls there are, and which ids are taken. It is in memory that they share.

A lock of the kernel guards it, which a process that dies gives back; it is held for some microseconds.
"""

import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

MAX_WORKERS = 64
AHEAD, AHEAD_SHARE = 2, 32
"""Connections that a worker may have more than another one and still accept: so many, and one of so many."""
_SETS, _WAYS = 2048, 8
"""Of the table of ids: those with the same last bits of the hash share the places of a set, the newest first."""

_SLOT = struct.Struct("=II")  # connections, calls
_UNKNOWN = struct.Struct("=Q")  # calls without a callSid
_SET = struct.Struct("=" + "QI" * _WAYS)  # the hash of a name and the number of its streams
_SLOTS_AT = _UNKNOWN.size
_TABLE_AT = _SLOTS_AT + MAX_WORKERS * _SLOT.size
_SIZE = _TABLE_AT + _SETS * _SET.size


class SharedCounts:
    """The memory of a server's workers; ``number`` is that of this worker, from 0, None in the parent."""

    def __init__(self, fd: int, workers: int, number: int | None = None) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, _SIZE)
        self._workers = workers
        self._number = number

    @classmethod
    def create(cls, workers: int) -> "SharedCounts":
        fd = os.memfd_create("listenctl-workers")
        os.ftruncate(fd, _SIZE)
        return cls(fd, workers)

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)

    @property
    def calls(self) -> int:
        return sum(calls for _, calls in self._loads())

    def clear_worker(self, number: int) -> None:
        """Forget the calls of a worker that has died."""
        with self._locked():
            self._write_load(number, 0, 0)

    def note_load(self, connections: int, calls: int) -> None:
        """Say what this worker has."""
        if self._number is not None:
            self._write_load(self._number, connections, calls)

    def claim_call(self, connections: int, calls: int, limit: int) -> bool:
        """Count one call more than the ``calls`` of this worker, unless all workers together have ``limit``."""
        if self._number is None:
            return self.calls < limit
        with self._locked():
            self._write_load(self._number, connections, calls)
            if self.calls >= limit:
                return False
            self._write_load(self._number, connections, calls + 1)
        return True

    def count_all(self, calls: int) -> int:  # noqa: ARG002 - it has been noted
        return self.calls

    def may_accept(self) -> bool:
        """
        Return whether no other worker has clearly fewer connections than this one.

        The workers share one listening socket, and the kernel wakes all of them; without this, the first one takes all
        that wait.
        """
        loads = [connections for connections, _ in self._loads()]
        least = min(loads)
        return self._number is None or loads[self._number] < least + AHEAD + least // AHEAD_SHARE

    def count_unknown(self) -> int:
        """Return the number of a call without a callSid, from 1."""
        with self._locked():
            (unknown,) = _UNKNOWN.unpack_from(self._memory)
            _UNKNOWN.pack_into(self._memory, 0, unknown + 1)
        return int(unknown) + 1

    def count_stream(self, name: str) -> int:
        """Return the number of a stream of the call ``name``, from 1."""
        wanted = int.from_bytes(hashlib.blake2b(name.encode(errors="replace"), digest_size=8).digest())
        place = _TABLE_AT + wanted % _SETS * _SET.size
        with self._locked():
            names_and_streams = list(_SET.unpack_from(self._memory, place))
            names = names_and_streams[::2]
            found = names.index(wanted) if wanted in names else _WAYS - 1
            streams = names_and_streams[2 * found + 1] if wanted in names else 0
            del names_and_streams[2 * found : 2 * found + 2]
            _SET.pack_into(self._memory, place, wanted, streams + 1, *names_and_streams)
        return int(streams) + 1

    def _loads(self) -> list[tuple[int, int]]:
        return [_SLOT.unpack_from(self._memory, _SLOTS_AT + number * _SLOT.size) for number in range(self._workers)]

    def _write_load(self, number: int, connections: int, calls: int) -> None:
        _SLOT.pack_into(self._memory, _SLOTS_AT + number * _SLOT.size, connections, calls)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self.fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN)
