"""WebSocket messages, and how observed frames become messages; what RFC 6455 forbids also gives a ``FrameFault``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from websockets.frames import Frame, Opcode

from listenctl.protocol.frames.frame_format import CONTROL, MAX_CONTROL_BYTES, OPCODES
from listenctl.protocol.frames.raw_frame_reader import RawFrame

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""jambonz takes messages of any size (9.6 MB in a test, listenctl-protocol(7) 13); this limit bounds our memory."""

_BINARY = int(Opcode.BINARY)
_MAX_FRAGMENTS = 65_536


def add_fragment(sizes: list[int], size: int) -> None:
    """Add the bytes of one frame to those of a message; after a number of frames, the others count as one."""
    if size and len(sizes) >= _MAX_FRAGMENTS:
        sizes[-1] += size
    elif size or not sizes:
        sizes.append(size)


class BinaryMessages(NamedTuple):
    """Payload of one or more consecutive binary messages, each ``message_bytes`` long."""

    data: bytes
    message_bytes: int
    messages: int
    fragments: Sequence[int] = ()  # of a message of the application: the bytes of each frame if it came in several


class TextMessage(NamedTuple):
    """One text message as bytes: what jambonz sends is not always UTF-8 (listenctl-protocol(7) 2.6)."""

    data: bytes


class ControlFrame(NamedTuple):
    """A close, ping or pong frame; on a live connection the library has answered it already."""

    frame: Frame


ReceivedMessage = BinaryMessages | TextMessage | ControlFrame


@dataclass(frozen=True, slots=True)
class FrameFault:
    rule: str
    detail: str


class MessageAssembler:
    """Join the frames of one sender to messages."""

    def __init__(self, *, masked: bool, max_message: int = MAX_MESSAGE_BYTES) -> None:
        self._masked = masked  # whether this sender has to mask its frames
        self._max_message = max_message  # bytes held at most; a longer message only gives a fault
        self._parts: bytearray | None = None
        self._fragments: list[int] = []
        self._opcode = Opcode.BINARY
        self._too_long = False

    def feed_frame(self, frame: RawFrame) -> Sequence[ReceivedMessage | FrameFault]:
        fin, rsv, opcode, masked, payload = frame
        # Nearly every frame takes this shortcut, which is three times as fast.
        if opcode == _BINARY and fin and not rsv and masked is self._masked and self._parts is None:
            if len(payload) > self._max_message:
                return (self._too_long_fault(),)
            return (BinaryMessages(payload, len(payload), 1),)
        return list(self._check_frame(frame))

    def accepts_binary(self, size: int) -> bool:
        """Return whether a faultless single binary frame of ``size`` bytes would be a message now."""
        return self._parts is None and size <= self._max_message

    def _check_frame(self, frame: RawFrame) -> Iterator[ReceivedMessage | FrameFault]:
        if frame.masked is not self._masked:
            yield FrameFault("frame-masking", "a frame without a mask" if self._masked else "a masked frame")
        if frame.rsv:
            yield FrameFault("frame-reserved-bits", f"a frame with the reserved bits {frame.rsv:03b}")
        if frame.opcode not in OPCODES:
            yield FrameFault("frame-opcode", f"a frame with the reserved opcode {frame.opcode}")
        elif frame.opcode & CONTROL:
            if not frame.fin or len(frame.payload) > MAX_CONTROL_BYTES:
                yield FrameFault("frame-control", "a control frame that is fragmented or too long")
            yield ControlFrame(Frame(Opcode(frame.opcode), frame.payload, frame.fin))
        else:
            yield from self._join_fragment(frame)

    def _join_fragment(self, frame: RawFrame) -> Iterator[ReceivedMessage | FrameFault]:
        if frame.opcode != Opcode.CONT:
            if self._parts is not None:
                yield FrameFault("frame-order", "a new message before the end of a fragmented one")
            self._parts, self._opcode, self._too_long = bytearray(), Opcode(frame.opcode), False
            self._fragments = []
        elif self._parts is None:
            yield FrameFault("frame-order", "a continuation frame without a message")
            return
        parts = self._parts
        assert parts is not None
        if not self._too_long and len(parts) + len(frame.payload) > self._max_message:
            self._too_long = True
            parts.clear()
            yield self._too_long_fault()
        if not self._too_long:
            parts += frame.payload
            add_fragment(self._fragments, len(frame.payload))
        if frame.fin:
            self._parts = None
            if not self._too_long:
                data = bytes(parts)
                sizes = tuple(self._fragments) if frame.opcode == Opcode.CONT else ()
                yield TextMessage(data) if self._opcode is Opcode.TEXT else BinaryMessages(data, len(data), 1, sizes)

    def _too_long_fault(self) -> FrameFault:
        return FrameFault("message-too-long", f"a message of more than {self._max_message} bytes")
