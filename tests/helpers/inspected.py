"""
Sessions to inspect: those of ``tests/data/captures``, and ones made up frame by frame.

The captures go through the tests' own pcap reader, so that a fault of the package's can't hide here.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

from listenctl.capture.capture_events import (
    CapturedFrame,
    CapturedSession,
    CaptureEvent,
    FramesLost,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.capture.websocket.http_heads import HttpHead
from listenctl.inspection.call_inspector import CallInspector
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.capture_inspector import CaptureInspector
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.frames.raw_frame_reader import RawFrame, RawFrameReader
from listenctl.protocol.listen_session import Sender
from tests.helpers.capture import END_OF_HEAD, client_stream, server_stream
from tests.helpers.frames import BINARY, CLOSE, TEXT

JAMBONZ, APPLICATION = Sender.JAMBONZ, Sender.APPLICATION
BEGAN = 1_795_175_000.0
METADATA = {"sampleRate": 8000, "mixType": "mono", "callSid": "CS-A", "from": "1", "to": "2", "direction": "inbound"}
SILENCE = bytes(320)
REQUEST = (
    b"GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: audio.jambonz.org\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"Sec-WebSocket-Protocol: audio.jambonz.org\r\n\r\n"
)


def capture_events(name: str) -> Iterator[CaptureEvent]:
    """Give the events of a capture; its times count from the answer to the handshake."""
    heads: dict[Sender, tuple[float, bytes]] = {}
    timed: list[tuple[float, Sender, RawFrame]] = []
    for sender, stream in ((JAMBONZ, client_stream(name)), (APPLICATION, server_stream(name))):
        reader, data = RawFrameReader(), b""
        for at, piece in stream:
            data = data + piece if sender not in heads else piece
            if sender not in heads and END_OF_HEAD in data:
                head, end, data = data.partition(END_OF_HEAD)
                heads[sender] = (at, head + end)
            if sender in heads:
                timed += [(at, sender, frame) for frame in reader.feed(data)]
    answered, response = heads[APPLICATION]
    session = new_session(request=heads[JAMBONZ][1], response=response, source=f"{name}.pcap")
    yield SessionOpened(BEGAN, session)
    at = answered
    for packet, (at, sender, frame) in enumerate(sorted(timed, key=lambda one: one[0]), 10):
        yield CapturedFrame(BEGAN + at - answered, session, sender, frame, packet)
    yield SessionClosed(BEGAN + at - answered, session, None, StreamEnding.FIN)


def inspect(
    events: Iterable[CaptureEvent],
    settings: InspectionSettings | None = None,
    observers: Iterable[CallObserver] = (),
) -> list[CallReport]:
    """Return the reports of all calls in what a capture holds."""
    inspector = CaptureInspector(settings, list(observers))
    for event in events:
        inspector.feed_event(event)
    return inspector.finish_calls()


def new_session(
    *,
    request: bytes | None = REQUEST,
    response: bytes | None = RESPONSE,
    source: str = "made.up",
    number: int = 1,
    server: str = "127.0.0.1:3000",
) -> CapturedSession:
    """Return a session whose handshake is as it should be, unless it is given; without a request it began midway."""
    return CapturedSession(
        number,
        source,
        BEGAN,
        client="10.0.0.5:40322",
        server=server,
        request=head_of(request) if request else None,
        response=head_of(response) if request and response else None,
        target="/x",
        subprotocol="audio.jambonz.org" if request else None,
        started_midway=request is None,
    )


def head_of(raw: bytes) -> HttpHead:
    """Return an HTTP head as the reader of captures gives it."""
    first, *lines = raw.decode().rstrip("\r\n").split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    return HttpHead(first, tuple((name.strip(), value.strip()) for name, value in pairs), raw)


class MadeUp:
    """A call that is made up frame by frame; times are seconds since the handshake."""

    def __init__(
        self,
        settings: InspectionSettings | None = None,
        observers: Iterable[CallObserver] = (),
        *,
        session: CapturedSession | None = None,
        metadata: Mapping[str, object] | bytes | None = METADATA,
    ) -> None:
        self.session = session or new_session()
        self.inspector = CallInspector(self.session, settings or InspectionSettings(), list(observers))
        self._packet = 0
        if metadata is not None:
            raw = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
            self.frame(0.001, JAMBONZ, TEXT, raw)

    def frame(
        self,
        at: float,
        sender: Sender,
        opcode: int,
        payload: bytes,
        *,
        fin: bool = True,
        rsv: int = 0,
        masked: bool | None = None,
    ) -> None:
        """Have a frame seen, masked as it should be unless it is said."""
        self._packet += 1
        frame = RawFrame(fin, rsv, opcode, sender is JAMBONZ if masked is None else masked, payload)
        self.inspector.feed_event(CapturedFrame(BEGAN + at, self.session, sender, frame, self._packet))

    def say(self, at: float, text: str | bytes | Mapping[str, object]) -> None:
        said = json.dumps(text) if isinstance(text, Mapping) else text
        self.frame(at, APPLICATION, TEXT, said.encode() if isinstance(said, str) else said)

    def mark(self, at: float, name: str) -> None:
        self.say(at, {"type": "mark", "data": {"name": name}})

    def stream(self, at: float, data: bytes) -> None:
        self.frame(at, APPLICATION, BINARY, data)

    def pace(self, begin: float, end: float, data: bytes) -> None:
        """Have the application send audio every 20 ms."""
        for index in range(round((end - begin) * 50)):
            self.stream(begin + index * 0.02, data)

    def answer(self, at: float, text: str | bytes) -> None:
        self.frame(at, JAMBONZ, TEXT, text.encode() if isinstance(text, str) else text)

    def reach(self, at: float, name: str, event: str = "playout") -> None:
        self.answer(at, f'{{"type": "mark", "data": {{"name":"{name}", "event": "{event}"}}}}')

    def listen(self, begin: float, end: float, *, frame: bytes = SILENCE, every: float = 0.02) -> None:
        for index in range(round((end - begin) / every)):
            self.frame(begin + (index + 1) * every, JAMBONZ, BINARY, frame)

    def lose(self, at: float, sender: Sender = JAMBONZ, size: int | None = None) -> None:
        self.inspector.feed_event(FramesLost(BEGAN + at, self.session, sender, size, "not captured"))

    def end(self, at: float, *, how: StreamEnding | str = StreamEnding.FIN, sender: Sender | None = None) -> CallReport:
        """Have the connection end, and return the report."""
        self.inspector.feed_event(SessionClosed(BEGAN + at, self.session, sender, how))
        return self.inspector.finish_call()

    def close(self, at: float, *, by: Sender = JAMBONZ, data: bytes = b"\x03\xe8") -> CallReport:
        """Have the call closed as it should be, and return its report."""
        self.frame(at, by, CLOSE, data)
        self.frame(at + 0.001, APPLICATION if by is JAMBONZ else JAMBONZ, CLOSE, data)
        return self.end(at + 0.002)


def rules_in(report: CallReport) -> list[str]:
    """Return the ids of the rules that were broken, in order of time."""
    return [one.rule for one in report.violations]
