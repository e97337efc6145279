"""One direction of a connection as WebSocket frames, valid or not; the library's parser stops at the first fault."""

from typing import NamedTuple

from listenctl.protocol.frames.frame_format import (
    FIN,
    LENGTH_16,
    LENGTH_BITS,
    MASKED,
    apply_mask,
    build_frame,
    parse_sizes,
)

MAX_FRAME_BYTES = 64 * 1024 * 1024


class RawFrame(NamedTuple):
    """One frame, unmasked; ``rsv`` are the three reserved bits, RSV1 the highest."""

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    payload: bytes

    def serialize(self, mask: bytes) -> bytes:
        return build_frame(self.fin << 7 | self.rsv << 4 | self.opcode, self.payload, mask if self.masked else None)


class RawFrameReader:
    """Cut a stream into frames, even invalid ones; after an impossible length ``fault`` is set, and no more follow."""

    __slots__ = ("_max_frame", "_needed", "_rest", "fault")

    def __init__(self, max_frame: int = MAX_FRAME_BYTES) -> None:
        self._max_frame = max_frame  # longest payload in bytes, which bounds memory; a longer one is a fault
        self._rest = bytearray()
        self._needed = 2
        self.fault = ""
        """Why no more frames can follow; empty while they can."""

    @property
    def held_bytes(self) -> int:
        return len(self._rest)

    def incomplete_frame(self) -> tuple[RawFrame, int] | None:
        """Return the begun frame with the payload so far and the bytes that are missing; None without its header."""
        rest = bytes(self._rest)
        sizes = parse_sizes(rest)
        if sizes is None or len(rest) < sizes[0]:
            return None
        header_bytes, payload_bytes = sizes
        masked = rest[1] >= MASKED
        payload = rest[header_bytes:]
        if masked:
            payload = apply_mask(payload, rest[header_bytes - 4 : header_bytes])
        frame = RawFrame(rest[0] >= FIN, rest[0] >> 4 & 7, rest[0] & 15, masked, payload)
        return frame, header_bytes + payload_bytes - len(rest)

    def feed(self, data: bytes) -> list[RawFrame]:
        if self.fault:
            return []
        if self._rest:
            # A frame in many pieces is parsed only when it is complete.
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        elif (
            len(data) == 8 + (length := int.from_bytes(data[2:4], "big"))
            and data[1] == MASKED | LENGTH_16
            and length <= self._max_frame
        ):
            # One audio frame as jambonz sends it and nothing else takes two thirds of the time this way.
            first = data[0]
            return [RawFrame(first >= FIN, first >> 4 & 7, first & 15, True, apply_mask(data[8:], data[4:8]))]
        frames: list[RawFrame] = []
        at = self._cut_frames(data, frames)
        if not self.fault:
            self._rest += data[at:]
        return frames

    # One pass with everything inlined: observers read millions of frames.
    def _cut_frames(self, data: bytes, frames: list[RawFrame]) -> int:
        at, end, max_frame = 0, len(data), self._max_frame
        while end - at >= 2:
            first, second = data[at], data[at + 1]
            length, body = second & LENGTH_BITS, at + 2
            if length >= LENGTH_16:
                body += 2 if length == LENGTH_16 else 8
                if body > end:
                    break
                length = int.from_bytes(data[at + 2 : body], "big")
            if length > max_frame:
                self.fault = f"a frame of {length} bytes, which is more than {max_frame}"
                break
            if second & MASKED:
                body += 4
            after = body + length
            if after > end:
                break
            payload = data[body:after]
            if second & MASKED:
                payload = apply_mask(payload, data[body - 4 : body])
            frames.append(RawFrame(first >= FIN, first >> 4 & 7, first & 15, second >= MASKED, payload))
            at = after
        self._needed = sum(parse_sizes(data, at) or (0, 0))
        return at
