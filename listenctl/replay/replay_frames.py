"""Frames of a capture as they go onto the wire again: with their first byte, masked or not as they were."""

from struct import pack

from listenctl.net.client_connection import fresh_mask
from listenctl.protocol.frames.raw_frame_reader import RawFrame

try:
    from websockets.speedups import apply_mask
except ImportError:  # The library runs without its C extension too.
    from websockets.utils import apply_mask


def close_code(payload: bytes) -> int | None:
    """Return the code of a Close, None where it has none."""
    return int.from_bytes(payload[:2], "big") if len(payload) > 1 else None


def frame_bytes(frame: RawFrame) -> bytes:
    """Return a frame as it stands on the wire, its mask a new one."""
    size = len(frame.payload)
    first, masked = frame.fin << 7 | frame.rsv << 4 | frame.opcode, frame.masked << 7
    if size < 126:
        head = bytes((first, masked | size))
    elif size < 1 << 16:
        head = pack("!BBH", first, masked | 126, size)
    else:
        head = pack("!BBQ", first, masked | 127, size)
    if not frame.masked:
        return head + frame.payload
    mask = fresh_mask()
    return head + mask + apply_mask(frame.payload, mask)
