"""
Bytes as a jambonz client puts them on the wire.

Written out by hand and apart from the package, so that a fault in the package can't hide in its own tests.
"""

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
    """Return a binary message."""
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
