"""
Frames as they stand on the wire, for tests of what a client puts there.

Written out by hand and apart from the package. A WebSocket library is no help: it drops what follows a Close.
"""

from dataclasses import dataclass


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
        """The begin of a frame that is not complete."""

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
