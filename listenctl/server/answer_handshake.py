"""
The opening handshake of one connection: from its first byte to the answer.

It can take a while, for a password to be checked and for the application behind a relay to answer; what the client says
meanwhile waits.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from listenctl.net.nonblocking_socket import NonblockingSocket
from listenctl.server import server_handshake as handshake
from listenctl.server.server_handshake import MAX_REQUEST_BYTES, HandshakeRefusal
from listenctl.server.settings import ServerSettings

if TYPE_CHECKING:
    from listenctl.server.relay import Application, Upstream


class Doorkeeper(Protocol):
    """What a handshake asks its server."""

    settings: ServerSettings

    def admit(self, target: str) -> HandshakeRefusal | None:
        """Say why a request for ``target`` can't become a call now, None if it can."""

    def note_refusal(self, remote: str, target: str | None, refusal: HandshakeRefusal) -> None:
        """Take notice of a handshake that failed."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A handshake that is done: what the client said behind its request, and the application if it is relayed."""

    early: bytes
    upstream: "Upstream | None"


class Opening:
    """
    Shake hands with one client.

    Args:
        done: told at the end, None when the client was refused; what is to be sent is in ``protocol`` then.
    """

    def __init__(
        self,
        connection: NonblockingSocket,
        remote: str,
        doorkeeper: Doorkeeper,
        *,
        done: Callable[[Opened | None], None],
    ) -> None:
        self.target: str | None = None
        self.refused = False
        self._socket = connection
        self._remote = remote
        self._doorkeeper = doorkeeper
        self._settings = doorkeeper.settings
        self._done = done
        self._received = b""
        self._deciding: asyncio.Task[None] | None = None
        self.protocol: ServerProtocol = handshake.new_protocol(
            self._settings.max_message, relays=self._settings.application is not None
        )

    def take(self, data: bytes) -> None:
        """Take what the client sent."""
        if self.refused:
            return
        self._received += data
        if self._deciding is not None:
            if len(self._received) > MAX_REQUEST_BYTES:
                self.refuse_raw(HandshakeRefusal(HTTPStatus.BAD_REQUEST, "it didn't wait for the answer"))
            return
        parts = handshake.split_request(self._received)
        if parts is not None:
            self._take_request(*parts)
        elif fault := handshake.fault_of(self._received):
            self.refuse_raw(fault)

    def refuse_raw(self, refusal: HandshakeRefusal) -> None:
        """Answer what the library doesn't answer, since it is no HTTP, or isn't all there."""
        self._socket.write(handshake.plain_refusal(refusal))
        self._end(refusal)
        self._socket.end_writing()

    def take_end(self) -> None:
        """Take the end of the stream."""
        error = handshake.describe_tls_error(self._socket.error)
        if self.refused or not (error or self._received or self._deciding):
            return
        early = "it ended before it was answered" if self._deciding else "it ended too early"
        self._doorkeeper.note_refusal(
            self._remote, self.target, HandshakeRefusal(HTTPStatus.BAD_REQUEST, error or early)
        )

    def cancel(self) -> None:
        """Decide nothing any more."""
        if self._deciding is not None:
            self._deciding.cancel()

    def _take_request(self, target: str | None, head: bytes, early: bytes) -> None:
        self.target = None if target is None else handshake.shown(target)
        self._received = early
        self.protocol.receive_data(head)
        requests = self.protocol.events_received()
        if not requests:
            self._pass_on_refusal(f"no valid request: {self.protocol.handshake_exc}")
            return
        request = requests[0]
        assert isinstance(request, Request)
        assert target is not None
        allowed = self._settings.access.check(handshake.authorization(request))
        application = self._settings.application
        if isinstance(allowed, bool) and application is None:
            self._answer(self._examine(request, allowed=allowed), None)
        else:
            self._deciding = asyncio.get_running_loop().create_task(
                self._decide(request, allowed, application=application, target=target)
            )

    async def _decide(
        self, request: Request, allowed: bool | Awaitable[bool], *, application: "Application | None", target: str
    ) -> None:
        verdict = self._examine(request, allowed=allowed if isinstance(allowed, bool) else await allowed)
        upstream: Upstream | None = None
        if application is not None and isinstance(verdict, Response):
            outcome = await application.connect(handshake.wanted(target, request))
            if isinstance(outcome, HandshakeRefusal):
                verdict = outcome
            else:
                upstream = outcome
                verdict = self._examine_again(verdict, upstream)
        self._deciding = None
        self._answer(verdict, upstream)

    def _examine(self, request: Request, *, allowed: bool) -> Response | HandshakeRefusal:
        """Return the answer that makes a call of the request, or why there is none."""
        assert self.target is not None
        application = self._settings.application
        if application is not None and any(map(application.is_asked_with, handshake.keys(request))):
            return handshake.LOOP
        refusal = self._doorkeeper.admit(self.target) if allowed else handshake.UNAUTHORIZED
        if refusal is not None:
            return refusal
        response = self.protocol.accept(request)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            return response
        return HandshakeRefusal(response.status_code, handshake.first_line(response), answer=response)

    def _examine_again(self, response: Response, upstream: "Upstream") -> Response | HandshakeRefusal:
        """Return the answer after the application's: other calls may have come while it was waited for."""
        assert self.target is not None
        refusal = self._doorkeeper.admit(self.target)
        if refusal is not None:
            upstream.drop()
            return refusal
        handshake.choose_subprotocol(self.protocol, response, upstream.subprotocol)
        return response

    def _answer(self, verdict: Response | HandshakeRefusal, upstream: "Upstream | None") -> None:
        if isinstance(verdict, HandshakeRefusal):
            handshake.refuse(self.protocol, verdict)
            self._end(verdict)
            return
        self.protocol.send_response(verdict)
        early, self._received = self._received, b""
        self._done(Opened(early, upstream))

    def _pass_on_refusal(self, reason: str) -> None:
        """Report a request that the library has refused by itself, and answer it where the library doesn't."""
        answer = b"".join(self.protocol.data_to_send())
        if not answer:
            self.refuse_raw(HandshakeRefusal(HTTPStatus.BAD_REQUEST, reason))
            return
        self._socket.write(answer)
        self._socket.end_writing()
        self._end(HandshakeRefusal(int(answer.split(b" ", 2)[1]), reason))

    def _end(self, refusal: HandshakeRefusal) -> None:
        self.refused = True
        self.cancel()
        self._doorkeeper.note_refusal(self._remote, self.target, refusal)
        self._done(None)
