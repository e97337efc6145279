"""The real application behind a server that relays: a connection to it, as jambonz would make it, for every call."""

import asyncio
from dataclasses import replace
from http import HTTPStatus

from listenctl.errors import RefusedError
from listenctl.net.call_target import CallTarget
from listenctl.net.client_connection import ClientConnection, ConnectionEnd, connect
from listenctl.net.client_handshake import HandshakeRefusedError
from listenctl.net.open_connection import HandshakeTimeoutError
from listenctl.net.websocket_url import WebSocketUrl
from listenctl.server.relay import Upstream, UpstreamEnd, UpstreamListener
from listenctl.server.server_handshake import HandshakeRefusal, UpstreamRequest, passed_on

PATIENCE = 9.0
"""Seconds for the application to answer; jambonz waits ten (protocol.md 1.6), and is to be told that none came."""
FAREWELL = 2.0
"""Seconds for the application to read some of what waits for it, and then to end its side."""
LAST_FAREWELL = 5.0
"""Seconds for all applications together when the server ends."""
POLL_EVERY = 0.05
MAX_BODY = 64 * 1024
MAX_ASKING = 1000
"""Requests that the application may leave unanswered at once: one that leads back to us would make them without end."""
MAX_REASON_BYTES = 123
_NO_STATUS = 1005
"""What the library calls a Close without a code."""


class RelayTarget:
    """
    The application that calls are relayed to.

    Args:
        target: its address and TLS; the rest comes from each call. Where the address has a path of its own, that is
            asked for; one without, or with ``/`` alone, gets the path that jambonz asks us for.

    Attributes:
        asking: how many of our requests it hasn't answered.
    """

    def __init__(self, target: CallTarget) -> None:
        self._target = replace(target, deadline=min(target.deadline, PATIENCE), max_body=MAX_BODY)
        self._farewells: set[asyncio.Task[None]] = set()
        self._keys: set[str] = set()
        self.asking = 0

    @property
    def place(self) -> tuple[str, int]:
        """Its host and port."""
        return self._target.address.host, self._target.address.port

    def is_asked_with(self, key: str) -> bool:
        """Tell whether a request with this Sec-WebSocket-Key is one of ours that isn't answered yet."""
        return key in self._keys

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self._target.address)

    async def connect(self, wanted: UpstreamRequest) -> Upstream | HandshakeRefusal:
        """Ask the application for a connection as jambonz would; say why there is none, or how it answered."""
        address = replace(self._target.address, path=path_for(self._target.address.path, wanted.target))
        if any(character < " " or character == "\x7f" for character in address.path):
            return HandshakeRefusal(HTTPStatus.BAD_REQUEST, "control characters in the path are not passed on")
        if self.asking >= MAX_ASKING:
            reason = f"the application has {MAX_ASKING} requests to answer; see whether --upstream leads back to here"
            return HandshakeRefusal(HTTPStatus.SERVICE_UNAVAILABLE, reason, "too many calls wait for the application")
        keys: list[str] = []
        self.asking += 1
        try:
            return await self._ask(wanted, address, keys)
        finally:
            self.asking -= 1
            self._keys.difference_update(keys)

    async def _ask(
        self, wanted: UpstreamRequest, address: WebSocketUrl, keys: list[str]
    ) -> Upstream | HandshakeRefusal:
        def note_key(key: str) -> None:
            keys.append(key)
            self._keys.add(key)

        target = replace(
            self._target,
            address=address,
            authorization=wanted.authorization,
            subprotocol=wanted.subprotocol,
            user_agent=wanted.user_agent,
            note_key=note_key,
        )
        ears = _Ears()
        try:
            return _Upstream(await connect(target, ears), address, ears, self._farewells)
        except HandshakeRefusedError as exc:
            return HandshakeRefusal(exc.answer.status_code, str(exc), answer=passed_on(exc.answer))
        except HandshakeTimeoutError as exc:
            return HandshakeRefusal(HTTPStatus.GATEWAY_TIMEOUT, str(exc), "the application didn't answer in time")
        except RefusedError as exc:
            # Where it is, and what is wrong there, is for us to know.
            return HandshakeRefusal(
                HTTPStatus.BAD_GATEWAY, str(exc), "the application can't be reached, or doesn't take calls"
            )

    async def wait_closed(self) -> None:
        """Wait until the application has taken the ends of all connections, at most for ``LAST_FAREWELL``."""
        if self._farewells:
            await asyncio.wait(self._farewells, timeout=LAST_FAREWELL)


def path_for(own: str, wanted: str) -> str:
    """Return path and query to ask the application for, when jambonz asks us for ``wanted``."""
    if own == "/":
        return wanted
    query = wanted.partition("?")[2]
    return own if "?" in own or not query else f"{own}?{query}"


def upstream_end(end: ConnectionEnd) -> UpstreamEnd:
    """Return what an end of the connection to the application means for the call."""
    # A Close that has something wrong with it can't be passed on.
    if end.by == "server" and not end.detail:
        return UpstreamEnd(
            closed=True, code=end.code, reason=end.reason.encode()[:MAX_REASON_BYTES].decode("utf-8", "ignore")
        )
    return UpstreamEnd(closed=False, detail=f"the application's connection ended: {end.detail or 'it broke'}")


class _Ears:
    """Hear the application for whoever listens."""

    listener: UpstreamListener | None = None
    """None only until the call begins, and for one that was refused at the last moment."""

    def on_text(self, data: bytes, *, fragmented: bool) -> None:  # noqa: ARG002 - the listener's signature
        if self.listener is not None:
            self.listener.on_text(data)

    def on_audio(self, data: bytes, *, fragmented: bool) -> None:  # noqa: ARG002 - the listener's signature
        if self.listener is not None:
            self.listener.on_audio(data)

    def on_writable(self) -> None:
        """How much waits is looked at when more is to be sent."""

    def on_end(self, end: ConnectionEnd) -> None:
        if self.listener is not None:
            self.listener.on_end(upstream_end(end))


class _Upstream:
    """One connection to the application."""

    def __init__(
        self, connection: ClientConnection, address: WebSocketUrl, ears: _Ears, farewells: set[asyncio.Task[None]]
    ) -> None:
        self.url = (connection.handshake.redirects or (str(address),))[-1]
        self.subprotocol = connection.handshake.subprotocol
        self._connection = connection
        self._ears = ears
        self._farewells = farewells

    @property
    def unsent(self) -> int:
        return self._connection.unsent

    def listen(self, listener: UpstreamListener) -> None:
        self._ears.listener = listener

    def text(self, data: bytes) -> None:
        self._connection.send_text(data)

    def audio(self, data: bytes) -> None:
        self._connection.send_audio(data)

    def pause_reading(self) -> None:
        self._connection.pause_reading()

    def resume_reading(self) -> None:
        self._connection.resume_reading()

    def close(self, code: int | None, reason: str) -> None:
        self._connection.hang_up(None if code == _NO_STATUS else code, reason.encode())
        self._see_off()

    def drop(self) -> None:
        self._connection.end_without_close()
        self._see_off()

    def _see_off(self) -> None:
        farewell = asyncio.get_running_loop().create_task(self._wait_closed())
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    async def _wait_closed(self) -> None:
        """Let the application read what waits for it as long as it reads at all, and close."""
        clock = asyncio.get_running_loop().time
        least, until = self.unsent, clock() + FAREWELL
        while self.unsent and clock() < until:
            await asyncio.sleep(POLL_EVERY)
            if self.unsent < least:
                least, until = self.unsent, clock() + FAREWELL
        await self._connection.wait_closed(FAREWELL)
