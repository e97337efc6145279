"""
The opening handshake: which requests become calls, and what the others are told.

The library parses and answers; here is what it doesn't know: that jambonz sends raw spaces and non-ASCII characters in
its request line (protocol.md 13), which subprotocols are spoken, and who may come in.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from urllib.parse import unquote_to_bytes

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

SUBPROTOCOLS = ("audio.jambonz.org", "audio.drachtio.org")
MAX_REQUEST_BYTES = 64 * 1024
END_OF_REQUEST = re.compile(rb"\r?\n\r?\n")
TLS_HANDSHAKE = b"\x16\x03"
_UNSAFE = re.compile(rb"[^\x21-\x7e]")


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


def split_request(data: bytes) -> tuple[bytes, bytes] | None:
    """Part a whole request from what follows it, with its request line mended; None while it isn't complete."""
    end = END_OF_REQUEST.search(data)
    if end is None:
        return None
    line, rest = data[: end.end()].split(b"\n", 1)
    return mend_request_line(line) + b"\n" + rest, data[end.end() :]


def mend_request_line(line: bytes) -> bytes:
    """Percent-encode what can't stand in a request line but comes over the wire: spaces, controls and non-ASCII."""
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rstrip(b"\r").rpartition(b" ")
    if not version.startswith(b"HTTP/"):
        return line
    encoded = _UNSAFE.sub(lambda byte: b"%%%02X" % byte[0][0], target)
    return b" ".join([method, encoded, version]) + b"\r"


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
    """Return the reason in the body of a refusal, in one line."""
    return bytes(response.body).decode(errors="replace").partition("\n")[0]


UNAUTHORIZED = Refusal(HTTPStatus.UNAUTHORIZED, "these credentials don't give access, or there are none")


def authorization(request: Request) -> str | None:
    """Return the Authorization header; more than one give no access."""
    values = request.headers.get_all("Authorization")
    return values[0] if len(values) == 1 else None


def readable_target(path: str) -> str:
    """Return path and query as jambonz meant them: what was encoded to get through the library is decoded."""
    return unquote_to_bytes(path).decode(errors="replace") if "%" in path else path


def plain_refusal(refusal: Refusal) -> bytes:
    """Return the answer to a request that is too broken for the library to answer."""
    body = f"{refusal.reason}\n".encode()
    headers = Headers([("Connection", "close"), ("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    return Response(refusal.status.value, refusal.status.phrase, headers, body).serialize()
