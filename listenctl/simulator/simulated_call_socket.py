"""
The socket over which other processes of the same user find a simulated call and press its DTMF digits.
The WebSocket server is imported when the first client connects, so that it costs a call nothing.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Self

from listenctl.background_task import background_task, log_failure
from listenctl.errors import ListenctlError
from listenctl.json_lines import VERSION, JsonObject
from listenctl.net.runtime_folder import call_socket_path, listen_privately, prepare_folder
from listenctl.protocol import peer_json
from listenctl.protocol.peer_json import count_in, string_in
from listenctl.simulator.dtmf_requests import DIGIT_PRESSED, DtmfRequest, request_done, request_refused

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

    from listenctl.simulator.simulated_call import SimulatedCall

RESOURCE = "/call"
TIMEOUT = 2.0
"""Seconds for a client's request."""
_MAX_MESSAGE = 64 * 1024
_BACKLOG = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCallEntry:
    """What a call says about itself on its ``socket``; ``started`` is Unix time."""

    socket: Path
    pid: int
    call_sid: str
    url: str
    state: str
    started: float
    digits: str

    @classmethod
    def parse(cls, path: Path, body: bytes) -> Self | None:
        value, _ = peer_json.decode(body.decode(errors="replace")) or (None, 0)
        match fields := value if isinstance(value, dict) else {}:
            case {"call_sid": str(call_sid), "started": int() | float() as started}:
                return cls(
                    socket=path,
                    pid=count_in(fields, "pid"),
                    call_sid=call_sid,
                    url=string_in(fields, "url"),
                    state=string_in(fields, "state"),
                    started=started,
                    digits=string_in(fields, "keys"),
                )
        return None

    def serialize(self) -> JsonObject:
        return {
            "v": VERSION,
            "pid": self.pid,
            "call_sid": self.call_sid,
            "url": self.url,
            "state": self.state,
            "started": self.started,
            "keys": self.digits,
        }


@asynccontextmanager
async def call_socket(
    folder: Path, call: "SimulatedCall", warn: Callable[[str], None], *, clock: Callable[[], float] = time.time
) -> AsyncIterator[None]:
    """Serve the socket of this process's call while the block runs; ``warn`` gets the reason if there is none."""
    try:
        path = call_socket_path(folder, os.getpid())
        listening = _listen(path)
    except (OSError, ListenctlError) as exc:
        warn(f"send-dtmf can't find this call: {exc}")
        yield
        return
    with listening:
        serving = log_failure(
            partial(_CallSocket(path, call, clock()).serve, listening),
            "the socket of the call",
            lambda: warn("send-dtmf can't find this call: its socket failed unexpectedly"),
        )
        async with background_task(serving):
            try:
                yield
            finally:
                with suppress(OSError):
                    path.unlink()


def _listen(path: Path) -> socket.socket:
    prepare_folder(path.parent, advice="")
    prepare_folder(path, advice="")
    # A process that had the same id before is dead.
    path.unlink(missing_ok=True)
    return listen_privately(path, backlog=_BACKLOG)


class _CallSocket:
    def __init__(self, path: Path, call: "SimulatedCall", started: float) -> None:
        self._path = path
        self._call = call
        self._started = started

    async def serve(self, listening: socket.socket) -> None:
        await _readable(listening)
        from websockets.asyncio.server import unix_serve

        server = await unix_serve(
            self._take_request,
            sock=listening,
            process_request=self._answer_http,
            compression=None,
            max_size=_MAX_MESSAGE,
            open_timeout=TIMEOUT,
            close_timeout=TIMEOUT,
            ping_interval=None,
        )
        try:
            await server.serve_forever()
        finally:
            server.close(reason="call ended")
            await server.wait_closed()

    def _answer_http(self, connection: "ServerConnection", request: "Request") -> "Response | None":
        if request.path != RESOURCE:
            return connection.respond(HTTPStatus.NOT_FOUND, f"there is {RESOURCE}\n")
        if "Upgrade" in request.headers:
            return None
        response = connection.respond(HTTPStatus.OK, peer_json.encode(self._describe().serialize()) + "\n")
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response

    def _describe(self) -> SimulatedCallEntry:
        now = self._call.snapshot()
        return SimulatedCallEntry(
            socket=self._path,
            pid=os.getpid(),
            call_sid=now.call,
            url=now.url,
            state=now.state,
            started=self._started,
            digits=now.digits,
        )

    async def _take_request(self, connection: "ServerConnection") -> None:
        from websockets.exceptions import ConnectionClosed

        with suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(await self._press_digits(connection, message))

    async def _press_digits(self, connection: "ServerConnection", message: str | bytes) -> str:
        request = DtmfRequest.parse(message)
        if request is None:
            return request_refused("this is not a request to press digits that a phone has")
        for wait, digit in request.steps():
            # A client that leaves presses nothing more.
            if wait and await _closes_within(connection, wait):
                break
            match self._call.snapshot().state:
                case "connecting":
                    return request_refused("the call isn't connected yet")
                case "closing" | "ended":
                    return request_refused("the call has ended", ended=True)
            if digit:
                self._call.press_digit(digit, request.duration_ms / 1000)
                await connection.send(DIGIT_PRESSED)
        return request_done(passed=self._call.plan.verb.pass_dtmf)


async def _readable(listening: socket.socket) -> None:
    """Wait until a client connects."""
    loop = asyncio.get_running_loop()
    connected = asyncio.Event()
    loop.add_reader(listening, connected.set)
    try:
        await connected.wait()
    finally:
        loop.remove_reader(listening)


async def _closes_within(connection: "ServerConnection", seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await connection.wait_closed()
    except TimeoutError:
        return False
    return True
