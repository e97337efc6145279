"""Captured sessions, their frames and what is missing."""

from collections.abc import Iterable
from itertools import count
from pathlib import Path

from listenctl.capture.capture_events import (
    CapturedFrame,
    CapturedSession,
    CaptureEvent,
    FramesLost,
    SessionClosed,
    SessionOpened,
)
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.read_pcap import read_pcap
from listenctl.capture.read_capture import read_capture
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.websocket.websocket_sessions import read_websocket_sessions
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.frames import HANDSHAKE
from tests.helpers.pcap import Packet, TcpDialog, in_pieces, pcap

ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def upgraded(answer: bytes = ANSWER) -> TcpDialog:
    """Return a connection after the WebSocket handshake."""
    return TcpDialog().open().client(HANDSHAKE).server(answer)


def unmasked(data: bytes) -> bytes:
    """Return an unmasked binary frame of less than 126 bytes."""
    return bytes([0x82, len(data)]) + data


def read_sessions(
    packets: Iterable[Packet], *, size: int = 1 << 20, keylog: KeyLog | None = None, join_audio: bool = False
) -> list[CaptureEvent]:
    """Return the events of a capture of packets that is read in pieces of ``size``."""
    read = read_pcap(iter(in_pieces(pcap(packets), size)))
    sessions = read_websocket_sessions(read, "test.pcap", keylog or KeyLog(), count(1), join_audio=join_audio)
    return [one for events in sessions for one in events]


def read_file(path: Path, keylog: KeyLog | None = None) -> list[CaptureEvent]:
    return list(read_capture(str(path), keylog=keylog))


def timed_frames(events: Iterable[CaptureEvent], sender: Sender | None = None) -> list[CapturedFrame]:
    """Return the frames of one side or of both, with their times."""
    return [one for one in events if isinstance(one, CapturedFrame) and sender in (None, one.sender)]


def frames(events: Iterable[CaptureEvent], sender: Sender | None = None) -> list[RawFrame]:
    return [one.frame for one in timed_frames(events, sender)]


def payloads(events: Iterable[CaptureEvent], sender: Sender | None = None) -> list[bytes]:
    """Return the payloads of the frames of one side or of both."""
    return [frame.payload for frame in frames(events, sender)]


def sessions(events: Iterable[CaptureEvent]) -> list[CapturedSession]:
    """Return the sessions; each has to start and end once, with all its events between."""
    opened: list[CapturedSession] = []
    going: set[CapturedSession] = set()
    for one in events:
        if isinstance(one, SessionOpened):
            assert one.session not in opened
            opened.append(one.session)
            going.add(one.session)
        elif not isinstance(one, CaptureNotice):
            assert one.session in going
            if isinstance(one, SessionClosed) and one.sender is None:
                going.remove(one.session)
    assert not going
    assert [session.number for session in opened] == list(range(1, len(opened) + 1))
    return opened


def losses(events: Iterable[CaptureEvent]) -> list[FramesLost]:
    return [one for one in events if isinstance(one, FramesLost)]


def endings(events: Iterable[CaptureEvent]) -> list[tuple[Sender | None, str]]:
    return [(one.sender, str(one.how)) for one in events if isinstance(one, SessionClosed)]


def notices(events: Iterable[object]) -> list[str]:
    return [str(one) for one in events if isinstance(one, CaptureNotice)]
