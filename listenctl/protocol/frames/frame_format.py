"""WebSocket frames as bytes (RFC 6455 5.2): headers read and written, and the mask of a client's frames."""

from struct import pack

from websockets.frames import Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:  # The library also runs without its C extension.
    from websockets.utils import apply_mask

__all__ = ["apply_mask"]

FIN = 0x80
RESERVED = 0x70
OPCODE_BITS = 0x0F
CONTROL = 0x08
MASKED = 0x80
LENGTH_BITS = 0x7F
LENGTH_16 = 126
"""From here on the length bits say that the length follows, in two bytes (126) or in eight (127)."""
MAX_CONTROL_BYTES = 125
MAX_HEADER_BYTES = 14
FINAL_TEXT = FIN | Opcode.TEXT
FINAL_BINARY = FIN | Opcode.BINARY
_CLIENT_AUDIO = bytes((FINAL_BINARY, MASKED | LENGTH_16))
OPCODES = frozenset(Opcode)


def parse_sizes(data: bytes, at: int = 0) -> tuple[int, int] | None:
    """Return the bytes of header (with mask) and payload of the frame at ``at``; None if its length isn't there yet."""
    if len(data) - at < 2:
        return None
    second = data[at + 1]
    length, header_bytes = second & LENGTH_BITS, 2
    if length >= LENGTH_16:
        header_bytes = 4 if length == LENGTH_16 else 10
        if len(data) - at < header_bytes:
            return None
        length = int.from_bytes(data[at + 2 : at + header_bytes], "big")
    return header_bytes + (4 if second & MASKED else 0), length


# `Frame.serialize` of the library does the same in five times the time, and load sends 25,000 frames a second.
def build_frame(first: int, payload: bytes, mask: bytes | None) -> bytes:
    """Return a frame; ``first`` is its first byte, and without ``mask`` it is unmasked, as a server's are."""
    size, masked = len(payload), 0 if mask is None else MASKED
    if size < LENGTH_16:
        header = bytes((first, masked | size))
    elif size < 1 << 16:
        header = pack("!BBH", first, masked | 126, size)
    else:
        header = pack("!BBQ", first, masked | 127, size)
    return header + payload if mask is None else header + mask + apply_mask(payload, mask)


def text_frame(payload: bytes, mask: bytes) -> bytes:
    """Return a text message in one masked frame; its bytes need not be UTF-8."""
    return build_frame(FINAL_TEXT, payload, mask)


def binary_frame(payload: bytes, mask: bytes) -> bytes:
    return build_frame(FINAL_BINARY, payload, mask)


def client_audio_bytes(frame: bytes) -> int:
    """
    Return the payload bytes of a frame that begins as audio of jambonz does: final, binary, masked, with a length that
    needs 16 bits. Return 0 for any other frame.
    """
    if not frame.startswith(_CLIENT_AUDIO):
        return 0
    payload_bytes = int.from_bytes(frame[2:4], "big")
    return payload_bytes if payload_bytes >= LENGTH_16 else 0


def change_mask(frame: bytes, change: bytes) -> bytes:
    """Return a masked frame whose mask is XORed with ``change``, which changes the bytes of the payload as well."""
    length = frame[1] & LENGTH_BITS
    mask_at = 2 if length < LENGTH_16 else 4 if length == LENGTH_16 else 10
    return frame[:mask_at] + apply_mask(frame[mask_at:], change)


def close_frame(code: int | None, mask: bytes, reason: bytes = b"") -> bytes:
    return build_frame(FIN | Opcode.CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason, mask)


def close_code(payload: bytes) -> int | None:
    return int.from_bytes(payload[:2], "big") if len(payload) > 1 else None
