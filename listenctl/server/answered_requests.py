"""
Answers to requests that differ only in their key and path from one that the library has accepted.

A media server sends the same headers with each call. Parsing and answering them took the library a fifth of the Python
calls of a short call, receiving, recording and sidecar included; so it does that once. Lines of a request don't depend
on each other, hence any other request with the same lines, and one well-formed key, is accepted, too.
"""

import re
from collections import OrderedDict
from email.utils import formatdate

from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.utils import accept_key

MAX_REMEMBERED = 16
MAX_REMEMBERED_BYTES = 4096

# 16 bytes in Base64, which is all that RFC 6455 4.2.1 demands of a key.
_KEY = re.compile(rb"\nSec-WebSocket-Key: ([A-Za-z0-9+/]{22}==)\r(?=\n)", re.IGNORECASE)
_SHORTEST_REQUEST = b"GET / HTTP/1.1\r\n\r\n"


class AnsweredRequests:
    """Of a server whose answer depends on nothing but the headers of a request."""

    def __init__(self) -> None:
        self._answers: OrderedDict[bytes, Response] = OrderedDict()  # by the request without its key; the newest last

    def remember(self, request: bytes, answer: Response) -> None:
        """Remember a request that is whole and has no path, and how the library has accepted it."""
        parts = _split_at_key(request)
        if parts is not None:
            self._answers[parts[0]] = answer
            if len(self._answers) > MAX_REMEMBERED:
                self._answers.popitem(last=False)

    def answer(self, request: bytes, protocol: ServerProtocol) -> Response | None:
        """Return the answer to a request, and have ``protocol`` accept it; None if only the library can answer it."""
        parts = _split_at_key(request)
        known = None if parts is None else self._answers.get(parts[0])
        if parts is None or known is None:
            return None
        own = {"Date": formatdate(usegmt=True), "Sec-WebSocket-Accept": accept_key(parts[1])}
        headers = Headers([(name, own.get(name, value)) for name, value in known.headers.raw_items()])
        # The library expects a request before frames.
        protocol.receive_data(_SHORTEST_REQUEST)
        protocol.events_received()
        subprotocol = headers.get("Sec-WebSocket-Protocol")
        protocol.subprotocol = None if subprotocol is None else Subprotocol(subprotocol)
        return Response(known.status_code, known.reason_phrase, headers)


def _split_at_key(request: bytes) -> tuple[bytes, str] | None:
    """Return a request without the line of its key, and the key; None if it is long or odd."""
    key = _KEY.search(request) if len(request) <= MAX_REMEMBERED_BYTES else None
    if key is None:
        return None
    return request[: key.start()] + request[key.end() :], key[1].decode()
