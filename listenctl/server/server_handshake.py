"""
The opening handshake of one connection from jambonz: which requests become calls, and what the others are answered.
The library never sees path and query, as jambonz sends raw spaces and non-ASCII there (listenctl-protocol(7) 13).
Passwords and the application behind a relay take time; what the client sends meanwhile waits.
"""

import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from listenctl.background_task import log_failure
from listenctl.net.nonblocking_socket import NonblockingSocket
from listenctl.net.tls_failures import failure_seen_by_server
from listenctl.protocol.opening_handshake import SUBPROTOCOLS
from listenctl.protocol.privacy.path_token import take_token
from listenctl.protocol.proxy_protocol import NotProxyProtocolError
from listenctl.server.access.client_addresses import NOT_ALLOWED, AddressRefusedError, host_of
from listenctl.server.access.failure_limit import client_network
from listenctl.server.handshake_refusal import (
    FAILED,
    NOT_WAITED,
    TLS_ON_PLAIN_PORT,
    TOO_LONG,
    UPSTREAM_LOOP,
    HandshakeRefusal,
)
from listenctl.server.operations.http_endpoints import is_probe

if TYPE_CHECKING:
    import asyncio

    from listenctl.server.server import ListenServer
    from listenctl.server.upstream import RelayTarget, UpstreamConnection

MAX_EARLY_BYTES = 64 * 1024
"""What a client may send before its request is answered."""
_END_OF_REQUEST = re.compile(rb"\r?\n\r?\n")
_LONGEST_END = 4
_TLS_RECORD = b"\x16\x03"
_HOP_BY_HOP = frozenset(
    ("connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What to request from the application behind a relay; bytes that aren't UTF-8 are lone surrogates."""

    target: str  # path and query
    subprotocol: str | None  # the header as offered, None for none; so with the other headers
    authorization: str | None
    user_agent: str | None

    @classmethod
    def copy(cls, target: str, request: Request) -> "UpstreamRequest":
        offered = request.headers.get_all("Sec-WebSocket-Protocol")
        return cls(
            target,
            _as_sent(", ".join(offered)) if offered else None,
            _as_sent(_authorization(request)),
            _as_sent(", ".join(request.headers.get_all("User-Agent")) or None),
        )


@dataclass(frozen=True, slots=True)
class AcceptedHandshake:
    early_data: bytes  # what the client sent directly after its request
    upstream: "UpstreamConnection | None"  # the application, if the call is relayed


class ServerHandshake:
    """``on_done`` is called at the end, with None if the client was refused; unsent data is left in ``protocol``."""

    def __init__(
        self,
        connection: NonblockingSocket,
        remote: str,
        server: "ListenServer",
        *,
        on_done: Callable[[AcceptedHandshake | None], None],
    ) -> None:
        self.target: str | None = None  # path and query of the request, None before they are known
        self.refused = False
        self.user = ""  # whose credentials the request has; empty without any
        self._socket = connection
        self.remote = remote
        self._server = server
        self._settings = server.settings
        self._on_done = on_done
        self._received = b""
        self._deciding: asyncio.Task[None] | None = None
        # The application behind a relay chooses the subprotocol.
        select = _subprotocol_selector(self._settings.subprotocol) if self._settings.upstream is None else None
        self.protocol = ServerProtocol(select_subprotocol=select, max_size=server.limits.max_message)

    def receive_data(self, data: bytes) -> None:
        if self.refused:
            return
        self._received += data
        if self._deciding is not None:
            if len(self._received) > MAX_EARLY_BYTES:
                self.refuse_unparsed(NOT_WAITED)
            return
        parts = split_request(self._received, max(0, len(self._received) - len(data) - _LONGEST_END))
        if len(self._received) - (0 if parts is None else len(parts[2])) > self._server.limits.max_header:
            self.refuse_unparsed(TOO_LONG)
        elif parts is not None:
            self._take_request(*parts)
        elif self._received.startswith(_TLS_RECORD):
            self.refuse_unparsed(TLS_ON_PLAIN_PORT)

    def refuse_unparsed(self, refusal: HandshakeRefusal) -> None:
        """Answer what the library can't answer because it isn't HTTP, or isn't complete."""
        self._socket.write(refusal.serialize())
        self._end(refusal)
        self._socket.end_writing()

    def receive_end(self) -> None:
        """Report a stream that ended before the answer; one without any data is none of a client."""
        error = self._socket.error
        if self.refused:
            return
        status = HTTPStatus.BAD_REQUEST
        if isinstance(error, AddressRefusedError):
            status, reason = HTTPStatus.FORBIDDEN, str(error)
        elif isinstance(error, NotProxyProtocolError):
            reason = f"{error}, which --trust-proxy demands"
        elif isinstance(error, ssl.SSLError):
            reason = f"TLS failed: {failure_seen_by_server(error)}"
        elif self._received or self._deciding:
            when = "before it was answered" if self._deciding else "too early"
            reason = f"the connection ended {when}"
        else:
            return
        self._server.report_refusal(self.remote, self.target, HandshakeRefusal(status, reason))

    def give_up(self, refusal: HandshakeRefusal) -> None:
        """Report that an unfinished handshake is not answered."""
        if not self.refused and self.protocol.state is State.CONNECTING:
            self.refused = True
            self._server.report_refusal(self.remote, self.target, refusal)

    def cancel(self) -> None:
        if self._deciding is not None:
            self._deciding.cancel()

    def _take_request(self, target: str | None, head: bytes, early_data: bytes) -> None:
        token, public_target = (None, None) if target is None else take_token(target)
        self.target = public_target and public_target.encode(errors="surrogateescape").decode(errors="replace")
        self._received = early_data
        if target is not None and is_probe(target, head, self.remote):
            deciding = partial(self._answer_probe, head.partition(b" ")[0].decode(), target)
            self._deciding = self._server.tasks.create_task(log_failure(deciding, "a probe", self._fail))
            return
        refusal = self._find_client(head) or self._server.admission.check_rate(self.remote)
        if refusal is not None:
            self.refuse_unparsed(refusal)
            return
        credentials, upstream = self._settings.credentials, self._settings.upstream
        answered = self._server.answered_requests if credentials is None and upstream is None else None
        if answered is not None and (known := answered.answer(head, self.protocol)) is not None:
            assert self.target is not None
            self._answer(self._server.admission.check_call(self.target, self.remote, self.user) or known, None)
            return
        self.protocol.receive_data(head)
        requests = self.protocol.events_received()
        if not requests:
            self._pass_on_refusal(f"no valid request: {self.protocol.handshake_exc}")
            return
        request = requests[0]
        assert isinstance(request, Request)
        assert target is not None
        assert public_target is not None
        refused = None
        if credentials is not None:
            # A token that is for us is not for the application behind a relay.
            target = public_target
            client = client_network(host_of(self.remote))
            refused = credentials.check_credentials(_authorization(request), token, client, self._note_user)
        if (refused is None or isinstance(refused, HandshakeRefusal)) and upstream is None:
            answer = self._examine(request, refused)
            if answered is not None and isinstance(answer, Response):
                answered.remember(head, answer)
            self._answer(answer, None)
        else:
            deciding = partial(self._decide, request, refused, upstream=upstream, target=target)
            self._deciding = self._server.tasks.create_task(log_failure(deciding, "a handshake", self._fail))

    def _note_user(self, name: str) -> None:
        self.user = name

    def _find_client(self, head: bytes) -> HandshakeRefusal | None:
        """Take the address of the client from what proxies have added; return why it can't have a call."""
        addresses = self._settings.addresses
        try:
            self.remote = addresses.find_client(self.remote, head) if addresses.proxies else self.remote
        except ValueError as exc:
            return HandshakeRefusal(HTTPStatus.BAD_REQUEST, str(exc))
        return NOT_ALLOWED if addresses.refuses_client(host_of(self.remote)) else None

    async def _decide(
        self,
        request: Request,
        refused: HandshakeRefusal | Awaitable[HandshakeRefusal | None] | None,
        *,
        upstream: "RelayTarget | None",
        target: str,
    ) -> None:
        connection: UpstreamConnection | None = None
        try:
            refusal = await refused if isinstance(refused, Awaitable) else refused
            answer = self._examine(request, refusal)
            if upstream is not None and isinstance(answer, Response):
                opened = await upstream.open(UpstreamRequest.copy(target, request), self._server.tasks)
                if isinstance(opened, HandshakeRefusal):
                    answer = opened
                else:
                    connection = opened
                    answer = self._examine_again(answer, connection)
            self._deciding = None
            self._answer(answer, connection)
        except Exception:
            if connection is not None:
                connection.drop()
            raise

    async def _answer_probe(self, method: str, target: str) -> None:
        answer = await self._server.endpoints.answer(method, target)
        self._deciding = None
        self.refused = True
        self._socket.write(answer.serialize())
        self._socket.end_writing()
        self._on_done(None)

    def _fail(self) -> None:
        self._deciding = None
        self.refuse_unparsed(FAILED)

    def _examine(self, request: Request, refusal: HandshakeRefusal | None) -> Response | HandshakeRefusal:
        assert self.target is not None
        upstream = self._settings.upstream
        keys = request.headers.get_all("Sec-WebSocket-Key")
        if upstream is not None and any(map(upstream.has_requested_with, keys)):
            return UPSTREAM_LOOP
        refusal = refusal or self._server.admission.check_call(self.target, self.remote, self.user)
        if refusal is not None:
            return refusal
        response = self.protocol.accept(request)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            return response
        line = bytes(response.body).decode(errors="replace").partition("\n")[0]
        reason = line.removeprefix("Failed to open a WebSocket connection: ")
        return HandshakeRefusal(response.status_code, reason, answer=response)

    def _examine_again(self, response: Response, upstream: "UpstreamConnection") -> Response | HandshakeRefusal:
        """Check again after the application has answered: other calls may have come meanwhile."""
        assert self.target is not None
        refusal = self._server.admission.check_call(self.target, self.remote, self.user)
        if refusal is not None:
            upstream.drop()
            return refusal
        if upstream.subprotocol is not None:
            response.headers["Sec-WebSocket-Protocol"] = upstream.subprotocol
            self.protocol.subprotocol = Subprotocol(upstream.subprotocol)
        return response

    def _answer(self, answer: Response | HandshakeRefusal, upstream: "UpstreamConnection | None") -> None:
        if isinstance(answer, HandshakeRefusal):
            _send_refusal(self.protocol, answer)
            self._end(answer)
            return
        self.protocol.send_response(answer)
        early_data, self._received = self._received, b""
        self._on_done(AcceptedHandshake(early_data, upstream))

    def _pass_on_refusal(self, reason: str) -> None:
        """Report a request that the library has refused; answer it unless the library did."""
        answer = b"".join(self.protocol.data_to_send())
        if not answer:
            self.refuse_unparsed(HandshakeRefusal(HTTPStatus.BAD_REQUEST, reason))
            return
        self._socket.write(answer)
        self._socket.end_writing()
        self._end(HandshakeRefusal(int(answer.split(b" ", 2)[1]), reason))

    def _end(self, refusal: HandshakeRefusal) -> None:
        self.refused = True
        self.cancel()
        self._server.report_refusal(self.remote, self.target, refusal)
        self._on_done(None)


@cache
def _subprotocol_selector(
    of_site: str | None,
) -> Callable[[ServerProtocol, Sequence[Subprotocol]], Subprotocol | None]:
    """Return what echoes a subprotocol that is known; a client may offer none (listenctl-protocol(7) 1.2)."""
    known = (*SUBPROTOCOLS, *filter(None, (of_site,)))

    def select(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        for name in offered:
            if name in known:
                return name
        if offered:
            raise NegotiationError(f"this server speaks {' and '.join(known)}, and the client offers none of them")
        return None

    return select


def split_request(data: bytes, at: int = 0) -> tuple[str | None, bytes, bytes] | None:
    """
    Return path and query, the request for the library, and what follows it; None while it is incomplete. Its end is
    searched from ``at`` on, so that a request in single bytes doesn't cost the square of its length.
    """
    end = _END_OF_REQUEST.search(data, at)
    if end is None:
        return None
    line, headers = data[: end.end()].split(b"\n", 1)
    target, line = _take_target(line)
    return target, line + b"\n" + headers, data[end.end() :]


def _take_target(line: bytes) -> tuple[str | None, bytes]:
    """Replace path and query of a request line by `/`; any other line stays as it is."""
    method, _, rest = line.rstrip(b"\r").partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if not target or not version.startswith(b"HTTP/"):
        return None, line
    return target.decode(errors="surrogateescape"), b" ".join([method, b"/", version]) + b"\r"


def copy_answer(answer: Response) -> Response:
    """Return an answer of the application behind a relay as the client gets it."""
    kept = [(name, value) for name, value in answer.headers.raw_items() if name.lower() not in _HOP_BY_HOP]
    headers = Headers([*kept, ("Connection", "close"), ("Content-Length", str(len(answer.body)))])
    return Response(answer.status_code, answer.reason_phrase, headers, answer.body)


def _send_refusal(protocol: ServerProtocol, refusal: HandshakeRefusal) -> None:
    if refusal.answer is not None:
        protocol.send_response(refusal.answer)
        return
    response = protocol.reject(refusal.status, (refusal.public_reason or refusal.reason) + "\n")
    response.headers.update(refusal.headers)
    protocol.send_response(response)


def _authorization(request: Request) -> str | None:
    """Return the Authorization header; several of them give no access."""
    values = request.headers.get_all("Authorization")
    return values[0] if len(values) == 1 else None


def _as_sent(value: str | None) -> str | None:
    # The library decodes headers as ISO-8859-1.
    return None if value is None else value.encode("iso-8859-1").decode(errors="surrogateescape")
