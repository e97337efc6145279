"""
The opening handshake: which requests become calls, and what the others are told.

The library parses and answers; here is what it doesn't know: that jambonz sends raw spaces and non-ASCII characters in
its request line (protocol.md 13), which subprotocols are spoken, and who may come in. It never sees path and query,
which it would refuse for such characters and for their length.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

SUBPROTOCOLS = ("audio.jambonz.org", "audio.drachtio.org")
MAX_REQUEST_BYTES = 64 * 1024
END_OF_REQUEST = re.compile(rb"\r?\n\r?\n")
TLS_HANDSHAKE = b"\x16\x03"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request doesn't become a call; both are told, the peer in the body of the answer."""

    status: HTTPStatus
    reason: str


def new_protocol(max_message: int) -> ServerProtocol:
    """Return the library's side of a connection that has just been accepted."""
    return ServerProtocol(select_subprotocol=select_subprotocol, max_size=max_message)


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
    return target.decode(errors="replace"), b" ".join([method, b"/", version]) + b"\r"


def fault_of(begun: bytes) -> Refusal | None:
    """Say what is wrong with a request that isn't complete, if anything is."""
    if begun.startswith(TLS_HANDSHAKE):
        return Refusal(HTTPStatus.BAD_REQUEST, "this port speaks ws://, not wss://")
    if len(begun) > MAX_REQUEST_BYTES:
        return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long")
    return None


def answer(protocol: ServerProtocol, request: Request) -> Refusal | None:
    """Accept ``request`` if the library finds it right, else answer why not."""
    response = protocol.accept(request)
    protocol.send_response(response)
    if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
        return None
    status = HTTPStatus(response.status_code)
    return Refusal(status, first_line(response))


def refuse(protocol: ServerProtocol, refusal: Refusal) -> None:
    """Answer ``request`` with the reason why it isn't accepted."""
    response = protocol.reject(refusal.status, refusal.reason + "\n")
    if refusal.status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Basic realm="listenctl", charset="UTF-8"'
    if refusal.status is HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "10"
    protocol.send_response(response)


def first_line(response: Response) -> str:
    """Return the reason in the body of a refusal, in one line, without the library's preamble."""
    line = bytes(response.body).decode(errors="replace").partition("\n")[0]
    return line.removeprefix("Failed to open a WebSocket connection: ")


UNAUTHORIZED = Refusal(HTTPStatus.UNAUTHORIZED, "these credentials don't give access, or there are none")


def authorization(request: Request) -> str | None:
    """Return the Authorization header; more than one give no access."""
    values = request.headers.get_all("Authorization")
    return values[0] if len(values) == 1 else None


def plain_refusal(refusal: Refusal) -> bytes:
    """Return the answer to a request that is too broken for the library to answer."""
    body = f"{refusal.reason}\n".encode()
    headers = Headers([("Connection", "close"), ("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    return Response(refusal.status.value, refusal.status.phrase, headers, body).serialize()
