"""A child process with three pipes and a process group of its own; none of them can block the event loop."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Self, cast

READ_BYTES = 8192
"""Bytes of a pipe that are read ahead; after that the child has to wait."""
PIPE_BYTES = 1024 * 1024
"""More than a pipe holds by default."""
POLL_EVERY = 0.02
TERM_WAIT = 2.0
"""Seconds for a child to exit after SIGTERM, and after SIGKILL."""

_groups: set[int] = set()
"""The process groups of all children that have not been ended."""


def kill_children() -> None:
    for group in _groups:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class ChildProcess(asyncio.SubprocessProtocol):
    """Run one program; its output is read from ``stdout`` and ``stderr``."""

    def __init__(self) -> None:
        self.stdout = asyncio.StreamReader(limit=READ_BYTES)
        self.stderr = asyncio.StreamReader(limit=READ_BYTES)
        self._exited = asyncio.Event()
        self._stdin_closed = False
        self._transport: asyncio.SubprocessTransport

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str | bytes]) -> Self:
        """Start ``command``; raises OSError if the program can't be started."""
        loop = asyncio.get_running_loop()
        _, child = await loop.subprocess_exec(cls, *command, env=environment, start_new_session=True)
        return child

    @property
    def pid(self) -> int:
        return self._transport.get_pid()

    @property
    def returncode(self) -> int | None:
        """Its exit status, or the negative number of the signal that killed it; None while it runs."""
        return self._transport.get_returncode()

    @property
    def unread(self) -> int:
        """Bytes that it has not read, beyond what the kernel holds."""
        return self._stdin.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Write to its stdin without waiting, unless it has closed that."""
        if not self._stdin.is_closing():
            self._stdin.write(data)

    def end_writing(self) -> None:
        if not self._stdin.is_closing():
            self._stdin.write_eof()

    async def wait_exited(self) -> None:
        await self._exited.wait()

    async def end_group(self) -> None:
        """End the processes that it left behind after its exit; the output in its pipes can still be read."""
        loop = asyncio.get_running_loop()
        _signal(self.pid, signal.SIGTERM)
        until = loop.time() + TERM_WAIT
        while _group_exists(self.pid):
            if loop.time() >= until:
                break
            # There is no notification for processes that aren't our children.
            await asyncio.sleep(POLL_EVERY)
        _signal(self.pid, signal.SIGKILL)
        self._cut_pipe(1, self.stdout)
        self._cut_pipe(2, self.stderr)

    def _cut_pipe(self, fd: int, reader: asyncio.StreamReader) -> None:
        """Read what is in a pipe, and close it: a process that left the group could keep it open for ever."""
        pipe = self._transport.get_pipe_transport(fd)
        if pipe is None or pipe.is_closing():
            return
        with suppress(BlockingIOError):
            reader.feed_data(os.read(pipe.get_extra_info("pipe").fileno(), PIPE_BYTES))
        pipe.close()

    async def end(self, exit_timeout: float) -> None:
        """Wait ``exit_timeout`` seconds for its exit, then end it and its whole process group."""
        if self._transport.is_closing():
            return
        waits = ((0, exit_timeout), (signal.SIGTERM, TERM_WAIT), (signal.SIGKILL, TERM_WAIT))
        try:
            for number, wait in waits:
                _signal(self.pid, number)
                if await self._has_exited(wait):
                    break
        finally:
            _signal(self.pid, signal.SIGKILL)
            _groups.discard(self.pid)
            # Nobody will read what it has not read.
            if not self._stdin_closed:
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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        _groups.add(self.pid)
        for fd, reader in ((1, self.stdout), (2, self.stderr)):
            pipe = self._transport.get_pipe_transport(fd)
            if pipe is not None:
                reader.set_transport(pipe)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        (self.stdout if fd == 1 else self.stderr).feed_data(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        if fd == 0:
            self._stdin_closed = True
        else:
            (self.stdout if fd == 1 else self.stderr).feed_eof()

    def process_exited(self) -> None:
        self._exited.set()
