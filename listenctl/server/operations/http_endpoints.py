"""
Health, readiness, version and metrics over HTTP: on the port of the calls for this machine, and on one of their own.
Probes of load balancers ask with HTTP/1.0 and HEAD, too, so this answers any request whose head is HTTP.
"""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Protocol

from websockets.datastructures import Headers
from websockets.http11 import Response

from listenctl import __version__
from listenctl.background_task import log_failure
from listenctl.server.access.client_addresses import host_of
from listenctl.server.access.networks import parse_address
from listenctl.server.operations.metric_families import MetricFamily
from listenctl.server.operations.prometheus_text import CONTENT_TYPE, prometheus_text

PATHS = ("/healthz", "/readyz", "/version", "/metrics")
REQUEST_TIMEOUT = 5.0
"""Seconds for a request to arrive on the admin port, and for its answer to leave."""
IDLE_TIMEOUT = 90.0
"""Seconds for another request on a connection of the admin port; a Prometheus usually asks each minute."""
MAX_HEAD = 8192
MAX_CONNECTIONS = 64

_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"
_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[^ ]*) HTTP/1\.[01]\r?\n")
_IS_LAST = re.compile(
    rb"^[^\r\n]*HTTP/1\.0|\n(?:connection[ \t]*:[^\n]*close|content-length|transfer-encoding)", re.IGNORECASE
)
# A WebSocket is a call, whatever its path. What a proxy on this machine passes on comes from elsewhere.
_NOT_FOR_US = re.compile(rb"\n(upgrade|forwarded|x-forwarded-for|via)[ \t]*:", re.IGNORECASE)


def is_probe(target: str, head: bytes, remote: str) -> bool:
    """Return whether a request on the port of the calls asks for an endpoint, from this machine itself."""
    if target.partition("?")[0] not in PATHS or _NOT_FOR_US.search(head):
        return False
    with suppress(ValueError):
        return parse_address(host_of(remote)).is_loopback
    return False


class DescribedServer(Protocol):
    def why_not_ready(self) -> str:
        """Return why a new call would be refused, empty if it would not."""

    async def collect_metrics(self) -> Sequence[MetricFamily]: ...


class HttpEndpoints:
    def __init__(self, server: DescribedServer) -> None:
        self._server = server

    async def answer(self, method: str, target: str) -> Response:
        path = target.partition("?")[0]
        if method not in ("GET", "HEAD"):
            status, kind, body = HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"use GET or HEAD\n"
        else:
            status, kind, body = await self._answer_path(path)
        headers = Headers([("Connection", "close"), ("Content-Length", str(len(body))), ("Content-Type", kind)])
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, HEAD"
        return Response(status.value, status.phrase, headers, b"" if method == "HEAD" else body)

    async def _answer_path(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        match path:
            case "/healthz":
                return HTTPStatus.OK, _TEXT, b"ok\n"
            case "/readyz":
                reason = self._server.why_not_ready()
                status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
                return status, _TEXT, f"{reason or 'ready'}\n".encode()
            case "/version":
                version = json.dumps({"name": "listenctl", "version": __version__})
                return HTTPStatus.OK, _JSON, f"{version}\n".encode()
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE, prometheus_text(await self._server.collect_metrics())
            case _:
                return HTTPStatus.NOT_FOUND, _TEXT, f"there are {', '.join(PATHS)}\n".encode()


class AdminPort:
    """
    Serve the endpoints to whoever reaches ``sockets``. Beyond the most connections, one that waits for another request
    gives way to a new one; without such, the new one is closed unanswered.
    """

    def __init__(self, endpoints: HttpEndpoints, sockets: list[socket.socket]) -> None:
        self._endpoints = endpoints
        self._sockets = sockets
        self._servers: list[asyncio.Server] = []
        self._open = 0
        self._idle: dict[asyncio.StreamWriter, None] = {}  # connections that wait for another request, oldest first

    @property
    def address(self) -> str | None:
        """Host and port, None without a port."""
        if not self._sockets:
            return None
        host, port = self._sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        self._servers = [await asyncio.start_server(self._take, sock=one, limit=MAX_HEAD) for one in self._sockets]
        try:
            yield
        finally:
            self.stop_listening()

    def stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        while self._close_idle():
            pass

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MAX_CONNECTIONS or self._close_idle():
                await log_failure(lambda: self._answer_requests(reader, writer), "a request on the admin port")
        finally:
            self._open -= 1
            self._idle.pop(writer, None)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    def _close_idle(self) -> bool:
        """Close the connection that has waited longest for another request; return False if none does."""
        oldest = next(iter(self._idle), None)
        if oldest is not None:
            del self._idle[oldest]
            oldest.transport.abort()
        return oldest is not None

    async def _answer_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            patience = REQUEST_TIMEOUT
            while await self._answer_request(reader, writer, patience):
                self._idle[writer] = None
                patience = IDLE_TIMEOUT

    async def _answer_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float
    ) -> bool:
        """Answer the next request, which must arrive within ``patience`` seconds; return whether others may follow."""
        async with asyncio.timeout(patience) as limit:
            head = await reader.readuntil(b"\r\n\r\n")
            self._idle.pop(writer, None)
            limit.reschedule(asyncio.get_running_loop().time() + REQUEST_TIMEOUT)
            line = _REQUEST_LINE.match(head)
            if line is None:
                return False
            method, target = (part.decode(errors="replace") for part in line.groups())
            answer = await self._endpoints.answer(method, target)
            # A connection for each request would take half as long again.
            others_follow = method in ("GET", "HEAD") and not _IS_LAST.search(head)
            if others_follow:
                del answer.headers["Connection"]
            writer.write(answer.serialize())
            await writer.drain()
            return others_follow
