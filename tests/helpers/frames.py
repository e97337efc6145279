"""
Frames as they are on the wire: built as a jambonz client sends them, and cut from what either side sent.

Written by hand and apart from the package, so that a fault in the package can't hide in its own tests. A WebSocket
library is no help: it drops what follows a Close.
"""

from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x12\x9a\x5c\xe7"

# The request of listenctl-protocol(7) 1.1 with the key of V1, and the answer that V1 asks for.
HANDSHAKE = (
    b"GET /calls?x=1 HTTP/1.1\r\n"
    b"Pragma: no-cache\r\n"
    b"Cache-Control: no-cache\r\n"
    b"Host: myrecorder.example.com\r\n"
    b"Origin: http://myrecorder.example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: audio.jambonz.org\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"\r\n"
)
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def frame(opcode: int, payload: bytes, *, fin: bool = True, mask: bytes | None = MASK, rsv: int = 0) -> bytes:
    """
    Return one frame, with the shortest length that fits (RFC 6455 5.2).

    Args:
        mask: The four bytes of the masking key; ``None`` leaves the frame unmasked, as a server sends it.
        rsv: The three reserved bits, RSV1 the highest.
    """
    first = bytes([fin << 7 | rsv << 4 | opcode])
    masked = 0x00 if mask is None else 0x80
    return first + _length(len(payload), masked) + (payload if mask is None else mask + _masked(payload, mask))


def text(payload: str | bytes) -> bytes:
    """Return a text message; bytes go out as they are, valid UTF-8 or not."""
    return frame(TEXT, payload.encode() if isinstance(payload, str) else payload)


def binary(payload: bytes) -> bytes:
    return frame(BINARY, payload)


def close(code: int | None = 1000, reason: str = "") -> bytes:
    """Return a Close frame; ``None`` is the one without a code."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())


def _length(length: int, masked: int) -> bytes:
    if length < 126:
        return bytes([masked | length])
    if length < 1 << 16:
        return bytes([masked | 126]) + length.to_bytes(2, "big")
    return bytes([masked | 127]) + length.to_bytes(8, "big")


def _masked(payload: bytes, mask: bytes) -> bytes:
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


@dataclass(frozen=True, slots=True)
class WireFrame:
    """One frame, unmasked, and when it was complete; ``first`` is its first byte: FIN, reserved bits and opcode."""

    time: float
    first: int
    masked: bool
    payload: bytes

    @property
    def shape(self) -> tuple[int, bool, int]:
        """All of it but what it says."""
        return self.first, self.masked, len(self.payload)


class FrameCutter:
    """Cut a client's or a server's stream, its handshake left out, into frames."""

    def __init__(self) -> None:
        self.rest = b""
        """The first bytes of a frame that is not complete."""

    def feed(self, data: bytes, time: float = 0.0) -> list[WireFrame]:
        """Return the frames that ``data`` completes."""
        self.rest += data
        frames = []
        while (sizes := _sizes(self.rest)) and len(self.rest) >= sum(sizes):
            head, size = sizes
            payload = self.rest[head : head + size]
            masked = self.rest[1] >= 0x80
            mask = self.rest[head - 4 : head]
            frames.append(WireFrame(time, self.rest[0], masked, _unmask(payload, mask) if masked else payload))
            self.rest = self.rest[head + size :]
        return frames


def cut_frames(stream: bytes) -> list[WireFrame]:
    """Return the frames of a whole stream, at whose end there must be nothing else."""
    cutter = FrameCutter()
    frames = cutter.feed(stream)
    assert cutter.rest == b"", "the stream ends in the middle of a frame"
    return frames


def _sizes(data: bytes) -> tuple[int, int] | None:
    """Return the sizes of head and payload (RFC 6455 5.2)."""
    if len(data) < 2:
        return None
    short = data[1] & 0x7F
    extended = {126: 2, 127: 8}.get(short, 0)
    if len(data) < 2 + extended:
        return None
    mask = 4 if data[1] >= 0x80 else 0
    return 2 + extended + mask, int.from_bytes(data[2 : 2 + extended], "big") if extended else short


def _unmask(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
