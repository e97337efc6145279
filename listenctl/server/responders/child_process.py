"""A child process with three pipes and a process group of its own; none of them can block the event loop."""

import asyncio
import fcntl
import os
import signal
import struct
import termios
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


class ChildInput(asyncio.Protocol):
    """The writing end of a pipe that is the child's stdin; it can tell what the child has not read."""

    def __init__(self, fd: int) -> None:
        self.has_been_read = False
        """Whether the child has ever read something."""
        self._fd = fd
        self._written = 0
        self._transport: asyncio.WriteTransport

    @classmethod
    async def open(cls, fd: int) -> Self:
        _, opened = await asyncio.get_running_loop().connect_write_pipe(lambda: cls(fd), os.fdopen(fd, "wb", 0))
        return opened

    @property
    def unread(self) -> int:
        """Bytes that the child has not read; 0 once it has closed its end, or was sent the end."""
        if self._transport.is_closing():
            return 0
        [in_pipe] = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))
        unread = self._transport.get_write_buffer_size() + int(in_pipe)
        self.has_been_read = self.has_been_read or unread < self._written
        return unread

    def write(self, data: bytes) -> None:
        """Write without waiting, unless the child has closed its end."""
        if not self._transport.is_closing():
            self._transport.write(data)
            self._written += len(data)

    def send_end(self) -> None:
        if not self._transport.is_closing():
            self._transport.write_eof()

    def abort(self) -> None:
        """Close; nobody will read what the child has not read."""
        # One that is closing and has nothing to write will be closed soon, and asyncio can't close it twice.
        if self._transport.get_write_buffer_size() or not self._transport.is_closing():
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)


class ChildProcess(asyncio.SubprocessProtocol):
    """Run one program; its output is read from ``stdout`` and ``stderr``."""

    def __init__(self) -> None:
        self.stdin: ChildInput
        self.stdout = asyncio.StreamReader(limit=READ_BYTES)
        self.stderr = asyncio.StreamReader(limit=READ_BYTES)
        self.left_unread = 0
        """Bytes that it had not read when its time was up and it was ended."""
        self._exited = asyncio.Event()
        self._transport: asyncio.SubprocessTransport

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str | bytes]) -> Self:
        """Start ``command``; raises OSError if the program can't be started."""
        async with asyncio.TaskGroup() as starting:
            start = starting.create_task(cls._start(command, environment))
            try:
                await asyncio.wait([start])
            except asyncio.CancelledError:
                # If asyncio were cancelled, it would kill only the program, and wait until other processes of its group
                # have closed their ends of the pipes.
                await asyncio.wait([start])
                if isinstance(started := start.result(), cls):
                    await started.end(0.0)
                raise
        if isinstance(result := start.result(), OSError):
            raise result
        return result

    @classmethod
    async def _start(cls, command: Sequence[str], environment: Mapping[str, str | bytes]) -> Self | OSError:
        try:
            return await cls._start_program(command, environment)
        except OSError as exc:
            return exc

    @classmethod
    async def _start_program(cls, command: Sequence[str], environment: Mapping[str, str | bytes]) -> Self:
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        try:
            stdin = await ChildInput.open(writing)
            try:
                _, child = await loop.subprocess_exec(
                    cls, *command, stdin=reading, env=environment, start_new_session=True
                )
            except BaseException:
                stdin.abort()
                raise
        finally:
            os.close(reading)
        child.stdin = stdin
        return child

    @property
    def pid(self) -> int:
        return self._transport.get_pid()

    @property
    def returncode(self) -> int | None:
        """Its exit status, or the negative number of the signal that killed it; None while it runs."""
        return self._transport.get_returncode()

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
        """Let it read on and exit within ``exit_timeout`` seconds, then end it and its whole process group."""
        if self._transport.is_closing():
            return
        try:
            if not await self._exits_by_itself(exit_timeout):
                for number in (signal.SIGTERM, signal.SIGKILL):
                    _signal(self.pid, number)
                    if await self._has_exited(TERM_WAIT):
                        break
        finally:
            _signal(self.pid, signal.SIGKILL)
            _groups.discard(self.pid)
            self.stdin.abort()
            self._transport.close()

    async def _exits_by_itself(self, within: float) -> bool:
        """Send it the end of its input when it has read all before, so that what it leaves unread is known."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while left := self.stdin.unread:
            if self._exited.is_set() or loop.time() >= until:
                break
            # There is no notification for what a child reads.
            await asyncio.sleep(POLL_EVERY)
        else:
            self.stdin.send_end()
        if await self._has_exited(max(0.0, until - loop.time())):
            return True
        self.left_unread = left if within else 0
        return False

    async def _has_exited(self, within: float) -> bool:
        if self._exited.is_set():
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._exited.wait()
        return self._exited.is_set()

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
        (self.stdout if fd == 1 else self.stderr).feed_eof()

    def process_exited(self) -> None:
        self._exited.set()
