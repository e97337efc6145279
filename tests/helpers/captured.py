"""
Captured sessions for tests: those of ``tests/data/captures``, and ones made up frame by frame.

The captures go through the test's own pcap reader, so that a fault of the package's can't hide here.
"""

import json
from collections.abc import Iterable, Iterator

from listenctl.capture.captured import (
    CapturedSession,
    CaptureEvent,
    FrameSeen,
    FramesLost,
    HttpHead,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.connections import Ending
from listenctl.inspection.call import CallInspector
from listenctl.inspection.observing import Observer
from listenctl.inspection.report import CallReport
from listenctl.inspection.settings import InspectionSettings
from listenctl.protocol.frame_reader import FrameReader, RawFrame
from listenctl.protocol.session import Sender
from tests.helpers.capture import client_stream, server_stream
from tests.helpers.frames import BINARY, CLOSE, TEXT
from tests.helpers.replay import END_OF_HEAD

JAMBONZ, APPLICATION = Sender.JAMBONZ, Sender.APPLICATION
BEGAN = 1_795_175_000.0
METADATA: dict[str, object] = {
    "sampleRate": 8000,
    "mixType": "mono",
    "callSid": "CS-A",
    "from": "1",
    "to": "2",
    "direction": "inbound",
}
FRAME = bytes(320)


def capture_events(name: str) -> Iterator[CaptureEvent]:
    """Give the events of a capture; its times count from the answer to the handshake."""
    heads, timed = {}, []
    for sender, stream in ((JAMBONZ, client_stream(name)), (APPLICATION, server_stream(name))):
        reader, head = FrameReader(), b""
        for at, data in stream:
            begun = END_OF_HEAD in head
            head += b"" if begun else data
            if not begun and END_OF_HEAD in head:
                heads[sender] = (at, head.partition(END_OF_HEAD)[0] + END_OF_HEAD)
            timed += [(at, sender, frame) for frame in reader.feed(data if begun else head.partition(END_OF_HEAD)[2])]
    answered, _ = heads[APPLICATION]
    session = new_session(request=heads[JAMBONZ][1], response=heads[APPLICATION][1], source=f"{name}.pcap")
    yield SessionOpened(BEGAN, session)
    at = 0.0
    for number, (at, sender, frame) in enumerate(sorted(timed, key=lambda one: one[0])):
        yield FrameSeen(BEGAN + at - answered, session, sender, frame, number + 10)
    yield SessionClosed(BEGAN + at - answered, session, None, Ending.FIN)


def new_session(
    *, request: bytes | None = None, response: bytes | None = None, source: str = "made.up", midway: bool = False
) -> CapturedSession:
    """Return a session whose handshake is as it should be, unless it is given."""
    if request is None:
        request = (
            b"GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: audio.jambonz.org\r\n\r\n"
        )
        response = response or (
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            b"Sec-WebSocket-Protocol: audio.jambonz.org\r\n\r\n"
        )
    return CapturedSession(
        1,
        source,
        BEGAN,
        client="10.0.0.5:40322",
        server="127.0.0.1:3000",
        request=None if midway else head_of(request),
        response=None if midway or response is None else head_of(response),
        target="/x",
        subprotocol="audio.jambonz.org",
        started_midway=midway,
    )


def head_of(raw: bytes) -> HttpHead:
    """Return an HTTP head as the capture's reader gives it."""
    first, *lines = raw.decode().rstrip("\r\n").split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    return HttpHead(first, tuple((name.strip(), value.strip()) for name, value in pairs), raw)


class MadeUp:
    """A call that is made up frame by frame; times are seconds since the handshake."""

    def __init__(
        self,
        settings: InspectionSettings | None = None,
        observers: Iterable[Observer] = (),
        *,
        session: CapturedSession | None = None,
        metadata: dict[str, object] | bytes | None = METADATA,
    ) -> None:
        self.session = session or new_session()
        self.inspector = CallInspector(self.session, settings, list(observers))
        self.packet = 0
        if metadata is not None:
            raw = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
            self.frame(0.001, JAMBONZ, TEXT, raw)

    def frame(self, at: float, sender: Sender, opcode: int, payload: bytes, **how: object) -> None:
        """Have a frame seen; ``how`` are other fields of it."""
        self.packet += 1
        frame = RawFrame(True, 0, opcode, sender is JAMBONZ, payload)._replace(**how)  # type: ignore[arg-type]
        self.inspector.feed(FrameSeen(BEGAN + at, self.session, sender, frame, self.packet))

    def say(self, at: float, text: str | bytes | dict[str, object]) -> None:
        """Have the application send a text."""
        text = json.dumps(text) if isinstance(text, dict) else text
        self.frame(at, APPLICATION, TEXT, text.encode() if isinstance(text, str) else text)

    def stream(self, at: float, data: bytes) -> None:
        """Have the application send audio."""
        self.frame(at, APPLICATION, BINARY, data)

    def answer(self, at: float, text: str | bytes) -> None:
        """Have jambonz send a text."""
        self.frame(at, JAMBONZ, TEXT, text.encode() if isinstance(text, str) else text)

    def listen(self, begin: float, end: float, *, frame: bytes = FRAME, every: float = 0.02) -> None:
        """Have jambonz send audio."""
        for index in range(round((end - begin) / every)):
            self.frame(begin + (index + 1) * every, JAMBONZ, BINARY, frame)

    def lose(self, at: float, sender: Sender, size: int | None = None) -> None:
        """Have frames missing in the capture."""
        self.inspector.feed(FramesLost(BEGAN + at, self.session, sender, size, "not captured"))

    def end(self, at: float, *, how: Ending | str = Ending.FIN, sender: Sender | None = None) -> None:
        """Have the connection end."""
        self.inspector.feed(SessionClosed(BEGAN + at, self.session, sender, how))

    def close(self, at: float, *, by: Sender = JAMBONZ, code: int = 1000) -> CallReport:
        """Have the call closed as it should be, and return its report."""
        data = code.to_bytes(2, "big")
        self.frame(at, by, CLOSE, data)
        self.frame(at + 0.001, APPLICATION if by is JAMBONZ else JAMBONZ, CLOSE, data)
        self.end(at + 0.002)
        return self.inspector.finish()


def rules_in(report: CallReport) -> list[str]:
    """Return the ids of the rules that were broken, in order of time."""
    return [one.rule for one in report.violations]
