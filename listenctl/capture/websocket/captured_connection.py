"""
One TCP connection of a capture, and its WebSocket sessions: each starts with the response to its request, or with the
first frame. A TLS connection that can't be decrypted counts as one, because it may be one.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from listenctl.capture.capture_events import (
    CapturedAudio,
    CapturedFrame,
    CapturedSession,
    CaptureEvent,
    FramesLost,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding, TcpData, TcpEndpoint
from listenctl.capture.packets.time_order import sort_by_time
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.tls.tls_events import DecryptedData, TlsAlert, TlsEvent, TlsNotice, TlsParty, TlsRecordsLost
from listenctl.capture.websocket.find_websockets import (
    BytesLost,
    SideEnded,
    UpgradeAnswered,
    UpgradeRequested,
    WebSocketEvent,
    WebSocketFinder,
)
from listenctl.capture.websocket.http_heads import HttpHead
from listenctl.capture.websocket.inflate_frames import InflationBudget
from listenctl.capture.websocket.is_listen_call import ListenCallDetector
from listenctl.capture.websocket.join_audio import join_audio_data, join_audio_frames
from listenctl.protocol.frames.raw_frame_reader import RawFrameReader
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.privacy.hide_secrets import shown_subprotocols, shown_target
from listenctl.protocol.timeline import TimedFrame

if TYPE_CHECKING:
    from listenctl.capture.tls.tls_session import TlsSession

MAX_HELD_EVENTS = 10_000
MAX_HELD_TIME = 30.0
"""Seconds; for a side that sends little, the search can take as long as the call."""


class HeldEvents:
    """Hold the events of one connection while the start of a frame is searched."""

    def __init__(self) -> None:
        self._held: list[CaptureEvent] = []

    def add_events(self, events: list[CaptureEvent], *, searching: bool) -> list[CaptureEvent]:
        if not searching and not self._held:
            return events
        self._held += events
        if searching and len(self._held) <= MAX_HELD_EVENTS and not self._is_too_long():
            return []
        return self.release()

    def release(self) -> list[CaptureEvent]:
        """Return the held events in order of time."""
        held, self._held = self._held, []
        groups = ((sortable, list(group)) for sortable, group in groupby(held, _has_sender))
        return [
            one for sortable, group in groups for one in (sort_by_time(group, _time_and_sender) if sortable else group)
        ]

    def _is_too_long(self) -> bool:
        times = [_time_and_sender(one)[0] for one in (*self._held[:2], *self._held[-1:]) if _has_sender(one)]
        return bool(times) and max(times) - min(times) > MAX_HELD_TIME


def _sender_of(event: CaptureEvent) -> Sender | None:
    if isinstance(event, CapturedAudio):
        return Sender.JAMBONZ
    return event.sender if isinstance(event, CapturedFrame | FramesLost | SessionClosed) else None


def _has_sender(event: CaptureEvent) -> bool:
    return _sender_of(event) is not None


def _time_and_sender(event: CaptureEvent) -> tuple[float, Hashable]:
    assert isinstance(event, CapturedFrame | CapturedAudio | FramesLost | SessionClosed)
    return event.times[0] if isinstance(event, CapturedAudio) else event.at, _sender_of(event)


_TLS_RECORDS = frozenset({20, 21, 22, 23})
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_FastReader = tuple[RawFrameReader, Sender, CapturedSession]
_SENDERS = {TlsParty.CLIENT: Sender.JAMBONZ, TlsParty.SERVER: Sender.APPLICATION}


class CapturedConnection:
    def __init__(
        self,
        first: TcpData,
        keylog: KeyLog,
        source: str,
        numbers: Iterator[int],
        *,
        proxied: TcpEndpoint | None = None,
        budget: InflationBudget | None = None,
    ) -> None:
        self.connection = first.stream.connection
        self._finder = WebSocketFinder(has_handshake=self.connection.has_handshake, budget=budget)
        self._tls = _tls_session(keylog) if _is_tls(first.data) else None
        self._tls_client = _tls_client(first) if self._tls else 0
        self._source = source  # the name of the file
        self._numbers = numbers  # the numbers for sessions
        self._proxied = proxied  # the client that a proxy named
        self._request: UpgradeRequested | None = None
        self._session: CapturedSession | None = None
        self._detector: ListenCallDetector | None = None
        self._how: StreamEnding | str = ""
        self._ended_at = first.at
        self._fast_readers: tuple[_FastReader | None, _FastReader | None] = (None, None)
        self._held = HeldEvents()

    @property
    def is_other_protocol(self) -> bool:
        return self._finder.is_other_protocol and self._session is None

    @property
    def has_session(self) -> bool:
        return self._session is not None

    @property
    def over(self) -> bool:
        return all(stream.closed for stream in self.connection.streams)

    @property
    def held_bytes(self) -> int:
        return self._finder.held_bytes

    def feed(self, number: int, at: float, data: bytes, packet: int) -> list[CaptureEvent]:
        if self._tls is None:
            return self._read(number, at, data, packet)
        decrypted = self._tls.feed(self._party(number), data, at)
        return self._hold_or_release(self._decrypted_events(decrypted, packet)) if decrypted else []

    def _read(self, number: int, at: float, data: bytes, packet: int) -> list[CaptureEvent]:
        """Return the events of data that isn't encrypted, or is decrypted."""
        fast = self._fast_readers[number]
        if fast is not None:
            # Nearly every packet is a frame of a known session; the general path takes twice as long.
            reader, sender, session = fast
            events: list[CaptureEvent] = [
                CapturedFrame(at, session, sender, frame, packet) for frame in reader.feed(data)
            ]
            if reader.fault:
                events += self._release(self._finder.report_fault(number, at), packet)
            return events
        return self._release(self._finder.feed(number, at, data), packet)

    def may_have_audio(self, number: int) -> bool:
        """Return whether the next data of a stream may be collected for ``feed_all``."""
        fast = self._fast_readers[number]
        return fast is not None and fast[1] is Sender.JAMBONZ

    def feed_all(self, number: int, pieces: Sequence[TcpData]) -> list[CaptureEvent]:
        """Return the events of several pieces of data, with consecutive audio joined."""
        if self._tls is None:
            return self._read_all(number, pieces)
        party = self._party(number)
        events: list[CaptureEvent] = []
        run = self._tls.decrypt_run(party, pieces)
        for at, stream, data, packet in pieces[len(run) :]:
            for found in self._tls.feed(party, data, at):
                if type(found) is DecryptedData and found.party is party:
                    run.append(TcpData(found.at, stream, found.data, packet))
                    continue
                events += self._read_all(number, run)
                events += self._hold_or_release(self._decrypted_events([found], packet))
                run = []
        return events + self._read_all(number, run)

    def _read_all(self, number: int, pieces: Sequence[TcpData]) -> list[CaptureEvent]:
        fast = self._fast_readers[number]
        if fast and not fast[0].held_bytes and len(pieces) > 1 and (run := join_audio_data(fast[2], pieces)):
            return [run]
        return join_audio_frames(
            event for at, _, data, packet in pieces for event in self._read(number, at, data, packet)
        )

    def skip_missing(self, number: int, at: float, size: int | None) -> list[CaptureEvent]:
        if self._tls is None:
            return self._release(self._finder.skip_missing(number, at, size), None)
        return self._hold_or_release(
            self._decrypted_events(self._tls.skip_missing(self._party(number), size or None, at), None)
        )

    def drop_incomplete(self, at: float) -> list[CaptureEvent]:
        return self._release(self._finder.drop_incomplete(at), None)

    def end_stream(self, number: int, at: float, how: StreamEnding) -> list[CaptureEvent]:
        self._ended_at = at
        events: list[CaptureEvent] = []
        lacks_data = False
        if self._tls:
            lacks_data = self._tls.lacks_data(self._party(number))
            lost = self._tls.end_session(at) if self.over else self._tls.end_party(self._party(number), at)
            events += self._decrypted_events(lost, None)
        events += self._events(self._finder.end_side(number, at, how, lacks_data=lacks_data), None)
        self._how = self._how or how
        if not self.over:
            return self._hold_or_release(events)
        return [*self._hold_or_release(events), *self._held.release(), *self._close(at)]

    def end_capture(self) -> list[CaptureEvent]:
        decrypted = self._tls.end_session(self._ended_at) if self._tls else []
        events = self._hold_or_release(self._decrypted_events(decrypted, None))
        return [*events, *self._held.release(), *self._close(self._ended_at)]

    def _release(self, items: Iterable[WebSocketEvent], packet: int | None) -> list[CaptureEvent]:
        return self._hold_or_release(self._events(items, packet))

    def _hold_or_release(self, events: list[CaptureEvent]) -> list[CaptureEvent]:
        events = self._held.add_events(events, searching=self._finder.is_searching)
        self._fast_readers = (self._fast_reader(0), self._fast_reader(1))
        return events

    def _decrypted_events(self, decrypted: Iterable[TlsEvent], packet: int | None) -> list[CaptureEvent]:
        events: list[CaptureEvent] = []
        for event in decrypted:
            match event:
                case DecryptedData(at, party, data):
                    events += self._events(self._finder.feed(self._number(party), at, data), packet)
                case TlsRecordsLost(at, party, _, size):
                    events += self._events(self._finder.skip_missing(self._number(party), at, size), None)
                case TlsNotice(at, text):
                    events += self._mark_unreadable(at, text)
                case TlsAlert(at, party, name, fatal):
                    events += self._add_alert(at, _SENDERS[party], name, fatal=fatal)
        return events

    def _events(self, items: Iterable[WebSocketEvent], packet: int | None) -> list[CaptureEvent]:
        events: list[CaptureEvent] = []
        for item in items:
            if type(item) is TimedFrame and (session := self._session):
                at, sender, frame = item
                if self._detector:
                    self._detector.add_frame(sender, frame)
                    self._detector = None if self._detector.is_decided else self._detector
                events.append(CapturedFrame(at, session, sender, frame, packet))
            else:
                events += self._other_events(item, packet)
        return events

    def _fast_reader(self, number: int) -> _FastReader | None:
        """Return the reader of a side whose data, once decrypted, has to be split into frames and nothing else."""
        session = self._session
        if self._detector or session is None or self._finder.is_searching:
            return None
        fast = self._finder.fast_reader(number)
        return (*fast, session) if fast else None

    def _other_events(self, item: WebSocketEvent, packet: int | None) -> Iterator[CaptureEvent]:
        if isinstance(item, UpgradeRequested):
            yield from self._close(item.at)
            self._request = item
            return
        if isinstance(item, UpgradeAnswered):
            yield from self._add_answer(item)
            return
        if self._session is None:
            yield self._open(item.at, midway=self._request is None)
        assert self._session is not None
        at, session = item.at, self._session
        match item:
            case TimedFrame(_, sender, frame):
                yield CapturedFrame(at, session, sender, frame, packet)
            case BytesLost(_, sender, size, detail, cut_by):
                yield FramesLost(at, session, sender, size, detail, cut_by)
            case SideEnded(_, sender, how):
                self._how = self._how or how
                yield SessionClosed(at, session, sender, how)

    def _add_answer(self, answered: UpgradeAnswered) -> Iterator[CaptureEvent]:
        session = self._session
        if session is None:
            yield self._open(answered.at, midway=False, response=answered.response)
        elif session.response is None:
            # With late packets, the first frames can be in the capture before the response.
            session.response = answered.response
            session.subprotocol = _subprotocol(answered.response)

    def _open(self, at: float, *, midway: bool, response: HttpHead | None = None) -> SessionOpened:
        client = self._finder.client if self._tls is None else self._tls_client
        streams = self.connection.streams
        request = self._request.request if self._request else None
        began = at if response else self._request.at if self._request else self.connection.at
        self._session = session = CapturedSession(
            next(self._numbers),
            self._source,
            began,
            client=str(self._proxied or ("" if client is None else streams[client].source)),
            proxy=str(streams[client].source) if self._proxied and client is not None else "",
            server="" if client is None else str(streams[1 - client].source),
            request=request,
            response=response,
            target=shown_target(request.target) if request else None,
            subprotocol=_subprotocol(response) if response else None,
            encrypted=self._tls is not None,
            started_midway=midway,
        )
        detector = ListenCallDetector(session)
        self._request, self._how, self._detector = None, "", None if detector.is_decided else detector
        return SessionOpened(began, session)

    def _close(self, at: float) -> Iterator[CaptureEvent]:
        if self._request and self._session is None:
            yield self._open(at, midway=False)
        if self._session:
            yield SessionClosed(at, self._session, None, self._how or "refused")
        self._session = self._detector = None

    def _mark_unreadable(self, at: float, text: str) -> Iterator[CaptureEvent]:
        if self._session is None:
            yield self._open(at, midway=False)
        assert self._session is not None
        self._session.unreadable = self._session.unreadable or text
        yield CaptureNotice(f"session {self._session.number}", text)

    def _add_alert(self, at: float, sender: Sender, name: str, *, fatal: bool) -> Iterator[CaptureEvent]:
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


def _subprotocol(response: HttpHead) -> str | None:
    return shown_subprotocols(response.header("sec-websocket-protocol") or None)


def _is_tls(data: bytes) -> bool:
    return len(data) > 2 and data[0] in _TLS_RECORDS and data[1] == 3 and data[2] <= 4


def _tls_session(keylog: KeyLog) -> "TlsSession":
    from listenctl.capture.tls.tls_session import TlsSession

    return TlsSession(keylog)


def _tls_client(first: TcpData) -> int:
    """Return which stream, 0 or 1, is that of the TLS client."""
    streams = first.stream.connection.streams
    number = streams.index(first.stream)
    if len(first.data) > 5 and first.data[0] == _HANDSHAKE:
        return number if first.data[5] == _CLIENT_HELLO else 1 - number
    client = first.stream.connection.client
    return streams.index(client) if client else number
