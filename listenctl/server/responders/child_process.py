"""A child process with its three pipes, in a process group of its own, none of which can hold up the event loop."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Self, cast

READ_BYTES = 8192
"""Of a pipe, before it is read no further until somebody wants it; the child is held back then."""
PIPE_BYTES = 1024 * 1024
"""More than a pipe holds, unless its owner has asked for more."""
POLL_EVERY = 0.02
TERM_WAIT = 2.0
"""Seconds for a child to end after SIGTERM, and after SIGKILL."""

_groups: set[int] = set()
"""Those of all children that haven't been ended."""


def kill_children() -> None:
    """End all children at once, because this process ends at once."""
    for group in _groups:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class ChildProcess(asyncio.SubprocessProtocol):
    """
    Run one program.

    Attributes:
        stdout, stderr: to be read.
    """

    def __init__(self) -> None:
        self.stdout = asyncio.StreamReader(limit=READ_BYTES)
        self.stderr = asyncio.StreamReader(limit=READ_BYTES)
        self._exited = asyncio.Event()
        self._deaf = False
        self._transport: asyncio.SubprocessTransport

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str | bytes]) -> Self:
        """
        Start ``command``.

        Raises:
            OSError: it can't be started.
        """
        loop = asyncio.get_running_loop()
        _, child = await loop.subprocess_exec(cls, *command, env=environment, start_new_session=True)
        return child

    @property
    def pid(self) -> int:
        """Its number, which is that of its process group too."""
        return self._transport.get_pid()

    @property
    def returncode(self) -> int | None:
        """Its exit status, or the negative number of the signal that ended it; None while it runs."""
        return self._transport.get_returncode()

    @property
    def unread(self) -> int:
        """Bytes that it hasn't read, beyond what the kernel keeps."""
        return self._stdin.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Give it ``data`` as soon as it reads, unless it reads no more."""
        if not self._stdin.is_closing():
            self._stdin.write(data)

    def end_writing(self) -> None:
        """Let it read the end when it has read what waits."""
        if not self._stdin.is_closing():
            self._stdin.write_eof()

    async def exited(self) -> None:
        """Wait until it has ended; its pipes may still hold what it said."""
        await self._exited.wait()

    async def end_group(self) -> None:
        """End what it has left behind, now that it has ended; what its pipes hold by then can still be read."""
        loop = asyncio.get_running_loop()
        _signal(self.pid, signal.SIGTERM)
        until = loop.time() + TERM_WAIT
        while _is_there(self.pid):
            if loop.time() >= until:
                break
            # Nobody tells of those who aren't our own children.
            await asyncio.sleep(POLL_EVERY)
        _signal(self.pid, signal.SIGKILL)
        self._cut_pipe(1, self.stdout)
        self._cut_pipe(2, self.stderr)

    def _cut_pipe(self, fd: int, reader: asyncio.StreamReader) -> None:
        """Take what is in a pipe, and wait for no more: who has left the group may keep it open for ever."""
        pipe = self._transport.get_pipe_transport(fd)
        if pipe is None or pipe.is_closing():
            return
        with suppress(BlockingIOError):
            reader.feed_data(os.read(pipe.get_extra_info("pipe").fileno(), PIPE_BYTES))
        pipe.close()

    async def end(self, patience: float) -> None:
        """Give it ``patience`` seconds to end, then make it; what it has started and left behind ends with it."""
        if self._transport.is_closing():
            return
        waits = ((0, patience), (signal.SIGTERM, TERM_WAIT), (signal.SIGKILL, TERM_WAIT))
        try:
            for number, wait in waits:
                _signal(self.pid, number)
                if await self._has_exited(wait):
                    break
        finally:
            _signal(self.pid, signal.SIGKILL)
            _groups.discard(self.pid)
            # What it hasn't read nobody will.
            if not self._deaf:
                self._stdin.abort()
            self._transport.close()

    async def _has_exited(self, within: float) -> bool:
        if self._exited.is_set():
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._exited.wait()
        return self._exited.is_set()

    @property
    def _stdin(self) -> asyncio.WriteTransport:
        return cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the pipes."""
        self._transport = cast(asyncio.SubprocessTransport, transport)
        _groups.add(self.pid)
        for fd, reader in ((1, self.stdout), (2, self.stderr)):
            pipe = self._transport.get_pipe_transport(fd)
            if pipe is not None:
                reader.set_transport(pipe)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep what it says."""
        (self.stdout if fd == 1 else self.stderr).feed_data(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        """Note that it says, or reads, no more."""
        if fd == 0:
            self._deaf = True
        else:
            (self.stdout if fd == 1 else self.stderr).feed_eof()

    def process_exited(self) -> None:
        """Note that it has ended."""
        self._exited.set()
