"""Why requests don't become calls, and what is answered to them."""

from dataclasses import dataclass
from http import HTTPStatus

from websockets.http11 import Response


@dataclass(frozen=True, slots=True)
class HandshakeRefusal:
    """Why a request doesn't become a call."""

    status: int
    reason: str  # reported, and sent to the client in the body of the answer
    public_reason: str = ""  # sent instead of ``reason`` if that isn't for everyone
    answer: Response | None = None  # the whole answer, if it isn't made from the reason
    retry_after: int = 0  # seconds after which another attempt can succeed; 0 if that isn't known


UPSTREAM_LOOP = HandshakeRefusal(
    HTTPStatus.LOOP_DETECTED, "--upstream leads back to this server; give the URL of the application itself"
)
UNAUTHORIZED = HandshakeRefusal(HTTPStatus.UNAUTHORIZED, "the credentials are missing or wrong")
NOT_WAITED = HandshakeRefusal(HTTPStatus.BAD_REQUEST, "the client sent too much before the answer")
TOO_LATE = HandshakeRefusal(HTTPStatus.REQUEST_TIMEOUT, "the handshake took too long")
TOO_MANY = HandshakeRefusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are in their handshake")
TOO_MANY_PASSWORDS = HandshakeRefusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many passwords wait to be checked")
TLS_ON_PLAIN_PORT = HandshakeRefusal(HTTPStatus.BAD_REQUEST, "this port speaks ws://, not wss://")
TOO_LONG = HandshakeRefusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long")
NO_MORE_CALLS = HandshakeRefusal(HTTPStatus.SERVICE_UNAVAILABLE, "this server takes no more calls")
FAILED = HandshakeRefusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the handshake failed unexpectedly")
