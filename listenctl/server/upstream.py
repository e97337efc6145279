"""The application behind a server that relays: a connection to it, as jambonz would make it, for every call."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

from listenctl.background_task import log_failure
from listenctl.errors import RefusedError
from listenctl.net.client_connection import ClientConnection, ConnectionEnd, connect
from listenctl.net.client_handshake import HandshakeRefusedError
from listenctl.net.open_connection import HandshakeTimeoutError
from listenctl.net.server_address import CallTarget
from listenctl.net.websocket_url import WebSocketUrl
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from listenctl.server.handshake_refusal import HandshakeRefusal
from listenctl.server.server_handshake import UpstreamRequest, copy_answer

if TYPE_CHECKING:
    from listenctl.server.relay import Relay

UPSTREAM_TIMEOUT = 9.0
"""Seconds for the application to answer; jambonz waits ten (listenctl-protocol(7) 1.6) for ours."""
CLOSE_TIMEOUT = 2.0
"""Seconds for the application to read some of what waits for it, and then to end its side."""
SHUTDOWN_CLOSE_TIMEOUT = 5.0
"""Seconds for all connections to close when the server ends."""
POLL_INTERVAL = 0.05
MAX_BODY = 64 * 1024
MAX_UNANSWERED = 1000
"""Requests that the application may leave unanswered at once; one that leads back to us would multiply without end."""
_NO_STATUS = 1005
"""The library's code for a Close without a code."""


class RelayTarget:
    """The application that calls are relayed to; a URL without a path gets the path that jambonz requests from us."""

    def __init__(self, target: CallTarget) -> None:
        self._target = replace(target, deadline=min(target.deadline, UPSTREAM_TIMEOUT), max_body=MAX_BODY)
        self._closing: set[asyncio.Task[None]] = set()
        self._keys: set[str] = set()
        self.unanswered = 0  # number of our requests that it has not answered

    @property
    def host_and_port(self) -> tuple[str, int] | None:
        """Where to connect by TCP; None for a Unix socket."""
        address = self._target.address
        return None if address.socket else (address.host, address.port)

    @property
    def url(self) -> str:
        return str(self._target.address)

    def has_requested_with(self, key: str) -> bool:
        """Return whether a request with this Sec-WebSocket-Key is one of ours that is unanswered."""
        return key in self._keys

    async def open(self, request: UpstreamRequest, tasks: asyncio.TaskGroup) -> "UpstreamConnection | HandshakeRefusal":
        """Request a connection as jambonz would, or return how to refuse the call."""
        address = replace(self._target.address, path=upstream_path(self._target.address.path, request.target))
        if any(character < " " or character == "\x7f" for character in address.path):
            return HandshakeRefusal(HTTPStatus.BAD_REQUEST, "control characters in the path are not passed on")
        if self.unanswered >= MAX_UNANSWERED:
            reason = f"{MAX_UNANSWERED} requests are unanswered; check that --upstream doesn't lead back to this server"
            return HandshakeRefusal(
                HTTPStatus.SERVICE_UNAVAILABLE, reason, "too many calls wait for the application", limit="upstream"
            )
        keys: list[str] = []
        self.unanswered += 1
        try:
            return await self._open(request, address, keys, tasks)
        finally:
            self.unanswered -= 1
            self._keys.difference_update(keys)

    async def _open(
        self, request: UpstreamRequest, address: WebSocketUrl, keys: list[str], tasks: asyncio.TaskGroup
    ) -> "UpstreamConnection | HandshakeRefusal":
        def note_key(key: str) -> None:
            keys.append(key)
            self._keys.add(key)

        target = replace(
            self._target,
            address=address,
            authorization=request.authorization,
            subprotocol=request.subprotocol,
            user_agent=request.user_agent,
            note_key=note_key,
        )
        try:
            return await UpstreamConnection.open(target, tasks, self._closing)
        except HandshakeRefusedError as exc:
            return HandshakeRefusal(exc.answer.status_code, str(exc), answer=copy_answer(exc.answer))
        except HandshakeTimeoutError as exc:
            return HandshakeRefusal(HTTPStatus.GATEWAY_TIMEOUT, str(exc), "the application didn't answer in time")
        except RefusedError as exc:
            # The client doesn't learn where the application is, and what is wrong there.
            public_reason = "the application can't be reached, or doesn't take calls"
            return HandshakeRefusal(HTTPStatus.BAD_GATEWAY, str(exc), public_reason)

    async def wait_closed(self) -> None:
        """Wait until the application has taken the ends of all connections, at most ``SHUTDOWN_CLOSE_TIMEOUT``."""
        if self._closing:
            _, late = await asyncio.wait(self._closing, timeout=SHUTDOWN_CLOSE_TIMEOUT)
            for task in late:
                task.cancel()


def upstream_path(own: str, requested: str) -> str:
    """Return path and query to request from the application, if jambonz requests ``requested`` from us."""
    if own == "/":
        return requested
    query = requested.partition("?")[2]
    return own if "?" in own or not query else f"{own}?{query}"


class UpstreamConnection:
    """One connection to the application; what is sent after its end is dropped."""

    def __init__(self, tasks: asyncio.TaskGroup, closing: set[asyncio.Task[None]]) -> None:
        self.url = ""  # of the application, after redirects
        self.relay: Relay | None = None
        """Gets what the application sends; None until the call has begun, and if it was refused after all."""
        self._tasks = tasks
        self._closing = closing
        self.connection: ClientConnection  # sends to the application

    @classmethod
    async def open(cls, target: CallTarget, tasks: asyncio.TaskGroup, closing: set[asyncio.Task[None]]) -> Self:
        """Connect; raises RefusedError if that fails. ``relay`` must be set before the loop's next iteration."""
        self = cls(tasks, closing)
        self.connection = await connect(target, self, limit_frames=True)
        self.url = (self.connection.handshake.redirects or (str(target.address),))[-1]
        return self

    @property
    def subprotocol(self) -> str | None:
        return self.connection.handshake.subprotocol

    def close(self, code: int | None, reason: str) -> None:
        """End the connection with a Close."""
        self.connection.hang_up(None if code == _NO_STATUS else code, reason.encode())
        self._wait_closed_later()

    def drop(self) -> None:
        """End the connection without a Close."""
        self.connection.end_without_close()
        self._wait_closed_later()

    def on_text(self, data: bytes, *, fragments: Sequence[int]) -> None:  # noqa: ARG002 - the signature of the callbacks
        if self.relay is not None:
            self.relay.take_application_message(TextMessage(data))

    def on_audio(self, data: bytes, *, fragments: Sequence[int]) -> None:  # noqa: ARG002 - the signature of the callbacks
        if self.relay is not None:
            self.relay.take_application_message(BinaryMessages(data, len(data), 1))

    def on_writable(self) -> None:
        """Do nothing: the relay looks at ``unsent`` before it sends more."""

    def on_end(self, end: ConnectionEnd) -> None:
        if self.relay is not None:
            self.relay.take_application_end(end)

    def _wait_closed_later(self) -> None:
        closing = log_failure(self._wait_closed, "closing the connection to the application")
        task = self._tasks.create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _wait_closed(self) -> None:
        """Wait as long as the application reads what is left, and then until it closes."""
        try:
            await self._wait_read()
        finally:
            # Closing drops what is left.
            if self.relay is not None:
                self.relay.note_unsent(self.connection.unsent)
        await self.connection.wait_closed(CLOSE_TIMEOUT)

    async def _wait_read(self) -> None:
        clock = asyncio.get_running_loop().time
        least, until = self.connection.unsent, clock() + CLOSE_TIMEOUT
        while self.connection.unsent and clock() < until:
            await asyncio.sleep(POLL_INTERVAL)
            if self.connection.unsent < least:
                least, until = self.connection.unsent, clock() + CLOSE_TIMEOUT
