"""Open a connection to a listen server: TCP, TLS, the upgrade and redirects, all within one deadline."""

import asyncio
import os
import socket
import ssl
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass

from listenctl.errors import RefusedError
from listenctl.net.client_handshake import (
    ClientHandshake,
    HandshakeRefusedError,
    body_of,
    build_request,
    check_upgrade,
    is_complete,
    parse_response_head,
    redirected,
    refused_error,
    split_head,
)
from listenctl.net.nonblocking_socket import NonblockingSocket, TlsSocket, TlsStream
from listenctl.net.server_address import CallTarget, client_tls_context
from listenctl.net.tls_failures import failure_seen_by_client
from listenctl.net.websocket_url import WebSocketUrl
from listenctl.protocol.opening_handshake import basic_authorization

MAX_REDIRECTS = 5
BODY_DEADLINE = 1.0
"""Seconds to wait for the body of a refusal; some servers never end theirs, and jambonz ignores it."""
WRITE_BYTES = 1044
"""jambonz writes at most this many bytes at once, so longer frames arrive in parts (listenctl-protocol(7) 13)."""
_READ_BYTES = 64 * 1024
# As jambonz sets them (listenctl-protocol(7) 1.6).
_KEEPALIVE = {"TCP_KEEPIDLE": 55, "TCP_KEEPCNT": 4, "TCP_KEEPINTVL": 5}


@dataclass(frozen=True, slots=True)
class OpenedConnection:
    socket: NonblockingSocket
    handshake: ClientHandshake
    received: bytes  # what the server sent directly after the handshake


class HandshakeTimeoutError(RefusedError): ...


async def open_connection(target: CallTarget) -> OpenedConnection:
    """Connect and upgrade; raises HandshakeTimeoutError, HandshakeRefusedError (not 101), or RefusedError."""
    hops = [target.address]
    try:
        async with asyncio.timeout(target.deadline) as deadline:
            return await _follow(target, hops)
    except (OSError, UnicodeError, RefusedError) as exc:
        late = isinstance(exc, TimeoutError) and deadline.expired()
        late_text = f"no answer within {target.deadline:g} s; check whether it is a listen server"
        reason = late_text if late else _reason(exc, "--upstream-" if target.relayed else "--")
        text = f"{' → '.join(map(str, hops))}: {reason}"
        if isinstance(exc, HandshakeRefusedError):
            raise HandshakeRefusedError(text, exc.answer) from exc
        raise (HandshakeTimeoutError if late else RefusedError)(text) from exc


async def _follow(target: CallTarget, hops: list[WebSocketUrl]) -> OpenedConnection:
    start = asyncio.get_running_loop().time()
    while True:
        attempt = await _Attempt.open(target, hops)
        try:
            outcome = await attempt.upgrade(start)
        except BaseException:
            attempt.close()
            raise
        if isinstance(outcome, OpenedConnection):
            return outcome
        attempt.close()
        if len(hops) > MAX_REDIRECTS:
            raise RefusedError(f"redirected more than {MAX_REDIRECTS} times; give the final URL")
        hops.append(outcome)


class _Attempt:
    """One connection that may become a WebSocket; its URL is the last of ``hops``."""

    def __init__(self, connection: socket.socket, target: CallTarget, hops: list[WebSocketUrl]) -> None:
        self._socket = connection
        self._target = target
        self._hops = hops
        self._address = hops[-1]
        self._loop = asyncio.get_running_loop()
        self._tls: TlsStream | None = None
        self._connect_seconds = self._tls_seconds = 0.0

    @classmethod
    async def open(cls, target: CallTarget, hops: list[WebSocketUrl]) -> "_Attempt":
        start = asyncio.get_running_loop().time()
        attempt = cls(await _connect(hops[-1]), target, hops)
        attempt._connect_seconds = attempt._loop.time() - start
        try:
            if hops[-1].secure:
                await attempt._shake_tls()
        except BaseException:
            attempt.close()
            raise
        return attempt

    async def upgrade(self, start: float) -> OpenedConnection | WebSocketUrl:
        """Request the upgrade; return the connection, or the URL that the server redirects to."""
        asked = self._loop.time()
        key = b64encode(os.urandom(16)).decode()
        self._target.note_key(key)
        request = build_request(self._target, self._address, key)
        await self._send(request)
        received = b""
        while (response := parse_response_head(received)) is None:
            received += await self._receive(received)
        if response.status_code != 101:
            if other := redirected(response, self._address):
                return other
            response.body = body_of(await self._read_body(received))
            raise refused_error(response)
        subprotocol, warnings = check_upgrade(response, key, self._target.subprotocol, relayed=self._target.relayed)
        now = self._loop.time()
        handshake = ClientHandshake(
            seconds=now - start,
            connect_seconds=self._connect_seconds,
            tls_seconds=self._tls_seconds,
            upgrade_seconds=now - asked,
            subprotocol=subprotocol,
            remote=_remote(self._socket),
            redirects=tuple(map(str, self._hops[1:])),
            warnings=self._warnings() + warnings,
            request=request,
        )
        return OpenedConnection(self._wrap_socket(), handshake, split_head(received))

    def close(self) -> None:
        self._socket.close()

    def _wrap_socket(self) -> NonblockingSocket:
        if self._tls is None:
            return NonblockingSocket(self._socket, self._loop, write_size=WRITE_BYTES)
        return TlsSocket(self._socket, self._loop, self._tls, write_size=WRITE_BYTES)

    def _warnings(self) -> tuple[str, ...]:
        _, warning = basic_authorization(self._target.credentials)
        found = (*self._address.warnings, *((warning,) if warning else ()))
        if self._target.credentials and any(hop.host != self._hops[0].host for hop in self._hops):
            found += ("a redirect sent the credentials to another host, as jambonz would",)
        return found

    async def _shake_tls(self) -> None:
        start = self._loop.time()
        tls = self._tls = TlsStream(self._target.tls or client_tls_context(), server_hostname=self._address.host)
        try:
            while not tls.do_handshake():
                await self._loop.sock_sendall(self._socket, tls.take_outgoing())
                data = await self._loop.sock_recv(self._socket, _READ_BYTES)
                if not data:
                    raise RefusedError("closed the connection during the TLS handshake; check whether it speaks wss://")
                tls.receive_data(data)
        finally:
            # If the handshake failed this is the alert, so that the server can log the cause.
            with suppress(OSError):
                await self._loop.sock_sendall(self._socket, tls.take_outgoing())
        self._tls_seconds = self._loop.time() - start

    async def _send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data if self._tls is None else self._tls.encrypt(data))

    async def _receive(self, before: bytes) -> bytes:
        while True:
            data = clear = await self._loop.sock_recv(self._socket, _READ_BYTES)
            if self._tls is not None:
                self._tls.receive_data(data)
                clear = self._tls.decrypt()
            if clear:
                return clear
            if self._tls is not None and self._tls.failure is not None:
                raise self._tls.failure
            if not data or (self._tls is not None and self._tls.stream_ended):
                what = "in the middle of its answer" if before else "without an answer"
                raise RefusedError(f"closed the connection {what}; check whether it is a listen server, on ws or wss")

    async def _read_body(self, received: bytes) -> bytes:
        with suppress(TimeoutError, OSError, RefusedError):
            async with asyncio.timeout(BODY_DEADLINE):
                while len(received) < self._target.max_body and not is_complete(received):
                    received += await self._receive(received)
        return received


async def _connect(address: WebSocketUrl) -> socket.socket:
    loop = asyncio.get_running_loop()
    if address.socket:
        return await _connect_to_socket(address.socket)
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    problem: OSError = OSError("the host has no address")
    for family, kind, protocol, _, place in found:
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, place)
        except OSError as exc:
            connection.close()
            problem = exc
            continue
        except BaseException:
            connection.close()
            raise
        _tune(connection)
        return connection
    raise problem


async def _connect_to_socket(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _tune(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        # Not every system has all options.
        if option := getattr(socket, name, None):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _remote(connection: socket.socket) -> str:
    if connection.family == socket.AF_UNIX:
        return str(connection.getpeername())
    host, port = connection.getpeername()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(exc: Exception, option_prefix: str) -> str:
    match exc:
        case RefusedError():
            return str(exc)
        case ssl.SSLError():
            return failure_seen_by_client(exc, option_prefix=option_prefix)
        case socket.gaierror():
            return f"can't resolve the host: {exc.strerror}; check its name"
        case UnicodeError():
            return "can't resolve the host: its name is invalid; check it"
        case ConnectionResetError() | BrokenPipeError():
            return "reset the connection during the handshake; check whether it is a listen server"
    # asyncio's own text names the address, not the problem.
    problem = os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno else str(exc)
    return f"can't connect: {problem}; check whether a server is running there"
