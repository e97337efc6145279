"""Find HTTP heads in the data of one side, which may be incomplete or hostile, up to the switch to WebSocket."""

import re
from dataclasses import dataclass
from enum import Enum, auto

MAX_HEAD = 65_536
SWITCHING = 101

_END = b"\r\n\r\n"
_METHOD = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE) ")
_LONGEST_METHOD = 8
_RESPONSE = b"HTTP/1."
_STATUS_LINE = re.compile(r"HTTP/1\.\d (\d{3})")


@dataclass(frozen=True, slots=True)
class HttpHead:
    """The head of a request or response; ``raw`` are its bytes on the wire, empty where only its parts were stored."""

    first_line: str
    headers: tuple[tuple[str, str], ...]
    raw: bytes

    @property
    def target(self) -> str:
        words = self.first_line.split(" ", 2)
        return words[1] if len(words) > 1 else ""

    @property
    def status(self) -> int:
        """The status of a response, 0 for a request."""
        match = _STATUS_LINE.match(self.first_line)
        return int(match[1]) if match else 0

    def header(self, name: str) -> str:
        """Return the values of a header, joined by commas, empty if it is missing; ``name`` is in lower case."""
        return ", ".join(value for own, value in self.headers if own.lower() == name)

    @property
    def is_upgrade(self) -> bool:
        if self.header("upgrade").lower() != "websocket":
            return False
        return self.first_line.startswith("GET ") or self.status == SWITCHING

    @property
    def body_size(self) -> int:
        """Bytes of the body, 0 if the head doesn't say."""
        length = self.header("content-length")
        return int(length) if length.isascii() and length.isdigit() and len(length) < 16 else 0


class HeadKind(Enum):
    UNDECIDED = auto()
    REQUEST = auto()
    RESPONSE = auto()
    OTHER = auto()


def detect_head(data: bytes) -> HeadKind:
    """Detect what the first bytes of a stream are; ``UNDECIDED`` if that needs more bytes."""
    if _METHOD.match(data):
        return HeadKind.REQUEST
    if data.startswith(_RESPONSE):
        return HeadKind.RESPONSE
    if len(data) < _LONGEST_METHOD and ((data.isalpha() and data.isupper()) or _RESPONSE.startswith(data)):
        return HeadKind.UNDECIDED
    return HeadKind.OTHER


def parse_head(data: bytes) -> HttpHead | None:
    end = data.find(_END, 0, MAX_HEAD)
    if end < 0:
        return None
    first, *lines = data[:end].decode("utf-8", "replace").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name.strip(), value.strip()) for name, colon, value in pairs if colon)
    return HttpHead(first, headers, data[: end + len(_END)])
