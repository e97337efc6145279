"""Open a connection: TCP, TLS, the upgrade, and redirects, all within one deadline and with an error that helps."""

import asyncio
import os
import socket
import ssl
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass

from listenctl.errors import RefusedError
from listenctl.net.call_target import CallTarget, client_tls_context
from listenctl.net.client_handshake import (
    ClientHandshake,
    HandshakeRefusedError,
    body_of,
    build_request,
    check_upgrade,
    is_complete,
    parse_head,
    redirected,
    refusal,
    split_head,
)
from listenctl.net.client_socket import Wire
from listenctl.net.memory_tls import TlsStream
from listenctl.net.websocket_url import WebSocketUrl
from listenctl.protocol.opening_handshake import basic_authorization

MAX_REDIRECTS = 5
# OpenSSL's codes for a host name, mail address and IP address that the certificate doesn't have.
_WRONG_NAME = (62, 63, 64)
BODY_DEADLINE = 1.0
"""Seconds for the body of a refusal, which jambonz doesn't wait for; some servers never end theirs."""
_READ_BYTES = 64 * 1024
# jambonz's own: the first probe after 55 s, four of them, 5 s apart (protocol.md 1.6).
_KEEPALIVE = {"TCP_KEEPIDLE": 55, "TCP_KEEPCNT": 4, "TCP_KEEPINTVL": 5}


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection after its handshake, and what the server said right behind it."""

    wire: Wire
    handshake: ClientHandshake
    received: bytes


class HandshakeTimeoutError(RefusedError):
    """The server didn't answer in time."""


async def open_wire(target: CallTarget) -> Opened:
    """
    Connect to a listen server and shake hands.

    Raises:
        LateError: The server doesn't answer in time.
        AnsweredError: It answers with anything but 101.
        RefusedError: Nobody answers, or not as jambonz needs it.
    """
    hops = [target.address]
    try:
        async with asyncio.timeout(target.deadline) as deadline:
            return await _follow(target, hops)
    except (OSError, UnicodeError, RefusedError) as exc:
        late = isinstance(exc, TimeoutError) and deadline.expired()
        reason = f"no answer within {target.deadline:g} s; see whether it is a listen server" if late else _reason(exc)
        text = f"{' → '.join(map(str, hops))}: {reason}"
        if isinstance(exc, HandshakeRefusedError):
            raise HandshakeRefusedError(text, exc.answer) from exc
        raise (HandshakeTimeoutError if late else RefusedError)(text) from exc


async def _follow(target: CallTarget, hops: list[WebSocketUrl]) -> Opened:
    start = asyncio.get_running_loop().time()
    while True:
        attempt = await _Attempt.open(target, hops)
        try:
            outcome = await attempt.upgrade(start)
        except BaseException:
            attempt.close()
            raise
        if isinstance(outcome, Opened):
            return outcome
        attempt.close()
        if len(hops) > MAX_REDIRECTS:
            raise RefusedError(f"redirected more than {MAX_REDIRECTS} times; give the URL that it ends at")
        hops.append(outcome)


class _Attempt:
    """One connection that may become a WebSocket; ``hops`` ends with its address."""

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
        """Connect, with TLS if need be."""
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

    async def upgrade(self, start: float) -> Opened | WebSocketUrl:
        """Ask for a WebSocket; return it, or where the server sends us."""
        asked = self._loop.time()
        key = b64encode(os.urandom(16)).decode()
        self._target.note_key(key)
        request = build_request(self._target, self._address, key)
        await self._send(request)
        received = b""
        while (response := parse_head(received)) is None:
            received += await self._receive(received)
        if response.status_code != 101:
            if other := redirected(response, self._address):
                return other
            response.body = body_of(await self._read_body(received))
            raise refusal(response)
        subprotocol, warnings = check_upgrade(response, key, self._target.subprotocol)
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
        return Opened(Wire(self._socket, self._tls, self._loop), handshake, split_head(received))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _warnings(self) -> tuple[str, ...]:
        _, warning = basic_authorization(self._target.credentials)
        found = (*self._address.warnings, *((warning,) if warning else ()))
        if self._target.credentials and any(hop.host != self._hops[0].host for hop in self._hops):
            found += ("the credentials went to another host, by a redirect, as jambonz would send them",)
        return found

    async def _shake_tls(self) -> None:
        start = self._loop.time()
        self._tls = TlsStream(self._target.tls or client_tls_context(), self._address.host)
        data = b""
        try:
            while not self._tls.shake(data):
                await self._loop.sock_sendall(self._socket, self._tls.pending())
                data = await self._loop.sock_recv(self._socket, _READ_BYTES)
                if not data:
                    raise RefusedError("closed the connection during the TLS handshake; see whether it speaks wss://")
        finally:
            # The alert, if there is one: the server can say then what we didn't like.
            with suppress(OSError):
                await self._loop.sock_sendall(self._socket, self._tls.pending())
        self._tls_seconds = self._loop.time() - start

    async def _send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data if self._tls is None else self._tls.encrypt(data))

    async def _receive(self, before: bytes) -> bytes:
        """Return what comes next, and complain at the end of the stream."""
        while True:
            data = await self._loop.sock_recv(self._socket, _READ_BYTES)
            clear = data if self._tls is None else self._tls.decrypt(data)
            if clear:
                return clear
            if not data or (self._tls is not None and self._tls.ended):
                what = "in the midst of its answer" if before else "without an answer"
                raise RefusedError(f"closed the connection {what}; see whether it is a listen server, and ws or wss")

    async def _read_body(self, received: bytes) -> bytes:
        with suppress(TimeoutError, OSError, RefusedError):
            async with asyncio.timeout(BODY_DEADLINE):
                while len(received) < self._target.max_body and not is_complete(received):
                    received += await self._receive(received)
        return received


async def _connect(address: WebSocketUrl) -> socket.socket:
    """Connect to the first of the host's addresses that answers."""
    loop = asyncio.get_running_loop()
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


def _tune(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        # Not every system has all of them.
        if option := getattr(socket, name, None):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _remote(connection: socket.socket) -> str:
    host, port = connection.getpeername()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(exc: Exception) -> str:
    match exc:
        case RefusedError():
            return str(exc)
        case ssl.SSLCertVerificationError():
            reason = exc.verify_message.rstrip(".")
            if exc.verify_code in _WRONG_NAME:
                return f"its certificate is for another name: {reason}; call it by the name in it, or give --insecure"
            return f"its certificate isn't trusted: {reason}; give its CA with --ca, or --insecure"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "HTTP_REQUEST"):
            return "TLS failed: that port speaks no TLS; give ws:// in place of wss://"
        case ssl.SSLError():
            return f"TLS failed: {exc.reason or exc}; see which TLS versions the server knows"
        case socket.gaierror():
            return f"can't find the host: {exc.strerror}; see whether its name is right"
        case UnicodeError():
            return "can't find the host: no such name can exist; see whether it is right"
        case ConnectionResetError() | BrokenPipeError():
            return "broke the connection off during the handshake; see whether it is a listen server"
    # asyncio's own text names the address, and not the problem.
    problem = os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno else str(exc)
    return f"can't connect: {problem}; see whether a server is running there"
