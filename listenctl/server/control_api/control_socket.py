"""The control socket as a file, claimed by one server; what answers on it is imported when a client connects."""

import asyncio
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from listenctl.background_task import background_task, log_failure
from listenctl.errors import ListenctlError
from listenctl.events import Reporter, WarningEvent
from listenctl.net.runtime_folder import listen_privately, prepare_folder

if TYPE_CHECKING:
    from websockets.asyncio.server import Server

BACKLOG = 128
PROBE_TIMEOUT = 1.0
CLAIM_INTERVAL = 1.0
"""Seconds between two tries to claim a path that another server has."""


class ControlOwner(Protocol):
    """The server that tools reach, or all workers of one."""

    reporter: Reporter
    tasks: asyncio.TaskGroup

    @property
    def url(self) -> str: ...

    @property
    def recording(self) -> bool: ...

    async def serve_tools(self, listening: socket.socket, name: str) -> "Server":
        """Serve the tools that arrive at a socket."""


class ClaimedPath:
    """A listening socket at a path, which is ours until it is removed."""

    def __init__(self, path: Path) -> None:
        """Claim the path, even of a dead server; raises ListenctlError if a live one has it, or creating it fails."""
        prepare_folder(path)
        self._path = path
        try:
            with _locked(path.parent):
                self.socket = _claim(path)
            self._identity = _identity(path)
        except OSError as exc:
            raise ListenctlError(f"{path}: can't create the control socket: {exc.strerror or exc}") from exc

    def remove_file(self) -> None:
        with suppress(OSError):
            if _identity(self._path) == self._identity:
                self._path.unlink()
        # A later file of another server can have the same inode.
        self._identity = (0, 0)


class ControlSocket:
    """Serves tools; ``handed`` is where a parent hands them to a worker, in place of a socket at the path."""

    def __init__(self, path: Path, owner: ControlOwner, handed: socket.socket | None = None) -> None:
        self.path = path
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._claimed: ClaimedPath | None = None
        self._socket = handed
        self._starting: asyncio.Task[Server | None] | None = None

    def open(self) -> None:
        """Claim the path unless tools are handed to us; raises ListenctlError if that fails."""
        if self._socket is None:
            self._claimed = ClaimedPath(self.path)
            self._socket = self._claimed.socket
        self._loop.add_reader(self._socket, self._start_server, self._socket)

    @property
    def open_path(self) -> Path | None:
        """The path if tools can reach us there."""
        return None if self._socket is None else self.path

    async def close(self) -> None:
        if self._socket is None:
            return
        self._remove_file()
        if self._starting is None:
            self._loop.remove_reader(self._socket)
        elif (answering := await self._starting) is not None:
            answering.close(reason="server ended")
            await answering.wait_closed()
        self._socket.close()

    def _start_server(self, listening: socket.socket) -> None:
        self._loop.remove_reader(listening)
        answering = log_failure(
            partial(self._owner.serve_tools, listening, self.path.stem),
            "the control socket",
            lambda: self._give_up(listening),
        )
        self._starting = self._owner.tasks.create_task(answering)

    def _give_up(self, listening: socket.socket) -> None:
        """Let tools find no server, instead of one that doesn't answer."""
        self._remove_file()
        listening.close()
        self._owner.reporter.emit(no_control(f"{self.path}: the control socket failed unexpectedly"))

    def _remove_file(self) -> None:
        if self._claimed is not None:
            self._claimed.remove_file()


class Claimable(Protocol):
    """A control socket whose path another server may have."""

    @property
    def open_path(self) -> Path | None: ...

    def open(self) -> None:
        """Claim the path; raises ListenctlError if that fails."""


def try_open(control: Claimable | None, *, required: bool) -> WarningEvent | None:
    """Open a control socket, or return the warning that there is none; raises ListenctlError instead if it must be."""
    try:
        if control is not None:
            control.open()
    except ListenctlError as exc:
        if required:
            raise
        # Taking calls matters more than being found by other commands.
        return no_control(exc)
    return None


@asynccontextmanager
async def taking_over(control: Claimable | None, reporter: Reporter, *, wanted: bool) -> AsyncIterator[None]:
    """While the block runs, wait for the path of a server that this one replaces, if that is ``wanted``."""
    if control is None or control.open_path is not None or not wanted:
        yield
        return
    async with background_task(_open_when_free(control, reporter)):
        yield


async def _open_when_free(control: Claimable, reporter: Reporter) -> None:
    while control.open_path is None:
        await asyncio.sleep(CLAIM_INTERVAL)
        with suppress(ListenctlError):
            control.open()
    reporter.emit(WarningEvent(rule="control-opened", detail="other commands find this server now"))


def no_control(reason: object) -> WarningEvent:
    return WarningEvent(rule="no-control", detail=f"other commands can't find this server: {reason}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other servers from claiming a socket: two could find it dead, and remove each other's new one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _claim(path: Path) -> socket.socket:
    if path.is_socket():
        if _is_alive(path):
            raise ListenctlError(f"a server named {path.stem} is already running; choose another --name")
        path.unlink()
    return listen_privately(path, backlog=BACKLOG)


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_TIMEOUT)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (BlockingIOError, TimeoutError):
            return True  # Its queue is full, so it is alive.
    return True


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
