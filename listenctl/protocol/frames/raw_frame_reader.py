"""
One direction of a connection as WebSocket frames, just as they stand on the wire.

For observers, who have to show what is wrong rather than refuse it: which frames are allowed is none of its concern.
The library's parser won't do, since it is one end of a connection: it ends at the first fault and drops what follows a
Close.
"""

from typing import NamedTuple

try:
    from websockets.speedups import apply_mask
except ImportError:  # The library runs without its C extension too.
    from websockets.utils import apply_mask

MAX_FRAME_BYTES = 64 * 1024 * 1024

_FIN = 0x80
_MASKED = 0x80
_LENGTH_16 = 126
_LENGTH_BITS = 0x7F


class RawFrame(NamedTuple):
    """One frame, unmasked; ``rsv`` are the three reserved bits, RSV1 the highest."""

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    payload: bytes


class RawFrameReader:
    """
    Cut a stream of frames, its handshake left out, whatever the cuts between reads.

    It gives every frame that has an end: with reserved opcodes, with the wrong masking, with longer lengths than need
    be. After a length that can't be, where the next frame begins is unknown: ``fault`` says so, and nothing follows.

    Args:
        max_frame: longest payload in bytes, which bounds what is held; a longer one is a fault.
    """

    __slots__ = ("_max_frame", "_needed", "_rest", "fault")

    def __init__(self, max_frame: int = MAX_FRAME_BYTES) -> None:
        self._max_frame = max_frame
        self._rest = bytearray()
        self._needed = 2
        self.fault = ""
        """Why there are no more frames; empty while there can be."""

    @property
    def held_bytes(self) -> int:
        """Bytes of a frame whose end hasn't come."""
        return len(self._rest)

    def incomplete_frame(self) -> tuple[RawFrame, int] | None:
        """Return the frame whose end hasn't come, as far as it is there, and how much it lacks; None without header."""
        rest = bytes(self._rest)
        body = _header_bytes(rest)
        if body is None or len(rest) < body:
            return None
        masked = rest[1] >= _MASKED
        payload = apply_mask(rest[body:], rest[body - 4 : body]) if masked else rest[body:]
        frame = RawFrame(rest[0] >= _FIN, rest[0] >> 4 & 7, rest[0] & 15, masked, payload)
        return frame, _bytes_needed(rest, 0) - len(rest)

    def feed(self, data: bytes) -> list[RawFrame]:
        """Return the frames that ``data`` completes."""
        if self.fault:
            return []
        if self._rest:
            # Looked at again only when all of the frame is there, however many pieces it comes in.
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        elif (
            len(data) == 8 + (length := int.from_bytes(data[2:4], "big"))
            and data[1] == _MASKED | _LENGTH_16
            and length <= self._max_frame
        ):
            # One frame of audio as jambonz sends it and nothing else takes two thirds of the time this way.
            first = data[0]
            return [RawFrame(first >= _FIN, first >> 4 & 7, first & 15, True, apply_mask(data[8:], data[4:8]))]
        frames: list[RawFrame] = []
        at = self._cut(data, frames)
        if not self.fault:
            self._rest += data[at:]
        return frames

    def _cut(self, data: bytes, frames: list[RawFrame]) -> int:
        """Cut out what is complete; return where that ends. One pass, without calls."""
        at, end, max_frame = 0, len(data), self._max_frame
        while end - at >= 2:
            first, second = data[at], data[at + 1]
            length, body = second & _LENGTH_BITS, at + 2
            if length >= _LENGTH_16:
                body += 2 if length == _LENGTH_16 else 8
                if body > end:
                    break
                length = int.from_bytes(data[at + 2 : body], "big")
            if length > max_frame:
                self.fault = f"a frame of {length} bytes, which is more than {max_frame}"
                break
            if second & _MASKED:
                body += 4
            after = body + length
            if after > end:
                break
            payload = data[body:after]
            if second & _MASKED:
                payload = apply_mask(payload, data[body - 4 : body])
            frames.append(RawFrame(first >= _FIN, first >> 4 & 7, first & 15, second >= _MASKED, payload))
            at = after
        self._needed = _bytes_needed(data, at)
        return at


def _bytes_needed(data: bytes, at: int) -> int:
    """Return how long the frame at ``at`` is as far as its header tells, or how much of a header tells more."""
    if len(data) - at < 2:
        return 2
    length, header = data[at + 1] & _LENGTH_BITS, 2
    if length >= _LENGTH_16:
        header = 4 if length == _LENGTH_16 else 10
        if len(data) - at < header:
            return header
        length = int.from_bytes(data[at + 2 : at + header], "big")
    return header + (4 if data[at + 1] & _MASKED else 0) + length


def _header_bytes(data: bytes) -> int | None:
    """Return the length of the header that ``data`` begins with, None where too little of it is there to tell."""
    if len(data) < 2:
        return None
    length = data[1] & _LENGTH_BITS
    extended = 0 if length < _LENGTH_16 else 2 if length == _LENGTH_16 else 8
    return 2 + extended + (4 if data[1] & _MASKED else 0)
