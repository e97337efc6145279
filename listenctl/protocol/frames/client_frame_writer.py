"""Frames as jambonz sends them: masked, never fragmented, with no extension (protocol.md 1.1)."""

from struct import pack

from websockets.frames import Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:  # The library runs without its C extension too.
    from websockets.utils import apply_mask

_FIN = 0x80
_MASKED = 0x80


def text_frame(payload: bytes, mask: bytes) -> bytes:
    """Return a text message; its bytes need not be UTF-8."""
    return _frame(Opcode.TEXT, payload, mask)


def binary_frame(payload: bytes, mask: bytes) -> bytes:
    """Return a binary message."""
    return _frame(Opcode.BINARY, payload, mask)


def close_frame(code: int | None, mask: bytes, reason: bytes = b"") -> bytes:
    """Return a Close; jambonz gives no reason of its own (protocol.md 7), and None is the one without a code."""
    return _frame(Opcode.CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason, mask)


# The library's `Frame.serialize` does the same in five times the time, and load sends 25,000 frames a second.
def _frame(opcode: Opcode, payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((_FIN | opcode, _MASKED | size))
    elif size < 1 << 16:
        head = pack("!BBH", _FIN | opcode, _MASKED | 126, size)
    else:
        head = pack("!BBQ", _FIN | opcode, _MASKED | 127, size)
    return head + mask + apply_mask(payload, mask)
