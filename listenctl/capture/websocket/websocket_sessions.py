"""WebSocket sessions out of the connections of a capture, those under TLS included."""

from collections.abc import Iterable, Iterator

from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.packets.packet_batches import CaptureNotice, EmbeddedSecrets, PacketBatch
from listenctl.capture.packets.tcp_events import TcpData, TcpEvent, TcpGap, TcpStream, TcpStreamEnded
from listenctl.capture.packets.tcp_streams import read_tcp
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.websocket.captured_connection import CapturedConnection

MAX_HELD_TOGETHER = 1 << 27
"""Bytes of messages that aren't complete, on all connections."""
LOOK_AFTER = 32
"""So many chunks of the capture may come before that is looked at, which takes a while with many connections."""


class WebSocketSessionReader:
    """
    Find the sessions among the connections of a capture.

    Args:
        source: the file that they are in.
        keylog: secrets for those under TLS; those that the capture brings are added to it.
        numbers: what sessions are called.
        runs: give audio in runs, one session after another; else all frames are nearly in order across sessions.
    """

    def __init__(self, source: str, keylog: KeyLog, numbers: Iterator[int], *, runs: bool = False) -> None:
        self._source = source
        self._keylog = keylog
        self._numbers = numbers
        self._runs = runs
        self._feeds = 0
        # None for a connection that is known to hold no session.
        self._conversations: dict[TcpStream, tuple[CapturedConnection, int] | None] = {}
        # Pieces that may be audio in a row; none from one feed to the next.
        self._waiting: dict[TcpStream, list[TcpData]] = {}

    def feed(self, events: Iterable[TcpEvent | CaptureNotice | EmbeddedSecrets]) -> list[CaptureEvent]:
        """Return what is said in sessions, and the notices as they are."""
        found: list[CaptureEvent] = []
        waiting = self._waiting
        at = 0.0
        for event in events:
            if type(event) is TcpData:
                at, stream, _, _ = event
                if (pieces := waiting.get(stream)) is not None:
                    pieces.append(event)
                else:
                    found += self._piece(event)
            else:
                found += self._other(event)
        for stream in list(waiting):
            found += self._release(stream)
        self._feeds += 1
        if self._feeds % LOOK_AFTER == 0:
            found += self._bound(at)
        return found

    def finish(self) -> list[CaptureEvent]:
        """Return what the end of the capture means for connections of which it has one direction only."""
        left = dict.fromkeys(entry[0] for entry in self._conversations.values() if entry)
        self._conversations.clear()
        return [event for conversation in left for event in conversation.finish()]

    def _piece(self, piece: TcpData) -> list[CaptureEvent]:
        at, stream, data, packet = piece
        found = self._release(stream.opposite) if self._waiting else []
        if stream not in self._conversations:
            self._meet(piece)
        if entry := self._conversations.get(stream):
            conversation, number = entry
            if self._runs and conversation.sends_frames(number):
                self._waiting[stream] = [piece]
                return found
            found += conversation.take(number, at, data, packet)
            if conversation.hopeless:
                self._leave(conversation)
        return found

    def _release(self, stream: TcpStream) -> list[CaptureEvent]:
        """Take what has waited of a stream, before anything else of its session."""
        pieces, entry = self._waiting.pop(stream, None), self._conversations.get(stream)
        if not pieces or not entry:
            return []
        conversation, number = entry
        return conversation.take_all(number, pieces)

    def _other(self, event: TcpEvent | CaptureNotice | EmbeddedSecrets) -> list[CaptureEvent]:
        match event:
            case TcpGap(stream=stream):
                return [*self._release(stream), *self._release(stream.opposite), *self._hole(event)]
            case TcpStreamEnded(stream=stream):
                return [*self._release(stream), *self._release(stream.opposite), *self._closed(event)]
            case CaptureNotice():
                return [event]
            case EmbeddedSecrets(text):
                self._keylog.add_lines(text)
        return []

    def _bound(self, at: float) -> list[CaptureEvent]:
        """Keep memory bounded however many messages are begun and never end: the longest are given up."""
        conversations = {entry[0] for entry in self._conversations.values() if entry}
        held = sum(conversation.held for conversation in conversations)
        found: list[CaptureEvent] = []
        for conversation in sorted(conversations, key=lambda one: one.held, reverse=True):
            if held <= MAX_HELD_TOGETHER:
                break
            held -= conversation.held
            found += conversation.give_up(at)
        return found

    def _meet(self, first: TcpData) -> None:
        if all(stream.closed for stream in first.stream.connection.streams):
            # What is said after a reset that its receiver ignored is part of no session.
            return
        conversation = CapturedConnection(first, self._keylog, self._source, self._numbers)
        for number, stream in enumerate(first.stream.connection.streams):
            self._conversations[stream] = (conversation, number)

    def _leave(self, conversation: CapturedConnection) -> None:
        self._conversations.update(dict.fromkeys(conversation.connection.streams))

    def _hole(self, hole: TcpGap) -> list[CaptureEvent]:
        if hole.stream not in self._conversations:
            # The next data isn't the first of the connection.
            hole.stream.connection.has_handshake = False
        elif entry := self._conversations[hole.stream]:
            conversation, number = entry
            return conversation.hole(number, hole.at, hole.size)
        return []

    def _closed(self, closed: TcpStreamEnded) -> list[CaptureEvent]:
        closed.stream.closed = True
        streams = closed.stream.connection.streams
        entry = self._conversations.get(closed.stream)
        events: list[CaptureEvent] = []
        if entry:
            conversation, number = entry
            events = conversation.end(number, closed.at, closed.how)
        if all(stream.closed for stream in streams):
            for stream in streams:
                self._conversations.pop(stream, None)
        return events


def read_websocket_sessions(
    packets: Iterable[PacketBatch | CaptureNotice | EmbeddedSecrets],
    source: str,
    keylog: KeyLog,
    numbers: Iterator[int],
    *,
    runs: bool = False,
) -> Iterator[list[CaptureEvent]]:
    """Yield the events of all sessions of a capture; for the arguments see ``WebSocketSessionReader``."""
    reader = WebSocketSessionReader(source, keylog, numbers, runs=runs)
    for events in read_tcp(packets):
        yield reader.feed(events)
    yield reader.finish()
