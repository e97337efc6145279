"""
Read the bytes that a server sends as messages: short whole frames on a fast path, the rest through ``websockets``.
How the connection ends on a Close or a faulty frame follows jambonz (listenctl-protocol(7) 13), not the library.
"""

from collections.abc import Sequence
from typing import NamedTuple

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

from listenctl.protocol.frames.frame_format import (
    CONTROL,
    FIN,
    FINAL_BINARY,
    FINAL_TEXT,
    LENGTH_16,
    MASKED,
    MAX_CONTROL_BYTES,
    OPCODES,
    RESERVED,
    parse_sizes,
)
from listenctl.protocol.frames.frame_rate_limit import FRAMES_PER_TURN
from listenctl.protocol.frames.websocket_messages import MAX_MESSAGE_BYTES, add_fragment

_PROTOCOL_ERROR = b"\x03\xea"


class ServerMessage(NamedTuple):
    is_text: bool
    data: bytes
    fragments: Sequence[int] = ()  # the bytes of each frame of a message that came in several; empty for a single one


class PongReply(NamedTuple):
    """The masked frame that answers a ping, to be sent at once."""

    frame: bytes


class ServerStreamEnd(NamedTuple):
    """The end of the stream: a Close or a fault; everything after it is ignored."""

    answer: bytes = b""  # the masked Close to send before the connection ends; empty where jambonz drops it without one
    is_close: bool = False  # whether the server sent a Close, valid or not
    code: int | None = None  # of the server's Close, or of the Close that answers a fault; None without one
    reason: str = ""
    fault: str = ""  # what was wrong; empty after a valid Close


ServerEvent = ServerMessage | PongReply | ServerStreamEnd


class ServerFrameReader:
    __slots__ = (
        "_ended",
        "_fragments",
        "_max_size",
        "_message",
        "_missing",
        "_opcode",
        "_protocol",
        "_rest",
        "frames",
        "left",
    )

    def __init__(self, max_size: int = MAX_MESSAGE_BYTES) -> None:
        self._protocol = Protocol(Side.CLIENT, max_size=max_size)
        self._max_size = max_size
        self._rest = b""  # part of a header or of a Close
        self._missing = 0  # bytes missing of a frame that the library has begun
        self._message: bytearray | None = None  # a fragmented message so far; empty fragments cost no memory
        self._fragments: list[int] = []
        self._opcode = Opcode.BINARY
        self._ended = False
        self.left = b""
        """What the last ``receive_data`` left for the next one, because it had taken the frames of a turn."""
        self.frames = 0  # how many the last ``receive_data`` took

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        """Return what is in ``data``, which begins with what the last call left, or in its first frames."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        events: list[ServerEvent] = []
        self.left = b""
        self.frames = 0
        at = 0
        while at < len(data) and not self._ended:
            if self.frames >= FRAMES_PER_TURN:
                self.left = data[at:]
                break
            taken = 0
            if not self._missing and self._message is None:
                before = len(events)
                taken = _take_whole(data, at, events, self._max_size)
                self.frames += len(events) - before
            taken = taken or self._take_other(data, at, events)
            if not taken:
                self._rest = data[at:]
                break
            at += taken
        return events

    def _take_other(self, data: bytes, at: int, events: list[ServerEvent]) -> int:
        if not self._missing:
            if len(data) - at < 2:
                return 0
            if ended := self._check_header(data[at], data[at + 1]):
                return self._end(ended, events)
            sizes = parse_sizes(data, at)
            if sizes is None:
                return 0
            frame_bytes = sum(sizes)
            if data[at] == FIN | Opcode.CLOSE:
                payload = data[at + 2 : at + frame_bytes]
                return self._end(_close(payload), events) if len(payload) == frame_bytes - 2 else 0
            self._missing = frame_bytes
        taken = min(self._missing, len(data) - at)
        self._missing -= taken
        self._pass_to_library(data[at : at + taken], events)
        return taken

    def _check_header(self, first: int, second: int) -> ServerStreamEnd | None:
        """Return the end if a header's first two bytes are invalid; the library would wait for the payload first."""
        opcode = first & 0x0F
        fault = ""
        if first & RESERVED:
            fault = "a frame with reserved bits"
        elif opcode not in OPCODES:
            fault = f"a frame with the reserved opcode {opcode}"
        elif second & MASKED:
            return ServerStreamEnd(_close_answer(_PROTOCOL_ERROR), code=1002, fault="a masked frame")
        elif opcode & CONTROL and (not first & FIN or second > MAX_CONTROL_BYTES):
            fault = "a control frame that is fragmented or too long"
        elif not opcode & CONTROL and (opcode == Opcode.CONT) == (self._message is None):
            fault = (
                "a continuation frame without a message"
                if opcode == Opcode.CONT
                else "a message inside a fragmented one"
            )
        return ServerStreamEnd(fault=fault) if fault else None

    def _pass_to_library(self, data: bytes, events: list[ServerEvent]) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            self.frames += 1
            self._assemble(event, events)
        answers = self._protocol.data_to_send()
        if self._protocol.parser_exc is not None:
            self._end(ServerStreamEnd(fault=f"an invalid message: {self._protocol.parser_exc}"), events)
        else:
            events.extend(map(PongReply, answers))

    def _assemble(self, frame: Frame, events: list[ServerEvent]) -> None:
        if frame.opcode & CONTROL:
            return
        fragmented = not frame.fin or frame.opcode is Opcode.CONT
        if not fragmented:
            events.append(ServerMessage(frame.opcode is Opcode.TEXT, bytes(frame.data)))
            return
        if self._message is None:
            self._message, self._opcode, self._fragments = bytearray(), frame.opcode, []
        self._message += frame.data
        add_fragment(self._fragments, len(frame.data))
        if frame.fin:
            events.append(ServerMessage(self._opcode is Opcode.TEXT, bytes(self._message), tuple(self._fragments)))
            self._message = None

    def _end(self, ended: ServerStreamEnd, events: list[ServerEvent]) -> int:
        self._ended = True
        events.append(ended)
        return 1


def _take_whole(data: bytes, at: int, events: list[ServerEvent], max_size: int) -> int:
    start, end, most = at, len(data), len(events) + FRAMES_PER_TURN
    while end - at >= 2 and len(events) < most:
        first, length, body = data[at], data[at + 1], at + 2
        if length == LENGTH_16 and end - at >= 4:
            length, body = data[at + 2] << 8 | data[at + 3], at + 4
        elif length >= LENGTH_16:
            break
        if (first != FINAL_BINARY and first != FINAL_TEXT) or body + length > end or length > max_size:
            break
        events.append(ServerMessage(first == FINAL_TEXT, data[body : body + length]))
        at = body + length
    return at - start


def _close(payload: bytes) -> ServerStreamEnd:
    """Return how jambonz answers a Close: it echoes it unless the code is invalid (listenctl-protocol(7) 13)."""
    if not payload:
        return ServerStreamEnd(_close_answer(b""), True)
    if len(payload) == 1:
        return ServerStreamEnd(_close_answer(b""), True, fault="a Close of one byte")
    code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")
    try:
        Close(code, "").check()
    except ProtocolError:
        fault = f"a Close with the invalid code {code}"
        return ServerStreamEnd(_close_answer(_PROTOCOL_ERROR), True, code, reason, fault)
    return ServerStreamEnd(_close_answer(payload), True, code, reason)


def _close_answer(payload: bytes) -> bytes:
    return Frame(Opcode.CLOSE, payload).serialize(mask=True)
