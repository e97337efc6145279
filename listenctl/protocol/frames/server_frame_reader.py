"""
What a server sends, as messages: short whole frames in a fast lane, the rest through ``websockets``.

A server's frames aren't masked, so one that is there in one piece is cut out of the read. The others (long ones, those
that a read ends in, fragments, pings) go to the library's sans-I/O parser. How jambonz ends a connection, on a Close or
on a faulty frame, is its own and not the library's (protocol.md 13).
"""

from typing import NamedTuple

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""jambonz takes any size (9.6 MB was tried); a limit is needed against a server that never ends its message."""

_FIN = 0x80
_RESERVED = 0x70
_CONTROL = 0x08
_MASKED = 0x80
_LENGTH_16 = 126
_MAX_CONTROL_BYTES = 125
_WHOLE_TEXT = _FIN | Opcode.TEXT
_WHOLE_BINARY = _FIN | Opcode.BINARY
_PROTOCOL_ERROR = b"\x03\xea"
_OPCODES = frozenset(Opcode)


class ServerMessage(NamedTuple):
    """One text or binary message, as it came: a text need not be UTF-8."""

    is_text: bool
    data: bytes
    fragmented: bool


class PongReply(NamedTuple):
    """The answer to a ping: a masked frame, to be sent at once."""

    frame: bytes


class ServerStreamEnd(NamedTuple):
    """
    The end of the stream: a Close, or a fault; what follows it is not looked at.

    Attributes:
        answer: the masked Close to send before the connection ends; empty where jambonz drops it without one.
        is_close: whether the server sent a Close, valid or not.
        code: that of the server's Close, or of the one that a fault is answered with; None where there is none.
        fault: what was wrong; empty after a proper Close.
    """

    answer: bytes
    is_close: bool
    code: int | None
    reason: str
    fault: str


ServerEvent = ServerMessage | PongReply | ServerStreamEnd


class ServerFrameReader:
    """Cut a stream of server frames into events, in order, whatever the cuts between reads."""

    __slots__ = ("_ended", "_max_size", "_message", "_opcode", "_owed", "_protocol", "_rest")

    def __init__(self, max_size: int = MAX_MESSAGE_BYTES) -> None:
        self._protocol = Protocol(Side.CLIENT, max_size=max_size)
        self._max_size = max_size
        self._rest = b""  # the begin of a header or of a Close
        self._owed = 0  # bytes of a frame that the library has begun and not seen the end of
        self._message: bytearray | None = None  # a fragmented message, joined at once: empty fragments cost nothing
        self._opcode = Opcode.BINARY
        self._ended = False

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        """Return what is complete after receiving ``data``."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        events: list[ServerEvent] = []
        at = 0
        while at < len(data) and not self._ended:
            taken = 0
            if not self._owed and self._message is None:
                taken = _take_whole(data, at, events, self._max_size)
            taken = taken or self._take_other(data, at, events)
            if not taken:
                self._rest = data[at:]
                break
            at += taken
        return events

    def _take_other(self, data: bytes, at: int, events: list[ServerEvent]) -> int:
        """Take one frame, or what is there of it; return its bytes, 0 to wait for more."""
        if not self._owed:
            if len(data) - at < 2:
                return 0
            if ended := self._condemn(data[at], data[at + 1]):
                return self._end(ended, events)
            frame_bytes = _frame_bytes(data, at)
            if not frame_bytes:
                return 0
            if data[at] == _FIN | Opcode.CLOSE:
                payload = data[at + 2 : at + frame_bytes]
                return self._end(_close(payload), events) if len(payload) == frame_bytes - 2 else 0
            self._owed = frame_bytes
        taken = min(self._owed, len(data) - at)
        self._owed -= taken
        self._consult(data[at : at + taken], events)
        return taken

    def _condemn(self, first: int, second: int) -> ServerStreamEnd | None:
        """Return the end that two bytes of a header bring; the library would wait for the payload first."""
        opcode = first & 0x0F
        fault = ""
        if first & _RESERVED:
            fault = "a frame with reserved bits"
        elif opcode not in _OPCODES:
            fault = f"a frame with the reserved opcode {opcode}"
        elif second & _MASKED:
            return ServerStreamEnd(_closing(_PROTOCOL_ERROR), False, 1002, "", "a masked frame")
        elif opcode & _CONTROL and (not first & _FIN or second > _MAX_CONTROL_BYTES):
            fault = "a control frame that is fragmented or too long"
        elif not opcode & _CONTROL and (opcode == Opcode.CONT) == (self._message is None):
            fault = "a continuation of nothing" if opcode == Opcode.CONT else "a message inside a fragmented one"
        return ServerStreamEnd(b"", False, None, "", fault) if fault else None

    def _consult(self, data: bytes, events: list[ServerEvent]) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            self._assemble(event, events)
        answers = self._protocol.data_to_send()
        if self._protocol.parser_exc is not None:
            self._end(
                ServerStreamEnd(b"", False, None, "", f"a message that can't be taken: {self._protocol.parser_exc}"),
                events,
            )
        else:
            events.extend(map(PongReply, answers))

    def _assemble(self, frame: Frame, events: list[ServerEvent]) -> None:
        if frame.opcode & _CONTROL:
            return
        fragmented = not frame.fin or frame.opcode is Opcode.CONT
        if not fragmented:
            events.append(ServerMessage(frame.opcode is Opcode.TEXT, bytes(frame.data), False))
            return
        if self._message is None:
            self._message, self._opcode = bytearray(), frame.opcode
        self._message += frame.data
        if frame.fin:
            events.append(ServerMessage(self._opcode is Opcode.TEXT, bytes(self._message), True))
            self._message = None

    def _end(self, ended: ServerStreamEnd, events: list[ServerEvent]) -> int:
        self._ended = True
        events.append(ended)
        return 1


def _take_whole(data: bytes, at: int, events: list[ServerEvent], max_size: int) -> int:
    """Cut out the unfragmented messages at ``at``; return their bytes, 0 when there is none to take here."""
    start, end = at, len(data)
    while end - at >= 2:
        first, length, body = data[at], data[at + 1], at + 2
        if length == _LENGTH_16 and end - at >= 4:
            length, body = data[at + 2] << 8 | data[at + 3], at + 4
        elif length >= _LENGTH_16:
            break
        if (first != _WHOLE_BINARY and first != _WHOLE_TEXT) or body + length > end or length > max_size:
            break
        events.append(ServerMessage(first == _WHOLE_TEXT, data[body : body + length], False))
        at = body + length
    return at - start


def _frame_bytes(data: bytes, at: int) -> int:
    """Return the length of the unmasked frame at ``at``, or 0 when its header isn't complete."""
    length, header_bytes = data[at + 1], 2
    if length >= _LENGTH_16:
        header_bytes = 4 if length == _LENGTH_16 else 10
        if len(data) - at < header_bytes:
            return 0
        length = int.from_bytes(data[at + 2 : at + header_bytes], "big")
    return header_bytes + length


def _close(payload: bytes) -> ServerStreamEnd:
    """Return how jambonz answers a Close: with the same, but for an invalid code or half of one (protocol.md 13)."""
    if not payload:
        return ServerStreamEnd(_closing(b""), True, None, "", "")
    if len(payload) == 1:
        return ServerStreamEnd(_closing(b""), True, None, "", "a Close of one byte")
    code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")
    try:
        Close(code, "").check()
    except ProtocolError:
        return ServerStreamEnd(_closing(_PROTOCOL_ERROR), True, code, reason, f"a Close with the invalid code {code}")
    return ServerStreamEnd(_closing(payload), True, code, reason, "")


def _closing(payload: bytes) -> bytes:
    return Frame(Opcode.CLOSE, payload).serialize(mask=True)
