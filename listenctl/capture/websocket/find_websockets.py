"""
Find WebSocket in what both ends of a connection say, whatever its ports and wherever the capture begins.

From a handshake on, frames are cut one after another. Where there is none, or where something is missing, the next
place is sought at which frames follow one another, and what had to be left out is told. Which end is the client is
known from its request, else from its masks.
"""

from enum import Enum, auto

from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.capture.websocket.find_frame_start import FrameStartSearch, HeldBytes
from listenctl.capture.websocket.http_heads import MAX_HEAD, SWITCHING, Head, HeadKind, detect_head, parse_head
from listenctl.capture.websocket.inflate_frames import FrameInflater
from listenctl.capture.websocket.websocket_events import (
    BytesMissing,
    FramesResumed,
    FramesUnreadable,
    SideEnded,
    UpgradeAnswered,
    UpgradeRequested,
    WebSocketEvent,
)
from listenctl.protocol.frames.raw_frame_reader import RawFrameReader
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.timeline import TimedFrame

DEFLATE = "permessage-deflate"
MAX_BRIDGED = 65_536
"""Bytes that may be missing in a frame by which the next ones are found."""


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
        self.skip = 0  # bytes of a body, or of a frame with a hole, that come before what is read next
        self.upgraded = False
        self.ended = False

    @property
    def held(self) -> int:
        return self.reader.held_bytes + self.search.held + len(self.head)


class WebSocketFinder:
    """
    Read one connection; its sides are numbered 0 and 1 as the caller likes.

    Args:
        whole: the connection is in the capture from its begin.
    """

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole
        self._sides = (_Side(), _Side())
        self._client: int | None = None
        self._found = False
        self.hopeless = False
        """Nothing here is WebSocket; nothing more need be fed."""

    @property
    def client(self) -> int | None:
        """The number of the client's side, None while that isn't known."""
        return self._client

    @property
    def seeking(self) -> bool:
        """Whether something was said of which it isn't known yet where its frames begin."""
        return any(side.state is _State.SEARCH and side.search.held > 0 for side in self._sides)

    @property
    def held(self) -> int:
        """Bytes of memory that what isn't complete takes."""
        return sum(side.held for side in self._sides)

    def give_up(self, at: float) -> list[WebSocketEvent]:
        """Drop what isn't complete."""
        return [item for number, side in enumerate(self._sides) if side.held for item in self.hole(number, at, None)]

    def lane(self, number: int) -> tuple[RawFrameReader, Sender] | None:
        """
        Return what reads a side as long as it sends frames and nothing else happens, None while it isn't so simple.

        What the reader gives is what ``take`` would; its fault is for ``fault``, and after any other call there may be
        another reader.
        """
        side = self._sides[number]
        if side.state is not _State.FRAMES or side.skip or side.inflater:
            return None
        return side.reader, self._sender(number)

    def fault(self, number: int, at: float) -> list[WebSocketEvent]:
        """Take note of the fault of a side's reader, if it has one."""
        side = self._sides[number]
        if not side.reader.fault:
            return []
        garbled = FramesUnreadable(at, self._sender(number), side.reader.fault)
        self._seek(number)
        return [garbled]

    def take(self, number: int, at: float, data: bytes) -> list[WebSocketEvent]:
        """Take what a side said next."""
        side = self._sides[number]
        if side.skip:
            data, side.skip = data[side.skip :], max(0, side.skip - len(data))
            if not data:
                return []
        if side.state is _State.FRAMES:
            return self._frames(number, at, data)
        if side.state is _State.HEAD:
            side.head += data
            return self._heads(number, at)
        return self._sought(number, at, side.search.feed(at, data))

    def hole(self, number: int, at: float, size: int | None) -> list[WebSocketEvent]:
        """Take note that the next bytes of a side are missing."""
        side = self._sides[number]
        if size is not None and size <= side.skip:
            side.skip -= size
            return []
        if side.state is _State.SEARCH and size is not None and size <= MAX_BRIDGED:
            return self._sought(number, at, side.search.miss(at, size))
        items: list[WebSocketEvent] = []
        cut = None
        if side.state is _State.FRAMES:
            cut = side.reader.incomplete_frame()
            if side.inflater:
                side.inflater.lose()
        elif side.state is _State.SEARCH:
            items += self._sought(number, at, side.search.finish())
        elif (kind := detect_head(side.head)) in (HeadKind.REQUEST, HeadKind.RESPONSE):
            self._client = number if kind is HeadKind.REQUEST else 1 - number
        if self._found:
            frame, missing = cut or (None, 0)
            items.append(
                BytesMissing(at, self._sender(number), size, frame, len(frame.payload) + missing if frame else 0)
            )
        if cut and size is not None and size <= cut[1]:
            # The frame says itself where the next one begins.
            side.reader, side.skip = RawFrameReader(), cut[1] - size
        else:
            self._seek(number)
        return items

    def end(self, number: int, at: float, how: StreamEnding) -> list[WebSocketEvent]:
        """Take note that a side's stream ended."""
        side = self._sides[number]
        if side.ended:
            return []
        side.ended = True
        items: list[WebSocketEvent] = []
        if side.state is _State.SEARCH:
            items += self._sought(number, at, side.search.finish())
        elif side.state is _State.FRAMES and side.reader.held_bytes:
            frame, missing = side.reader.incomplete_frame() or (None, None)
            length = len(frame.payload) + (missing or 0) if frame else 0
            items.append(BytesMissing(at, self._sender(number), missing, frame, length, how))
        if self._found:
            items.append(SideEnded(at, self._sender(number), how))
        return items

    def _sender(self, number: int) -> Sender:
        return Sender.JAMBONZ if number == self._client else Sender.APPLICATION

    def _frames(self, number: int, at: float, data: bytes) -> list[WebSocketEvent]:
        side, sender = self._sides[number], self._sender(number)
        frames = side.reader.feed(data)
        items: list[WebSocketEvent] = []
        for frame in frames:
            inflated = side.inflater.frame(frame) if side.inflater else frame
            if inflated:
                items.append(TimedFrame(at, sender, inflated))
            elif side.inflater and (fault := side.inflater.take_fault()):
                items.append(FramesUnreadable(at, sender, fault))
        return items + self.fault(number, at)

    def _heads(self, number: int, at: float) -> list[WebSocketEvent]:
        """Take the heads that are complete."""
        side = self._sides[number]
        items: list[WebSocketEvent] = []
        while side.head:
            kind = detect_head(side.head)
            if kind is HeadKind.OTHER:
                return items + self._no_head(number, at)
            head = None if kind is HeadKind.UNDECIDED else parse_head(side.head)
            if head is None:
                return items + self._no_head(number, at) if len(side.head) > MAX_HEAD else items
            self._client = number if kind is HeadKind.REQUEST else 1 - number
            side.head = side.head[len(head.raw) :]
            asked = self._sides[self._client].upgraded
            if kind is HeadKind.RESPONSE and (head.upgrades or (asked and head.status == SWITCHING)):
                self._found = True
                return [*items, UpgradeAnswered(at, head), *self._upgraded(number, at, head)]
            if head.upgrades:
                self._found = side.upgraded = True
                items.append(UpgradeRequested(at, head))
                continue
            if kind is HeadKind.RESPONSE and asked and head.status >= 200:
                self._sides[self._client].upgraded = False
                items.append(UpgradeAnswered(at, head))
            side.skip = max(0, head.body - len(side.head))
            side.head = side.head[head.body :]
        return items

    def _upgraded(self, number: int, at: float, head: Head) -> list[WebSocketEvent]:
        """Go on with frames after the server's answer."""
        for other, side in enumerate(self._sides):
            side.inflater = _inflater(head, by_client=other == self._client)
        side = self._sides[number]
        side.state, rest, side.head = _State.FRAMES, side.head, b""
        return self._frames(number, at, rest) if rest else []

    def _no_head(self, number: int, at: float) -> list[WebSocketEvent]:
        """Go on where no HTTP is."""
        side = self._sides[number]
        data, side.head = side.head, b""
        if side.upgraded:
            side.state = _State.FRAMES
            return self._frames(number, at, data)
        if self._whole and not self._found:
            self.hopeless = True
            return []
        self._seek(number)
        return self._sought(number, at, side.search.feed(at, data))

    def _seek(self, number: int) -> None:
        side = self._sides[number]
        side.state, side.skip, side.head = _State.SEARCH, 0, b""
        side.reader = RawFrameReader()
        masked = None if self._client is None else number == self._client
        side.search = FrameStartSearch(masked, compressed=side.inflater is not None)

    def _sought(self, number: int, at: float, found: list[HeldBytes] | None) -> list[WebSocketEvent]:
        """Go on with frames where they begin."""
        side = self._sides[number]
        if found is None:
            self.hopeless = not self._found and all(one.search.hopeless or one.ended for one in self._sides)
            return []
        if self._client is None:
            self._client = number if side.search.masked else 1 - number
            self._sides[1 - number].search.masked = not side.search.masked
        self._found = True
        side.state = _State.FRAMES
        items: list[WebSocketEvent] = [
            FramesResumed(found[0][0] if found else at, self._sender(number), side.search.skipped)
        ]
        for then, data, missing in found:
            items += self.hole(number, then, len(data)) if missing else self.take(number, then, data)
        return items


def _inflater(head: Head, *, by_client: bool) -> FrameInflater | None:
    """Return what decompresses one side's frames, if the server agreed on that."""
    for offer in head.header("sec-websocket-extensions").split(","):
        name, *parameters = (part.strip().lower() for part in offer.split(";"))
        if name == DEFLATE:
            who = "client" if by_client else "server"
            return FrameInflater(keeps_context=f"{who}_no_context_takeover" not in parameters)
    return None
