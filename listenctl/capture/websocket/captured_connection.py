"""
One connection of a capture, and the WebSocket sessions on it.

A session begins with the answer to a request for it, or where the capture finds a call going on. A connection on which
a refused request is followed by another has several; under TLS one that can't be decrypted counts as one, since it may
be.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import groupby

from listenctl.capture.capture_events import (
    CapturedAudio,
    CapturedFrame,
    CapturedSession,
    CaptureEvent,
    FramesLost,
    HttpHead,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding, TcpData
from listenctl.capture.packets.time_order import sort_by_time
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.tls.tls_events import (
    DecryptedData,
    TlsAlert,
    TlsEvent,
    TlsNegotiated,
    TlsNotice,
    TlsParty,
    TlsRecordsLost,
)
from listenctl.capture.tls.tls_session import TlsSession
from listenctl.capture.websocket.audio_runs import join_audio_frames, read_audio_run
from listenctl.capture.websocket.find_websockets import WebSocketFinder
from listenctl.capture.websocket.http_heads import Head
from listenctl.capture.websocket.is_listen_call import ListenCallDetector
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

MOST_HELD = 10_000
"""Events that wait,"""
LONGEST = 30.0
"""and seconds: an end that says little may be sought for as long as the call lasts."""


class HeldEvents:
    """Hold the events of one connection while an end is sought."""

    def __init__(self) -> None:
        self._held: list[CaptureEvent] = []

    def take(self, events: list[CaptureEvent], *, seeking: bool) -> list[CaptureEvent]:
        """Return what can be given out after these."""
        if not seeking and not self._held:
            return events
        self._held += events
        if seeking and len(self._held) <= MOST_HELD and not self._is_long():
            return []
        return self.release()

    def release(self) -> list[CaptureEvent]:
        """Return what waits, in order of time."""
        held, self._held = self._held, []
        groups = ((movable, list(group)) for movable, group in groupby(held, _is_of_one_end))
        return [one for movable, group in groups for one in (sort_by_time(group, _place) if movable else group)]

    def _is_long(self) -> bool:
        times = [_place(one)[0] for one in (*self._held[:2], *self._held[-1:]) if _is_of_one_end(one)]
        return bool(times) and max(times) - min(times) > LONGEST


def _sender_of(event: CaptureEvent) -> Sender | None:
    """Return whose end an event is of, None for those that are of both."""
    if isinstance(event, CapturedAudio):
        return Sender.JAMBONZ
    return event.sender if isinstance(event, CapturedFrame | FramesLost | SessionClosed) else None


def _is_of_one_end(event: CaptureEvent) -> bool:
    return _sender_of(event) is not None


def _place(event: CaptureEvent) -> tuple[float, Hashable]:
    assert isinstance(event, CapturedFrame | CapturedAudio | FramesLost | SessionClosed)
    return event.times[0] if isinstance(event, CapturedAudio) else event.at, _sender_of(event)


_TLS_RECORDS = frozenset({20, 21, 22, 23})
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_Lane = tuple[RawFrameReader, Sender, CapturedSession]
_SENDERS = {TlsParty.CLIENT: Sender.JAMBONZ, TlsParty.SERVER: Sender.APPLICATION}


class CapturedConnection:
    """
    One connection that may hold sessions.

    Args:
        first: the first that was said on it.
        source: the file that it is in.
        numbers: what sessions are called.
    """

    def __init__(self, first: TcpData, keylog: KeyLog, source: str, numbers: Iterator[int]) -> None:
        self.connection = first.stream.connection
        self._finder = WebSocketFinder(whole=self.connection.has_handshake)
        self._tls = TlsSession(keylog) if _is_tls(first.data) else None
        self._tls_client = _tls_client(first) if self._tls else 0
        self._source = source
        self._numbers = numbers
        self._asked: UpgradeRequested | None = None
        self._session: CapturedSession | None = None
        self._judge: ListenCallDetector | None = None
        self._how: StreamEnding | str = ""
        self._ended_at = first.at
        self._lanes: tuple[_Lane | None, _Lane | None] = (None, None)
        self._catching_up = HeldEvents()

    @property
    def hopeless(self) -> bool:
        """Whether there is no session in it."""
        return self._finder.hopeless and self._session is None

    @property
    def over(self) -> bool:
        """Whether both streams have ended."""
        return all(stream.closed for stream in self.connection.streams)

    @property
    def held(self) -> int:
        """Bytes of memory that what isn't complete takes."""
        return self._finder.held

    def take(self, number: int, at: float, data: bytes, packet: int) -> list[CaptureEvent]:
        """Return what the next bytes of a stream mean."""
        lane = self._lanes[number]
        if lane is not None:
            # Nearly every packet is a frame of a session that is known; the long way takes twice as long.
            reader, sender, session = lane
            seen: list[CaptureEvent] = [
                CapturedFrame(at, session, sender, frame, packet) for frame in reader.feed(data)
            ]
            return seen + self._in_step(self._finder.fault(number, at), packet) if reader.fault else seen
        if self._tls is None:
            return self._in_step(self._finder.take(number, at, data), packet)
        told = self._tls.feed(self._party(number), data, at)
        return self._catch_up(self._decrypted(told, packet)) if told else []

    def sends_frames(self, number: int) -> bool:
        """Tell whether what jambonz says next on this stream may wait for what follows, for ``take_all``."""
        lane = self._lanes[number]
        return lane is not None and lane[1] is Sender.JAMBONZ

    def take_all(self, number: int, pieces: Sequence[TcpData]) -> list[CaptureEvent]:
        """Return what the next pieces of a stream mean, with the audio in runs."""
        lane = self._lanes[number]
        if lane and not lane[0].held_bytes and len(pieces) > 1 and (run := read_audio_run(lane[2], pieces)):
            return [run]
        return join_audio_frames(
            event for at, _, data, packet in pieces for event in self.take(number, at, data, packet)
        )

    def hole(self, number: int, at: float, size: int | None) -> list[CaptureEvent]:
        """Return what it means that bytes of a stream are missing."""
        if self._tls is None:
            return self._in_step(self._finder.hole(number, at, size), None)
        return self._catch_up(self._decrypted(self._tls.skip_missing(self._party(number), size or None, at), None))

    def give_up(self, at: float) -> list[CaptureEvent]:
        """Drop what isn't complete."""
        return self._in_step(self._finder.give_up(at), None)

    def end(self, number: int, at: float, how: StreamEnding) -> list[CaptureEvent]:
        """Return what it means that a stream ended."""
        self._ended_at = at
        events: list[CaptureEvent] = []
        if self._tls and self.over:
            events += self._decrypted(self._tls.end_session(at), None)
        events += self._events(self._finder.end(number, at, how), None)
        self._how = self._how or how
        if not self.over:
            return self._catch_up(events)
        return [*self._catch_up(events), *self._catching_up.release(), *self._close(at)]

    def finish(self) -> list[CaptureEvent]:
        """Return what it means that nothing more comes, though not both streams ended."""
        told = self._tls.end_session(self._ended_at) if self._tls else []
        events = self._catch_up(self._decrypted(told, None))
        return [*events, *self._catching_up.release(), *self._close(self._ended_at)]

    def _in_step(self, items: Iterable[WebSocketEvent], packet: int | None) -> list[CaptureEvent]:
        return self._catch_up(self._events(items, packet))

    def _catch_up(self, events: list[CaptureEvent]) -> list[CaptureEvent]:
        events = self._catching_up.take(events, seeking=self._finder.seeking)
        self._lanes = (self._lane(0), self._lane(1))
        return events

    def _decrypted(self, told: Iterable[TlsEvent], packet: int | None) -> list[CaptureEvent]:
        events: list[CaptureEvent] = []
        for event in told:
            match event:
                case DecryptedData(at, party, data):
                    events += self._events(self._finder.take(self._number(party), at, data), packet)
                case TlsRecordsLost(at, party, _, size):
                    events += self._events(self._finder.hole(self._number(party), at, size), None)
                case TlsNotice(at, _, text):
                    events += self._undecrypted(at, text)
                case TlsAlert(at, party, name, fatal):
                    events += self._alert(at, _SENDERS[party], name, fatal=fatal)
                case TlsNegotiated():
                    pass
        return events

    def _events(self, items: Iterable[WebSocketEvent], packet: int | None) -> list[CaptureEvent]:
        events: list[CaptureEvent] = []
        for item in items:
            if type(item) is TimedFrame and (session := self._session):
                at, sender, frame = item
                if self._judge:
                    self._judge.look_at(sender, frame)
                    self._judge = None if self._judge.settled else self._judge
                events.append(CapturedFrame(at, session, sender, frame, packet))
            else:
                events += self._other(item, packet)
        return events

    def _lane(self, number: int) -> _Lane | None:
        """Return what takes the next bytes of a side without a detour, None where something else is to be done."""
        session = self._session
        if self._tls or self._judge or session is None or self._finder.seeking:
            return None
        lane = self._finder.lane(number)
        return (*lane, session) if lane else None

    def _other(self, item: WebSocketEvent, packet: int | None) -> Iterator[CaptureEvent]:
        if isinstance(item, UpgradeRequested):
            yield from self._close(item.at)
            self._asked = item
            return
        if isinstance(item, UpgradeAnswered):
            yield from self._answered(item)
            return
        if self._session is None:
            yield self._open(item.at, midway=self._asked is None)
        assert self._session is not None
        at, session = item.at, self._session
        match item:
            case TimedFrame(_, sender, frame):
                yield CapturedFrame(at, session, sender, frame, packet)
            case BytesMissing(_, sender, size):
                yield FramesLost(at, session, sender, size, _described(item))
            case FramesResumed(_, sender, skipped) if skipped:
                detail = f"{skipped} bytes before the next frame that can be told are part of none"
                yield FramesLost(at, session, sender, skipped, detail)
            case FramesUnreadable(_, sender, what):
                yield FramesLost(at, session, sender, None, what)
            case SideEnded(_, sender, how):
                self._how = self._how or how
                yield SessionClosed(at, session, sender, how)

    def _answered(self, answered: UpgradeAnswered) -> Iterator[CaptureEvent]:
        session = self._session
        if session is None:
            yield self._open(answered.at, midway=False, response=answered.response)
        elif session.response is None:
            # Where packets are late, the capture has first frames before the answer to which they came.
            session.response = _head(answered.response)
            session.subprotocol = answered.response.header("sec-websocket-protocol") or None

    def _open(self, at: float, *, midway: bool, response: Head | None = None) -> SessionOpened:
        client = self._finder.client if self._tls is None else self._tls_client
        streams = self.connection.streams
        request = self._asked.request if self._asked else None
        began = at if response else self._asked.at if self._asked else self.connection.at
        self._session = session = CapturedSession(
            next(self._numbers),
            self._source,
            began,
            client="" if client is None else str(streams[client].source),
            server="" if client is None else str(streams[1 - client].source),
            request=_head(request),
            response=_head(response),
            target=request.target if request else None,
            subprotocol=(response.header("sec-websocket-protocol") or None) if response else None,
            encrypted=self._tls is not None,
            started_midway=midway,
        )
        judge = ListenCallDetector(session)
        self._asked, self._how, self._judge = None, "", None if judge.settled else judge
        return SessionOpened(began, session)

    def _close(self, at: float) -> Iterator[CaptureEvent]:
        """Yield the end of the session, also of one that was only asked for."""
        if self._asked and self._session is None:
            yield self._open(at, midway=False)
        if self._session:
            yield SessionClosed(at, self._session, None, self._how or "refused")
        self._session = self._judge = None

    def _undecrypted(self, at: float, text: str) -> Iterator[CaptureEvent]:
        if self._session is None:
            yield self._open(at, midway=False)
        assert self._session is not None
        self._session.unreadable = self._session.unreadable or text
        yield CaptureNotice(f"session {self._session.number}", text)

    def _alert(self, at: float, sender: Sender, name: str, *, fatal: bool) -> Iterator[CaptureEvent]:
        if self._session is None and fatal:
            yield self._open(at, midway=False)
        if self._session:
            how = f"TLS {name}"
            self._how = self._how or how
            yield SessionClosed(at, self._session, sender, how)

    def _number(self, party: TlsParty) -> int:
        return self._tls_client if party is TlsParty.CLIENT else 1 - self._tls_client

    def _party(self, number: int) -> TlsParty:
        return TlsParty.CLIENT if number == self._tls_client else TlsParty.SERVER


def _head(head: Head | None) -> HttpHead | None:
    return HttpHead(head.first_line, head.headers, head.raw) if head else None


def _described(lost: BytesMissing) -> str:
    known = "bytes of which it isn't known how many" if lost.size is None else f"{lost.size} bytes"
    within = "a header"
    if lost.cut:
        kind = _OPCODES.get(lost.cut.opcode, f"opcode {lost.cut.opcode}")
        within = f"a {kind} frame of {lost.length}, of which {len(lost.cut.payload)} are there"
    if lost.ended:
        return f"the stream ends ({lost.ended}) within {within}"
    return f"{known} aren't in the capture" + (f", the first within {within}" if lost.cut else "")


def _is_tls(data: bytes) -> bool:
    return len(data) > 2 and data[0] in _TLS_RECORDS and data[1] == 3 and data[2] <= 4


def _tls_client(first: TcpData) -> int:
    """Return the number of the stream of the TLS client."""
    streams = first.stream.connection.streams
    number = streams.index(first.stream)
    if len(first.data) > 5 and first.data[0] == _HANDSHAKE:
        return number if first.data[5] == _CLIENT_HELLO else 1 - number
    client = first.stream.connection.client
    return streams.index(client) if client else number
