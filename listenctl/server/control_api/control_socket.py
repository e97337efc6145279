"""
The control socket as a file: claimed by one server at a time, and gone when it ends.

What answers on it (`control_server`) is imported when a client connects, so that it costs a server nothing.
"""

import asyncio
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.errors import ListenctlError
from listenctl.net.runtime_folder import listen_privately, prepare_folder

if TYPE_CHECKING:
    from websockets.asyncio.server import Server

    from listenctl.server.server import ListenServer

BACKLOG = 128
PROBE_TIMEOUT = 1.0


class ControlSocket:
    """The control socket of one server."""

    def __init__(self, path: Path, server: "ListenServer") -> None:
        self.path = path
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._identity = (0, 0)
        self._waking: asyncio.Task[Server] | None = None

    def open(self) -> None:
        """
        Claim the path; what a dead server left there is cleaned up.

        Raises:
            ListenctlError: a live one has it, or it can't be made.
        """
        prepare_folder(self.path)
        try:
            with _locked(self.path.parent):
                self._socket = _claim(self.path)
            self._identity = _identity(self.path)
        except OSError as exc:
            raise ListenctlError(f"{self.path}: no control socket can be made: {exc.strerror or exc}") from exc
        self._loop.add_reader(self._socket, self._wake, self._socket)

    async def close(self) -> None:
        """Remove the file and end what is said over it."""
        if self._socket is None:
            return
        with suppress(OSError):
            if _identity(self.path) == self._identity:
                self.path.unlink()
        if self._waking is None:
            self._loop.remove_reader(self._socket)
        else:
            answering = await self._waking
            answering.close(reason="server ended")
            await answering.wait_closed()
        self._socket.close()

    def _wake(self, listening: socket.socket) -> None:
        from listenctl.server.control_api.control_server import answer

        self._loop.remove_reader(listening)
        self._waking = self._loop.create_task(answer(listening, self._server, self.path.stem))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others from claiming a socket meanwhile: two could find the same one dead, and remove each other's."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _claim(path: Path) -> socket.socket:
    if path.is_socket():
        if _answers(path):
            raise ListenctlError(f"a server named {path.stem} is running already; give --name")
        path.unlink()
    return listen_privately(path, backlog=BACKLOG)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_TIMEOUT)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (BlockingIOError, TimeoutError):
            return True  # It is busy, which only the living are.
    return True


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
