"""
The socket of a simulated call, over which another process of the same user learns of the call and presses its keys.

It is HTTP and WebSocket on a Unix socket, like the control socket of a server; what answers is imported when somebody
comes, so that it costs a call nothing.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from listenctl.errors import ListenctlError
from listenctl.net.runtime_folder import call_socket_path, listen_privately, prepare_folder
from listenctl.protocol import peer_json
from listenctl.simulator.call_snapshot import CallSnapshot
from listenctl.simulator.dtmf_requests import DtmfRequest, key_down, pressed, refused

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

VERSION = 1
RESOURCE = "/call"
TIMEOUT = 2.0
"""Seconds for a visitor to say what it wants."""
_MAX_MESSAGE = 64 * 1024
_BACKLOG = 16


class Phone(Protocol):
    """What is needed of the call."""

    @property
    def passes_dtmf(self) -> bool:
        """Whether the server is told of keys."""

    def snapshot(self) -> CallSnapshot:
        """Return how the call is now."""

    def press_digit(self, digit: str, duration: float = ...) -> None:
        """Press a key now."""


@asynccontextmanager
async def call_socket(folder: Path, phone: Phone, warn: Callable[[str], None]) -> AsyncIterator[None]:
    """
    Answer for the call of this process while the block runs.

    Args:
        folder: in which the simulated calls of this machine have their sockets.
        warn: told why there is no socket; the call goes on without.
    """
    try:
        path = call_socket_path(folder, os.getpid())
        listening = _listen(path)
    except (OSError, ListenctlError) as exc:
        warn(f"send-dtmf can't find this call: {exc}")
        yield
        return
    visits = _Visits(listening, phone)
    try:
        yield
    finally:
        _remove(path)
        await visits.close()


def _listen(path: Path) -> socket.socket:
    prepare_folder(path.parent, advice="")
    prepare_folder(path, advice="")
    # Whoever had our process id before is dead.
    path.unlink(missing_ok=True)
    return listen_privately(path, backlog=_BACKLOG)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


class _Visits:
    """Those who come to the socket."""

    def __init__(self, listening: socket.socket, phone: Phone) -> None:
        self._listening = listening
        self._phone = phone
        self._started = time.time()
        self._loop = asyncio.get_running_loop()
        self._waking: asyncio.Task[Server] | None = None
        self._loop.add_reader(listening, self._wake)

    async def close(self) -> None:
        """Let everyone go."""
        if self._waking is None:
            self._loop.remove_reader(self._listening)
        else:
            answering = await self._waking
            answering.close(reason="call ended")
            await answering.wait_closed()
        self._listening.close()

    def _wake(self) -> None:
        self._loop.remove_reader(self._listening)
        self._waking = self._loop.create_task(self._answer())

    async def _answer(self) -> "Server":
        from websockets.asyncio.server import unix_serve

        return await unix_serve(
            self._converse,
            sock=self._listening,
            process_request=self._route,
            compression=None,
            max_size=_MAX_MESSAGE,
            open_timeout=TIMEOUT,
            close_timeout=TIMEOUT,
            ping_interval=None,
        )

    def _route(self, connection: "ServerConnection", request: "Request") -> "Response | None":
        if request.path != RESOURCE:
            return connection.respond(HTTPStatus.NOT_FOUND, f"there is {RESOURCE}\n")
        if "Upgrade" in request.headers:
            return None
        response = connection.respond(HTTPStatus.OK, peer_json.encode(self._describe()) + "\n")
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response

    def _describe(self) -> dict[str, object]:
        now = self._phone.snapshot()
        return {
            "v": VERSION,
            "pid": os.getpid(),
            "call_sid": now.call,
            "url": now.url,
            "state": now.state,
            "started": self._started,
            "keys": now.digits,
        }

    async def _converse(self, connection: "ServerConnection") -> None:
        from websockets.exceptions import ConnectionClosed

        with suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(await self._obey(connection, message))

    async def _obey(self, connection: "ServerConnection", message: str | bytes) -> str:
        press = DtmfRequest.parse(message)
        if press is None:
            return refused("that is no press of keys that a phone has")
        for wait, digit in press.steps():
            # Whoever leaves presses no more.
            if wait and await _closes_within(connection, wait):
                break
            state = self._phone.snapshot().state
            if state != "live":
                early = state == "connecting"
                return refused("the call isn't connected yet" if early else "the call has ended", ended=not early)
            if digit:
                self._phone.press_digit(digit, press.duration_ms / 1000)
                await connection.send(key_down())
        return pressed(passed=self._phone.passes_dtmf)


async def _closes_within(connection: "ServerConnection", seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await connection.wait_closed()
    except TimeoutError:
        return False
    return True
