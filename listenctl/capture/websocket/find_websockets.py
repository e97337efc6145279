"""
Find WebSocket frames in the data of both ends of a connection, on any port and from any point on.
After missing data, reading continues where frames follow one another. The client is the side that sent the request,
or that masks its frames.
"""

from dataclasses import dataclass
from enum import Enum, auto

from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.capture.websocket.find_frame_start import FrameStartSearch, HeldBytes
from listenctl.capture.websocket.http_heads import MAX_HEAD, SWITCHING, HeadKind, HttpHead, detect_head, parse_head
from listenctl.capture.websocket.inflate_frames import FrameInflater, InflationBudget
from listenctl.protocol.frames.raw_frame_reader import RawFrame, RawFrameReader
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.timeline import TimedFrame

DEFLATE = "permessage-deflate"
_OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
MAX_BRIDGED = 65_536
"""Bytes that may be missing in a frame whose header leads to the next one."""


@dataclass(frozen=True, slots=True)
class UpgradeRequested:
    at: float
    request: HttpHead


@dataclass(frozen=True, slots=True)
class UpgradeAnswered:
    """The server accepted with 101, or refused."""

    at: float
    response: HttpHead


@dataclass(frozen=True, slots=True)
class BytesLost:
    """Bytes of one side are missing, or can't be read as frames; ``size`` is None if their number is unknown."""

    at: float
    sender: Sender
    size: int | None
    detail: str
    cut_by: Sender | None = None  # who ended the stream there; None if the capture lacks the bytes


@dataclass(frozen=True, slots=True)
class SideEnded:
    at: float
    sender: Sender
    how: StreamEnding


WebSocketEvent = TimedFrame | UpgradeRequested | UpgradeAnswered | BytesLost | SideEnded


class _State(Enum):
    HEAD = auto()
    FRAMES = auto()
    SEARCH = auto()


class _Side:
    def __init__(self) -> None:
        self.state = _State.HEAD
        self.reader = RawFrameReader()
        self.search = FrameStartSearch()
        self.inflater: FrameInflater | None = None
        self.head = b""
        self.skip = 0  # bytes of a body, or of a frame with missing bytes, before the next data to read
        self.upgraded = False
        self.ended = False

    @property
    def held_bytes(self) -> int:
        return self.reader.held_bytes + self.search.held_bytes + len(self.head)


class WebSocketFinder:
    """Read one connection; its sides are 0 and 1, in any order."""

    def __init__(self, *, has_handshake: bool, budget: InflationBudget | None = None) -> None:
        self._has_handshake = has_handshake  # whether the capture has the connection from its first byte on
        self._budget = budget or InflationBudget()  # of the capture, for compressed messages
        self._sides = (_Side(), _Side())
        self.client: int | None = None  # the side of the client, once known
        self._found = False
        self.is_other_protocol = False  # whether this isn't WebSocket, so that nothing more needs to be fed

    @property
    def is_searching(self) -> bool:
        """Whether there is data in which the start of a frame is not found yet."""
        return any(side.state is _State.SEARCH and side.search.held_bytes > 0 for side in self._sides)

    @property
    def held_bytes(self) -> int:
        return sum(side.held_bytes for side in self._sides)

    def drop_incomplete(self, at: float) -> list[WebSocketEvent]:
        return [
            item
            for number, side in enumerate(self._sides)
            if side.held_bytes
            for item in self.skip_missing(number, at, None)
        ]

    def fast_reader(self, number: int) -> tuple[RawFrameReader, Sender] | None:
        """
        Return the reader of a side that only has to be split into frames, None otherwise. It may be used instead of
        ``feed`` until any other call. Its fault is for ``report_fault``.
        """
        side = self._sides[number]
        if side.state is not _State.FRAMES or side.skip or side.inflater:
            return None
        return side.reader, self._sender(number)

    def report_fault(self, number: int, at: float) -> list[WebSocketEvent]:
        """Report the fault of a side's reader, if it has one, and search for the next frame."""
        side = self._sides[number]
        if not side.reader.fault:
            return []
        fault = BytesLost(at, self._sender(number), None, side.reader.fault)
        self._start_search(number)
        return [fault]

    def feed(self, number: int, at: float, data: bytes) -> list[WebSocketEvent]:
        side = self._sides[number]
        if side.skip:
            data, side.skip = data[side.skip :], max(0, side.skip - len(data))
            if not data:
                return []
        if side.state is _State.FRAMES:
            return self._read_frames(number, at, data)
        if side.state is _State.HEAD:
            side.head += data
            return self._read_heads(number, at)
        return self._resume(number, at, side.search.feed(at, data))

    def skip_missing(self, number: int, at: float, size: int | None) -> list[WebSocketEvent]:
        side = self._sides[number]
        if size is not None and size <= side.skip:
            side.skip -= size
            return []
        if side.state is _State.SEARCH and size is not None and size <= MAX_BRIDGED:
            return self._resume(number, at, side.search.skip_missing(at, size))
        items: list[WebSocketEvent] = []
        cut = None
        if side.state is _State.FRAMES:
            cut = side.reader.incomplete_frame()
            if side.inflater:
                side.inflater.skip_missing()
        elif side.state is _State.SEARCH:
            items += self._resume(number, at, side.search.end_data())
        elif (kind := detect_head(side.head)) in (HeadKind.REQUEST, HeadKind.RESPONSE):
            self.client = number if kind is HeadKind.REQUEST else 1 - number
        if self._found:
            known = "an unknown number of bytes" if size is None else f"{size} bytes"
            within = f", the first in {_describe_place(cut)}" if cut else ""
            items.append(BytesLost(at, self._sender(number), size, f"{known} missing in the capture{within}"))
        if cut and size is not None and size <= cut[1]:
            # The header of the frame tells where the next one starts.
            side.reader, side.skip = RawFrameReader(), cut[1] - size
        else:
            self._start_search(number)
        return items

    def end_side(self, number: int, at: float, how: StreamEnding, *, lacks_data: bool = False) -> list[WebSocketEvent]:
        """End a side; with ``lacks_data`` the side sent more than the capture has, or than can be decrypted."""
        side = self._sides[number]
        if side.ended:
            return []
        side.ended = True
        items: list[WebSocketEvent] = []
        if side.state is _State.SEARCH:
            items += self._resume(number, at, side.search.end_data())
        elif side.state is _State.FRAMES and side.reader.held_bytes and how.is_seen and not lacks_data:
            cut = side.reader.incomplete_frame()
            detail = f"the stream ends ({how}) in {_describe_place(cut)}"
            cut_by = self._sender(1 - number if how is StreamEnding.RESET_BY_RECEIVER else number)
            items.append(BytesLost(at, self._sender(number), cut[1] if cut else None, detail, cut_by))
        if self._found:
            items.append(SideEnded(at, self._sender(number), how))
        return items

    def _sender(self, number: int) -> Sender:
        return Sender.JAMBONZ if number == self.client else Sender.APPLICATION

    def _read_frames(self, number: int, at: float, data: bytes) -> list[WebSocketEvent]:
        side, sender = self._sides[number], self._sender(number)
        frames = side.reader.feed(data)
        items: list[WebSocketEvent] = []
        for frame in frames:
            inflated = side.inflater.inflate_frame(frame) if side.inflater else frame
            if inflated:
                items.append(TimedFrame(at, sender, inflated))
            elif side.inflater and (fault := side.inflater.take_fault()):
                items.append(BytesLost(at, sender, None, fault))
        return items + self.report_fault(number, at)

    def _read_heads(self, number: int, at: float) -> list[WebSocketEvent]:
        side = self._sides[number]
        items: list[WebSocketEvent] = []
        while side.head:
            kind = detect_head(side.head)
            if kind is HeadKind.OTHER:
                return items + self._read_other(number, at)
            head = None if kind is HeadKind.UNDECIDED else parse_head(side.head)
            if head is None:
                return items + self._read_other(number, at) if len(side.head) > MAX_HEAD else items
            self.client = number if kind is HeadKind.REQUEST else 1 - number
            side.head = side.head[len(head.raw) :]
            requested = self._sides[self.client].upgraded
            if kind is HeadKind.RESPONSE and (head.is_upgrade or (requested and head.status == SWITCHING)):
                self._found = True
                return [*items, UpgradeAnswered(at, head), *self._switch_to_frames(number, at, head)]
            if head.is_upgrade:
                self._found = side.upgraded = True
                items.append(UpgradeRequested(at, head))
                continue
            if kind is HeadKind.RESPONSE and requested and head.status >= 200:
                self._sides[self.client].upgraded = False
                items.append(UpgradeAnswered(at, head))
            side.skip = max(0, head.body_size - len(side.head))
            side.head = side.head[head.body_size :]
        return items

    def _switch_to_frames(self, number: int, at: float, head: HttpHead) -> list[WebSocketEvent]:
        for other, side in enumerate(self._sides):
            side.inflater = _inflater(head, self._budget, by_client=other == self.client)
        side = self._sides[number]
        side.state, rest, side.head = _State.FRAMES, side.head, b""
        return self._read_frames(number, at, rest) if rest else []

    def _read_other(self, number: int, at: float) -> list[WebSocketEvent]:
        side = self._sides[number]
        data, side.head = side.head, b""
        if side.upgraded:
            side.state = _State.FRAMES
            return self._read_frames(number, at, data)
        if self._has_handshake and not self._found:
            self.is_other_protocol = True
            return []
        self._start_search(number)
        return self._resume(number, at, side.search.feed(at, data))

    def _start_search(self, number: int) -> None:
        side = self._sides[number]
        side.state, side.skip, side.head = _State.SEARCH, 0, b""
        side.reader = RawFrameReader()
        masked = None if self.client is None else number == self.client
        side.search = FrameStartSearch(masked, compressed=side.inflater is not None)

    def _resume(self, number: int, at: float, found: list[HeldBytes] | None) -> list[WebSocketEvent]:
        """Continue with the frames that a search found, if any."""
        side = self._sides[number]
        if found is None:
            self.is_other_protocol = not self._found and all(one.search.skipped or one.ended for one in self._sides)
            return []
        if self.client is None:
            self.client = number if side.search.masked else 1 - number
            self._sides[1 - number].search.masked = not side.search.masked
        self._found = True
        side.state = _State.FRAMES
        items: list[WebSocketEvent] = []
        if skipped := side.search.skipped:
            detail = f"{skipped} bytes before the next detected frame belong to no frame"
            items.append(BytesLost(found[0][0] if found else at, self._sender(number), skipped, detail))
        for then, data, missing in found:
            items += self.skip_missing(number, then, len(data)) if missing else self.feed(number, then, data)
        return items


def _describe_place(cut: tuple[RawFrame, int] | None) -> str:
    if cut is None:
        return "a header"
    (_, _, opcode, _, payload), missing = cut
    kind = _OPCODES.get(opcode, f"opcode {opcode}")
    return f"a {kind} frame, after {len(payload)} of {len(payload) + missing} bytes"


def _inflater(head: HttpHead, budget: InflationBudget, *, by_client: bool) -> FrameInflater | None:
    for offer in head.header("sec-websocket-extensions").split(","):
        name, *parameters = (part.strip().lower() for part in offer.split(";"))
        if name == DEFLATE:
            who = "client" if by_client else "server"
            return FrameInflater(budget, keeps_context=f"{who}_no_context_takeover" not in parameters)
    return None
