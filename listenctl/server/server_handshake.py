"""
The opening handshake: which requests become calls, and what the others are told.

The library parses and answers; here is what it doesn't know: that jambonz sends raw spaces and non-ASCII characters in
its request line (protocol.md 13), which subprotocols are spoken, and who may come in. It never sees path and query,
which it would refuse for such characters and for their length.
"""

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from listenctl.protocol.opening_handshake import SUBPROTOCOLS

MAX_REQUEST_BYTES = 64 * 1024
END_OF_REQUEST = re.compile(rb"\r?\n\r?\n")
TLS_HANDSHAKE = b"\x16\x03"
_HOP_BY_HOP = frozenset(
    ("connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)


@dataclass(frozen=True, slots=True)
class HandshakeRefusal:
    """
    Why a request doesn't become a call; both are told, the peer in the body of the answer.

    Attributes:
        told: what the peer is told, where the reason isn't for everyone.
        answer: what the peer gets, where it isn't made of either.
    """

    status: int
    reason: str
    told: str = ""
    answer: Response | None = None


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """
    What a client asked for, to be asked of the application behind us.

    Bytes beyond UTF-8 stand in it as lone surrogates, as ``surrogateescape`` has it.

    Attributes:
        target: path and query.
        subprotocol: as offered, None for none; the others are headers too.
    """

    target: str
    subprotocol: str | None
    authorization: str | None
    user_agent: str | None


def new_protocol(max_message: int, *, relays: bool = False) -> ServerProtocol:
    """Return the library's side of a connection that has just been accepted; of a relay the application chooses."""
    return ServerProtocol(select_subprotocol=None if relays else select_subprotocol, max_size=max_message)


def select_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Echo what was offered, if it is ours; a client that offers none is served too (protocol.md 1.2)."""
    for name in offered:
        if name in SUBPROTOCOLS:
            return name
    if offered:
        raise NegotiationError(f"this server speaks {' and '.join(SUBPROTOCOLS)}, not {', '.join(offered)}")
    return None


def split_request(data: bytes) -> tuple[str | None, bytes, bytes] | None:
    """Return path and query, the request for the library, and what follows it; None while it isn't complete."""
    end = END_OF_REQUEST.search(data)
    if end is None:
        return None
    line, headers = data[: end.end()].split(b"\n", 1)
    target, line = take_target(line)
    return target, line + b"\n" + headers, data[end.end() :]


def take_target(line: bytes) -> tuple[str | None, bytes]:
    """Take path and query out of a request line and put `/` there; a line that is none stays as it is."""
    method, _, rest = line.rstrip(b"\r").partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if not target or not version.startswith(b"HTTP/"):
        return None, line
    return target.decode(errors="surrogateescape"), b" ".join([method, b"/", version]) + b"\r"


def fault_of(begun: bytes) -> HandshakeRefusal | None:
    """Say what is wrong with a request that isn't complete, if anything is."""
    if begun.startswith(TLS_HANDSHAKE):
        return HandshakeRefusal(HTTPStatus.BAD_REQUEST, "this port speaks ws://, not wss://")
    if len(begun) > MAX_REQUEST_BYTES:
        return HandshakeRefusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long")
    return None


def describe_tls_error(error: OSError | None) -> str:
    """Return why the TLS handshake failed, empty if it did not fail."""
    if not isinstance(error, ssl.SSLError):
        return ""
    reason = "the client speaks ws://, this port wss://" if error.reason == "HTTP_REQUEST" else error.reason or error
    return f"TLS failed: {reason}"


def shown(target: str) -> str:
    """Return a target without the surrogates for what isn't UTF-8."""
    return target.encode(errors="surrogateescape").decode(errors="replace")


def wanted(target: str, request: Request) -> UpstreamRequest:
    """Return what the application is asked for, so that it sees what jambonz sent."""
    offered = request.headers.get_all("Sec-WebSocket-Protocol")
    return UpstreamRequest(
        target,
        _as_sent(", ".join(offered)) if offered else None,
        _as_sent(authorization(request)),
        _as_sent(", ".join(request.headers.get_all("User-Agent")) or None),
    )


def passed_on(answer: Response) -> Response:
    """Return an answer of the application behind us as we give it to our client."""
    kept = [(name, value) for name, value in answer.headers.raw_items() if name.lower() not in _HOP_BY_HOP]
    headers = Headers([*kept, ("Connection", "close"), ("Content-Length", str(len(answer.body)))])
    return Response(answer.status_code, answer.reason_phrase, headers, answer.body)


def choose_subprotocol(protocol: ServerProtocol, response: Response, chosen: str | None) -> None:
    """Have an answer of 101 say the subprotocol that the application behind us has chosen."""
    if chosen is not None:
        response.headers["Sec-WebSocket-Protocol"] = chosen
        protocol.subprotocol = Subprotocol(chosen)


def refuse(protocol: ServerProtocol, refusal: HandshakeRefusal) -> None:
    """Answer with the reason why a request isn't accepted."""
    if refusal.answer is not None:
        protocol.send_response(refusal.answer)
        return
    response = protocol.reject(refusal.status, (refusal.told or refusal.reason) + "\n")
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Basic realm="listenctl", charset="UTF-8"'
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "10"
    protocol.send_response(response)


def first_line(response: Response) -> str:
    """Return the reason in the body of a refusal, in one line, without the library's preamble."""
    line = bytes(response.body).decode(errors="replace").partition("\n")[0]
    return line.removeprefix("Failed to open a WebSocket connection: ")


LOOP = HandshakeRefusal(
    HTTPStatus.LOOP_DETECTED, "--upstream leads back to this server; give the URL of the application itself"
)
UNAUTHORIZED = HandshakeRefusal(HTTPStatus.UNAUTHORIZED, "these credentials don't give access, or there are none")


def authorization(request: Request) -> str | None:
    """Return the Authorization header; more than one give no access."""
    values = request.headers.get_all("Authorization")
    return values[0] if len(values) == 1 else None


def keys(request: Request) -> list[str]:
    """Return the Sec-WebSocket-Key headers, of which there should be one."""
    return request.headers.get_all("Sec-WebSocket-Key")


def plain_refusal(refusal: HandshakeRefusal) -> bytes:
    """Return the answer to a request that is too broken for the library to answer."""
    body = f"{refusal.reason}\n".encode()
    headers = Headers([("Connection", "close"), ("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    status = HTTPStatus(refusal.status)
    return Response(status.value, status.phrase, headers, body).serialize()


def _as_sent(value: str | None) -> str | None:
    # The library reads headers as ISO-8859-1.
    return None if value is None else value.encode("iso-8859-1").decode(errors="surrogateescape")
