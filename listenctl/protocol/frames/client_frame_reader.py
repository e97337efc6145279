"""
Split what is read from a socket into messages: audio in a fast lane, the rest through ``websockets``.

Nearly every frame of a call is one short, unfragmented, masked binary frame of the same size as the one before. Those
are cut out in one pass over the read; every other byte goes to the library's sans-I/O parser, so that conformance stays
the library's. Measured on reads of 25 frames of 320 bytes: 0.34 µs a frame here, 2.6 µs in the library.
"""

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # The library runs without its C extension too.
    from websockets.utils import apply_mask

FINAL_BINARY = 0x80 | Opcode.BINARY
MASKED = 0x80
LENGTH_16 = 126
# Longer frames (the burst after a stall) are rare and arrive in many reads; the library collects those without copying
# what is there already at every read.
MAX_FAST_PAYLOAD = 32 * 1024
# Frames looked at in one pass. Without a limit a stream whose sizes alternate would be looked at whole for each frame.
MAX_RUN = 64
OPCODES = frozenset(Opcode)


class BinaryMessages(NamedTuple):
    """Payload of one or more binary messages in a row, all ``message_bytes`` long."""

    data: bytes
    message_bytes: int
    messages: int


class TextMessage(NamedTuple):
    """One text message, not yet decoded: what jambonz sends is not always UTF-8 (protocol.md 2.6)."""

    data: bytes


class ControlFrame(NamedTuple):
    """A close, ping or pong frame; the library has answered it already."""

    frame: Frame


ReceivedMessage = BinaryMessages | TextMessage | ControlFrame


@lru_cache(maxsize=64)
def _frames_of(header_bytes: int, payload_bytes: int) -> Struct:
    return Struct(f"{header_bytes}s4s{payload_bytes}s")


class ClientFrameReader:
    """
    Cut a stream of client frames into messages, in order, whatever the cuts between reads.

    Args:
        protocol: the connection as the library sees it, with its opening handshake done. What it wants to send after
            ``receive_data`` is the caller's to fetch.
        max_size: limit of one message in bytes; larger ones are left to the library, which has the same limit.
    """

    __slots__ = ("_max_fast", "_message", "_opcode", "_owed", "_protocol", "_rest", "used_library")

    def __init__(self, protocol: ServerProtocol, *, max_size: int) -> None:
        self._protocol = protocol
        self._max_fast = min(max_size, MAX_FAST_PAYLOAD)
        self._rest = b""
        self._owed = 0  # bytes of a frame that the library has begun and not seen the end of
        self._message: bytearray | None = None  # a fragmented message, joined at once: empty fragments cost nothing
        self._opcode = Opcode.BINARY
        self.used_library = False
        """Whether the last ``receive_data`` left anything to the library, which may then have something to send."""

    def receive_data(self, data: bytes) -> list[ReceivedMessage]:
        """Return the messages that are complete after receiving ``data``."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        messages: list[ReceivedMessage] = []
        self.used_library = False
        at = 0
        while at < len(data):
            taken = 0
            if not self._owed and self._message is None and data[at] == FINAL_BINARY and not self._lane_ended():
                taken = self._take_audio(data, at, messages)
            taken = taken or self._take_other(data, at, messages)
            if not taken:
                self._rest = data[at:]
                break
            at += taken
        return messages

    def receive_eof(self) -> None:
        """Hand the library what is left and the end of the stream, so that it fails as it would alone."""
        if self._rest:
            self._protocol.receive_data(self._rest)
            self._rest = b""
        self._protocol.receive_eof()

    def _lane_ended(self) -> bool:
        # Once the library has failed or seen the close it hangs up and discards all that follows, and so must we.
        return self._protocol.eof_sent

    def _take_audio(self, data: bytes, at: int, messages: list[ReceivedMessage]) -> int:
        """Unmask the run of equal binary frames at ``at``; return its bytes, 0 when there is none to take here."""
        if len(data) - at < 4:
            return 0
        payload_bytes, header_bytes = data[at + 1] - MASKED, 2
        if payload_bytes == LENGTH_16:
            payload_bytes, header_bytes = data[at + 2] << 8 | data[at + 3], 4
        # An empty message is a signal (protocol.md 13), not audio, so it goes the other way; so do unmasked frames.
        if not 0 < payload_bytes <= self._max_fast or data[at + 1] > MASKED + LENGTH_16:
            return 0
        frame_bytes = header_bytes + 4 + payload_bytes
        count = min((len(data) - at) // frame_bytes, MAX_RUN)
        if not count:
            return 0
        frames = _frames_of(header_bytes, payload_bytes).iter_unpack(data[at : at + count * frame_bytes])
        headers, masks, payloads = zip(*frames, strict=True)
        if headers.count(headers[0]) != count:
            count = next(index for index, header in enumerate(headers) if header != headers[0])
        # map ends with the shorter list, so frames after another header are left alone.
        unmasked = b"".join(map(apply_mask, payloads[:count], masks))
        messages.append(BinaryMessages(unmasked, payload_bytes, count))
        return count * frame_bytes

    def _take_other(self, data: bytes, at: int, messages: list[ReceivedMessage]) -> int:
        """Hand one frame, or what is there of it, to the library; return the bytes taken, 0 to wait for more."""
        if self._lane_ended():
            taken = len(data) - at
        elif self._owed:
            taken = min(self._owed, len(data) - at)
            self._owed -= taken
        else:
            frame_bytes = _frame_bytes(data, at)
            if frame_bytes is None or self._waits_for_lane(data, at, frame_bytes):
                return 0
            taken = min(frame_bytes, len(data) - at)
            self._owed = frame_bytes - taken
        self.used_library = True
        self._protocol.receive_data(data[at : at + taken])
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            messages.extend(self._assemble(event))
        return taken

    def _waits_for_lane(self, data: bytes, at: int, frame_bytes: int) -> bool:
        """Tell whether the frame at ``at`` is one for the fast lane that is only not complete yet."""
        return (
            data[at] == FINAL_BINARY
            and data[at + 1] > MASKED
            and self._message is None
            and len(data) - at < frame_bytes <= self._max_fast
        )

    def _assemble(self, frame: Frame) -> Iterator[ReceivedMessage]:
        if frame.opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
            yield ControlFrame(frame)
            return
        if self._message is None:
            self._message, self._opcode = bytearray(), frame.opcode
        self._message += frame.data
        if not frame.fin:
            return
        data, self._message = bytes(self._message), None
        yield TextMessage(data) if self._opcode is Opcode.TEXT else BinaryMessages(data, len(data), 1)


def _frame_bytes(data: bytes, at: int) -> int | None:
    """
    Return the length of the frame at ``at``, or None when its header isn't complete.

    Of a frame that the library refuses by its header alone that header is all, since it reads no further either.
    """
    if len(data) - at < 2:
        return None
    if data[at] & 0x0F not in OPCODES or not data[at + 1] & MASKED:
        return 2
    length, header_bytes = data[at + 1] & 0x7F, 2
    if length >= LENGTH_16:
        header_bytes = 4 if length == LENGTH_16 else 10
        if len(data) - at < header_bytes:
            return None
        length = int.from_bytes(data[at + 2 : at + header_bytes], "big")
    return header_bytes + 4 + length
