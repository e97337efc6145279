"""
The handshake with whoever calls a replayed application.

The request is read leniently, since jambonz sends raw spaces in it (protocol.md 13).
"""

import asyncio
import hmac
import re
from collections.abc import Callable

from websockets.utils import accept_key

REQUEST_PATIENCE = 10.0
"""Seconds for the request."""
MAX_HEAD = 64 * 1024

_KEY = re.compile(rb"^Sec-WebSocket-Key:[ \t]*([A-Za-z0-9+/=]{1,64})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_SUBPROTOCOL = re.compile(rb"^Sec-WebSocket-Protocol:[ \t]*([!-~]+(?:[ \t]*,[^\r\n]*)?)", re.IGNORECASE | re.MULTILINE)
_AUTHORIZATION = re.compile(rb"^Authorization:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class RequestError(Exception):
    """A request that becomes no call; ``answer`` is what the client gets."""

    def __init__(self, answer: bytes, reason: str) -> None:
        super().__init__(reason)
        self.answer = answer


async def shake_hands(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    authorization: str | None = None,
    *,
    full: Callable[[], bool] = lambda: False,
) -> None:
    """
    Take a call.

    Args:
        authorization: the header's value that is asked for.
        full: tells whether no more calls are taken.

    Raises:
        RequestError: the request is none for a WebSocket, lacks the right credentials, or comes too late.
    """
    try:
        async with asyncio.timeout(REQUEST_PATIENCE):
            request = await reader.readuntil(b"\r\n\r\n")
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
        raise RequestError(_refusal(b"400 Bad Request"), "sent no request") from exc
    given = _AUTHORIZATION.search(request)
    if authorization is not None and not hmac.compare_digest(given[1] if given else b"", authorization.encode()):
        challenge = b'WWW-Authenticate: Basic realm="listenctl"\r\n'
        raise RequestError(_refusal(b"401 Unauthorized", challenge), "has no or other credentials")
    key = _KEY.search(request)
    if not key or not request.startswith(b"GET "):
        raise RequestError(_refusal(b"400 Bad Request"), "asks for no WebSocket")
    if full():
        raise RequestError(_refusal(b"503 Service Unavailable"), "came after the last call that is taken")
    offered = _SUBPROTOCOL.search(request)
    echo = b"Sec-WebSocket-Protocol: %b\r\n" % offered[1].split(b",")[0].strip() if offered else b""
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (accept_key(key[1].decode()).encode(), echo)
    )


def _refusal(status: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, headers)
