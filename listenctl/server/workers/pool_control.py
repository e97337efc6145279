"""
The control socket of a server with workers: a tool for a call is handed to the worker that has it, and the parent
answers everything else, for all workers.
"""

import asyncio
import socket
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from listenctl.server.control_api.control_socket import BACKLOG, ClaimedPath, ControlSocket
from listenctl.server.control_api.find_live_call import find_live_call
from listenctl.server.handshake_refusal import HandshakeRefusal
from listenctl.server.workers.handed_tools import HandedTools, hand_over

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

    from listenctl.server.workers.worker_pool import WorkerPool

REQUEST_TIMEOUT = 2.0
"""Seconds for the first line of a tool's request, which is left in the socket and so looked for at intervals."""
LOOK_AGAIN = 0.01
MAX_LINE = 16 * 1024
MAX_PENDING = 128
"""Tools whose requests have not arrived."""

_CALL = b"GET /calls/"


class PoolControl:
    def __init__(self, path: Path, pool: "WorkerPool") -> None:
        self.path = path
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._pending = 0
        # The parent hands tools to itself, too.
        self._own_tools, far_end = socket.socketpair()
        self._own_tools.setblocking(False)
        handed = HandedTools(fileno=far_end.detach())
        handed.setblocking(False)
        self._answering = ControlSocket(path, pool, handed)
        self._claimed: ClaimedPath | None = None

    def open(self) -> None:
        """Claim the path; raises ListenctlError if that fails."""
        self._claimed = ClaimedPath(self.path)
        self._answering.open()
        self._loop.add_reader(self._claimed.socket, self._accept, self._claimed.socket)

    @property
    def open_path(self) -> Path | None:
        """The path if tools can reach the server there."""
        return None if self._claimed is None else self.path

    async def close(self) -> None:
        if self._claimed is not None:
            self._loop.remove_reader(self._claimed.socket)
            self._claimed.remove_file()
            self._claimed.socket.close()
            await self._answering.close()
        self._own_tools.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(BACKLOG):
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            if self._pending >= MAX_PENDING:
                connection.close()
                continue
            connection.setblocking(False)
            self._pending += 1
            self._examine(connection, self._loop.time() + REQUEST_TIMEOUT)

    def _examine(self, connection: socket.socket, deadline: float) -> None:
        try:
            line, end, _ = connection.recv(MAX_LINE, socket.MSG_PEEK).partition(b"\n")
        except BlockingIOError:
            line, end = b"", None
        except OSError:
            line, end = b"", b""
        if not end and (line or end is None) and self._loop.time() < deadline:
            self._loop.call_later(LOOK_AGAIN, self._examine, connection, deadline)
            return
        self._pending -= 1
        # What is handed over stays open there.
        with connection:
            if end:
                self._route(connection, line)

    def _route(self, connection: socket.socket, line: bytes) -> None:
        if line.startswith(_CALL):
            name = line.removeprefix(_CALL).partition(b" ")[0].partition(b"?")[0].decode(errors="replace")
            found = find_live_call(self._pool.calls.named, unquote(name))
            if not isinstance(found, HandshakeRefusal) and self._pool.hand_over(connection, found):
                return
        hand_over(self._own_tools, connection, "")


async def serve_pool_tools(listening: socket.socket, pool: "WorkerPool", name: str) -> "Server":
    """Serve the tools that no worker serves."""
    from listenctl.server.control_api.control_server import serve_control

    return await serve_control(listening, partial(_route_request, pool, name))


async def _route_request(
    pool: "WorkerPool", name: str, connection: "ServerConnection", request: "Request"
) -> "Response | None":
    from listenctl.server.control_api import control_server

    assert isinstance(connection, control_server.ControlConnection)
    path = request.path.partition("?")[0]
    if path == "/calls":
        return control_server.answer_calls(connection, name, pool, await pool.list_calls())
    if path == "/events":
        connection.handle = partial(control_server.send_events, connection, pool)
        return None
    if not path.startswith("/calls/"):
        return connection.respond(HTTPStatus.NOT_FOUND, f"{control_server.RESOURCES}\n")
    found = find_live_call(pool.calls.named, unquote(path.removeprefix("/calls/")))
    if isinstance(found, HandshakeRefusal):
        return connection.respond(found.status, f"{found.reason}\n")
    return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "the process that has the call takes no more tools\n")
