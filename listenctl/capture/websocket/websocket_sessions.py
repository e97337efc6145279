"""The WebSocket sessions among the TCP connections of a capture, including those under TLS."""

from collections.abc import Iterable, Iterator

from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.packets.packet_batches import CaptureNotice, EmbeddedSecrets, PacketBatch
from listenctl.capture.packets.tcp_events import (
    MissingCause,
    TcpConnection,
    TcpData,
    TcpEndpoint,
    TcpEvent,
    TcpGap,
    TcpStream,
    TcpStreamEnded,
)
from listenctl.capture.packets.tcp_streams import read_tcp
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.websocket.captured_connection import CapturedConnection
from listenctl.capture.websocket.inflate_frames import InflationBudget
from listenctl.protocol.proxy_protocol import NotProxyProtocolError, parse_proxy_header

MAX_HELD_TOGETHER = 1 << 27
"""Bytes of incomplete messages, of all connections."""
MAX_PROXY_HEADER = 4096
"""Bytes of an incomplete header of the PROXY protocol that are held; a proxy adds hundreds at most."""
CHECK_INTERVAL = 32
"""Chunks of the capture between two checks of that limit, which take a while with many connections."""


class WebSocketSessionReader:
    """Find the sessions of a capture, nearly in order of time, or with ``join_audio`` one after another."""

    def __init__(self, source: str, keylog: KeyLog, numbers: Iterator[int], *, join_audio: bool = False) -> None:
        self._source = source  # the name of the file
        self._keylog = keylog  # secrets for TLS; those in the capture are added
        self._numbers = numbers  # the numbers for sessions
        self._join_audio = join_audio
        self._chunks = 0
        self._reported_cut = False
        self._budget = InflationBudget()
        # None for a connection without sessions.
        self._connections: dict[TcpStream, tuple[CapturedConnection, int] | None] = {}
        # The beginnings of streams that may be headers of the PROXY protocol, and the clients that they named.
        self._headers: dict[TcpStream, bytes] = {}
        self._proxied: dict[TcpConnection, TcpEndpoint] = {}
        # Data that may be consecutive audio; empty between calls.
        self._waiting: dict[TcpStream, list[TcpData]] = {}

    def read_events(self, events: Iterable[TcpEvent | CaptureNotice | EmbeddedSecrets]) -> list[CaptureEvent]:
        found: list[CaptureEvent] = []
        waiting = self._waiting
        at = 0.0
        for event in events:
            if type(event) is TcpData:
                at, stream, _, _ = event
                if (pieces := waiting.get(stream)) is not None:
                    pieces.append(event)
                else:
                    found += self._read_data(event)
            else:
                found += self._read_other(event)
        for stream in list(waiting):
            found += self._release(stream)
        self._chunks += 1
        if self._chunks % CHECK_INTERVAL == 0:
            found += self._limit_memory(at)
        return found

    def end_capture(self) -> list[CaptureEvent]:
        left = dict.fromkeys(entry[0] for entry in self._connections.values() if entry)
        self._connections.clear()
        return [event for connection in left for event in connection.end_capture()]

    def _read_data(self, piece: TcpData) -> list[CaptureEvent]:
        stream = piece.stream
        found = self._release(stream.opposite) if self._waiting else []
        if stream not in self._connections:
            piece = self._skip_proxy_header(piece)
            if not piece.data:
                return found
            self._add_connection(piece)
        if entry := self._connections.get(stream):
            connection, number = entry
            if self._join_audio and connection.may_have_audio(number):
                self._waiting[stream] = [piece]
                return found
            found += connection.feed(number, piece.at, piece.data, piece.packet)
            if connection.is_other_protocol:
                self._connections.update(dict.fromkeys(connection.connection.streams))
        return found

    def _skip_proxy_header(self, piece: TcpData) -> TcpData:
        """Return the data after the headers of the PROXY protocol; empty while a header is incomplete."""
        stream = piece.stream
        data = self._headers.pop(stream, b"") + piece.data
        while data:
            try:
                header = parse_proxy_header(data)
            except NotProxyProtocolError:
                break
            if header is None and len(data) < MAX_PROXY_HEADER:
                self._headers[stream] = data
                return piece._replace(data=b"")
            if header is None:
                break
            if header.source:
                self._proxied[stream.connection] = TcpEndpoint(*header.source)
            data = data[header.size :]
        return piece._replace(data=data)

    def _release(self, stream: TcpStream) -> list[CaptureEvent]:
        """Read the data of a stream that waits, before anything else of its session."""
        pieces, entry = self._waiting.pop(stream, None), self._connections.get(stream)
        if not pieces or not entry:
            return []
        connection, number = entry
        return connection.feed_all(number, pieces)

    def _read_other(self, event: TcpEvent | CaptureNotice | EmbeddedSecrets) -> list[CaptureEvent]:
        match event:
            case TcpGap(stream=stream):
                return [*self._release(stream), *self._release(stream.opposite), *self._skip_missing(event)]
            case TcpStreamEnded(stream=stream):
                return [*self._release(stream), *self._release(stream.opposite), *self._end_stream(event)]
            case CaptureNotice():
                return [event]
            case EmbeddedSecrets(text):
                self._keylog.add_lines(text)
        return []

    def _limit_memory(self, at: float) -> list[CaptureEvent]:
        """Keep memory bounded with any number of incomplete messages: drop the longest."""
        connections = {entry[0] for entry in self._connections.values() if entry}
        held = sum(connection.held_bytes for connection in connections)
        found: list[CaptureEvent] = []
        for connection in sorted(connections, key=lambda one: one.held_bytes, reverse=True):
            if held <= MAX_HELD_TOGETHER:
                break
            held -= connection.held_bytes
            found += connection.drop_incomplete(at)
        return found

    def _add_connection(self, first: TcpData) -> None:
        if all(stream.closed for stream in first.stream.connection.streams):
            # Data after a reset that the receiver ignored belongs to no session.
            return
        client = self._proxied.pop(first.stream.connection, None)
        connection = CapturedConnection(
            first, self._keylog, self._source, self._numbers, proxied=client, budget=self._budget
        )
        for number, stream in enumerate(first.stream.connection.streams):
            self._connections[stream] = (connection, number)

    def _skip_missing(self, gap: TcpGap) -> list[CaptureEvent]:
        entry = self._connections.get(gap.stream)
        found: list[CaptureEvent] = []
        if gap.why is MissingCause.CUT and not self._reported_cut and not (entry and entry[0].has_session):
            self._reported_cut = True
            what = "only the beginning of its data was captured; capture whole packets, for example with tcpdump -s 0"
            found.append(CaptureNotice(f"connection {gap.stream.connection}", what, unread=True))
        if entry:
            connection, number = entry
            found += connection.skip_missing(number, gap.at, gap.size)
        elif gap.stream not in self._connections:
            # The next data isn't the first of the connection.
            gap.stream.connection.has_handshake = False
            self._headers.pop(gap.stream, None)
        return found

    def _end_stream(self, closed: TcpStreamEnded) -> list[CaptureEvent]:
        closed.stream.closed = True
        self._headers.pop(closed.stream, None)
        streams = closed.stream.connection.streams
        entry = self._connections.get(closed.stream)
        events: list[CaptureEvent] = []
        if entry:
            connection, number = entry
            events = connection.end_stream(number, closed.at, closed.how)
        if all(stream.closed for stream in streams):
            self._proxied.pop(closed.stream.connection, None)
            for stream in streams:
                self._connections.pop(stream, None)
        return events


def read_websocket_sessions(
    packets: Iterable[PacketBatch | CaptureNotice | EmbeddedSecrets],
    source: str,
    keylog: KeyLog,
    numbers: Iterator[int],
    *,
    join_audio: bool = False,
) -> Iterator[list[CaptureEvent]]:
    """Yield the events of all sessions of a capture; for the arguments see ``WebSocketSessionReader``."""
    reader = WebSocketSessionReader(source, keylog, numbers, join_audio=join_audio)
    for events in read_tcp(packets):
        yield reader.read_events(events)
    yield reader.end_capture()
