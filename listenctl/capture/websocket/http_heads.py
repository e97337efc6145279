"""
Find the heads of HTTP messages in what one side sends, until WebSocket takes over.

Everything may be missing or made up, so heads are read leniently and their size is bounded; what is no HTTP is told as
soon as that is certain.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

MAX_HEAD = 65_536
SWITCHING = 101

_END = b"\r\n\r\n"
_METHOD = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE) ")
_LONGEST_METHOD = 8
_RESPONSE = b"HTTP/1."
_REQUEST_LINE = re.compile(r"(\S+) (\S+)")
_STATUS_LINE = re.compile(r"HTTP/1\.\d (\d{3}) ?(.*)")


@dataclass(frozen=True, slots=True)
class Head:
    """
    The first line and the headers of a message: method and target of a request, or status and reason of a response.

    ``headers`` are pairs as they were sent; ``raw`` is all of it as it was on the wire.
    """

    first_line: str
    method: str
    target: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    raw: bytes

    def header(self, name: str) -> str:
        """Return the values of a header, joined by commas, empty if it isn't there; ``name`` is in lower case."""
        return ", ".join(value for own, value in self.headers if own.lower() == name)

    @property
    def upgrades(self) -> bool:
        """Whether this asks for WebSocket, or agrees to it."""
        asked = self.header("upgrade").lower() == "websocket"
        return asked and (self.method == "GET" or self.status == SWITCHING)

    @property
    def body(self) -> int:
        """Bytes that follow before the next message, as far as the head tells."""
        length = self.header("content-length")
        return int(length) if length.isascii() and length.isdigit() and len(length) < 16 else 0


class HeadKind(Enum):
    """What a stream looks like from its first bytes."""

    UNDECIDED = auto()
    REQUEST = auto()
    RESPONSE = auto()
    OTHER = auto()


def detect_head(data: bytes) -> HeadKind:
    """Tell what a stream that begins so is, ``UNDECIDED`` while that needs more bytes."""
    if _METHOD.match(data):
        return HeadKind.REQUEST
    if data.startswith(_RESPONSE):
        return HeadKind.RESPONSE
    if len(data) < _LONGEST_METHOD and ((data.isalpha() and data.isupper()) or _RESPONSE.startswith(data)):
        return HeadKind.UNDECIDED
    return HeadKind.OTHER


def parse_head(data: bytes) -> Head | None:
    """Return the head with which ``data`` begins, None while it isn't complete."""
    end = data.find(_END, 0, MAX_HEAD)
    if end < 0:
        return None
    first, *lines = data[:end].decode("utf-8", "replace").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name.strip(), value.strip()) for name, colon, value in pairs if colon)
    raw = data[: end + len(_END)]
    if answer := _STATUS_LINE.match(first):
        return Head(first, "", "", int(answer[1]), answer[2], headers, raw)
    asked = _REQUEST_LINE.match(first)
    return Head(first, asked[1] if asked else "", asked[2] if asked else "", 0, "", headers, raw)
