"""Why requests don't become calls, and what is answered to them."""

from dataclasses import dataclass
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Response

RETRY_AFTER = 10
"""Seconds after which a client may try again where the server is full."""


@dataclass(frozen=True, slots=True)
class HandshakeRefusal:
    """Why a request doesn't become a call."""

    status: int
    reason: str  # reported, and sent to the client in the body of the answer
    public_reason: str = ""  # sent instead of ``reason`` if that isn't for everyone
    answer: Response | None = None  # the whole answer, if it isn't made from the reason
    limit: str = ""  # the limit that was reached, one of few names; empty for another reason
    retry_after: int = 0  # seconds after which another attempt can succeed; 0 if that isn't known

    @property
    def headers(self) -> dict[str, str]:
        """What the answer has beside its status and body."""
        if self.status == HTTPStatus.UNAUTHORIZED:
            return {"WWW-Authenticate": 'Basic realm="listenctl", charset="UTF-8"'}
        full = self.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
        seconds = self.retry_after or (RETRY_AFTER if full else 0)
        return {"Retry-After": str(seconds)} if seconds else {}

    def serialize(self) -> bytes:
        """Return the answer to what isn't a whole HTTP request."""
        body = f"{self.reason}\n".encode()
        headers = Headers([("Connection", "close"), ("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
        headers.update(self.headers)
        status = HTTPStatus(self.status)
        return Response(status.value, status.phrase, headers, body).serialize()


def full_server(limit: str, reason: str, public_reason: str = "") -> HandshakeRefusal:
    return HandshakeRefusal(HTTPStatus.SERVICE_UNAVAILABLE, reason, public_reason, limit=limit)


UPSTREAM_LOOP = HandshakeRefusal(
    HTTPStatus.LOOP_DETECTED, "--upstream leads back to this server; give the URL of the application itself"
)
UNAUTHORIZED = HandshakeRefusal(HTTPStatus.UNAUTHORIZED, "the credentials are missing or wrong")
NOT_WAITED = HandshakeRefusal(HTTPStatus.BAD_REQUEST, "the client sent too much before the answer")
TOO_LATE = HandshakeRefusal(HTTPStatus.REQUEST_TIMEOUT, "the handshake took too long")
NEVER_SPOKE = HandshakeRefusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "nothing followed the handshake within --first-frame-timeout",
    limit="first-frame-timeout",
)
TOO_MANY = HandshakeRefusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are in their handshake", limit="handshakes"
)
TOO_MANY_PASSWORDS = HandshakeRefusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "too many passwords wait to be checked", limit="passwords"
)
TLS_ON_PLAIN_PORT = HandshakeRefusal(HTTPStatus.BAD_REQUEST, "this port speaks ws://, not wss://")
TOO_LONG = HandshakeRefusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is longer than --max-header allows", limit="max-header"
)
NO_MORE_CALLS = HandshakeRefusal(HTTPStatus.SERVICE_UNAVAILABLE, "this server takes no more calls", limit="draining")
FAILED = HandshakeRefusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the handshake failed unexpectedly")
