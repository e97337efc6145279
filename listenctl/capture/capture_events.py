"""The contents of stored traffic, in any file format: sessions, and the events of each in order of time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from websockets.frames import Opcode

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.capture.websocket.http_heads import HttpHead
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender

CLOSED_BY = {"jambonz": Sender.JAMBONZ, "listenctl": Sender.APPLICATION, "application": Sender.APPLICATION}
"""The senders for values of ``closed_by`` in dumps and sidecars; other values mean that nobody closed the call."""


@dataclass(slots=True, eq=False)
class CapturedSession:
    """One WebSocket connection in a capture, filled in while it is read."""

    number: int  # from 1, in the order of their starts, over all files
    source: str  # the file, as the user named it
    began: float  # Unix time of the response to the handshake if the capture has it, else of the first packet
    client: str = ""  # address and port, empty if unknown
    server: str = ""
    proxy: str = ""  # address and port from which a proxy connected that named the client (PROXY protocol)
    # The headers have credentials, which must not get into a log.
    request: HttpHead | None = field(default=None, repr=False)
    response: HttpHead | None = field(default=None, repr=False)
    target: str | None = None
    subprotocol: str | None = None
    encrypted: bool = False
    started_midway: bool = False  # the capture lacks the handshake
    unreadable: str = ""  # why it, or the rest of it, can't be decrypted; empty if it can
    is_listen: bool | None = None  # whether it is a listen call; None while that is unknown
    without_application: bool = False  # the source has nothing that the application sent
    without_control: bool = False  # the source has no pings, pongs and Closes


class SessionOpened(NamedTuple):
    """A session starts: with the response to its handshake, or with the first data without one."""

    at: float
    session: CapturedSession


class CapturedFrame(NamedTuple):
    """A frame, decompressed if necessary; ``packet`` is the number of the packet that completed it."""

    at: float
    session: CapturedSession
    sender: Sender
    frame: RawFrame
    packet: int | None


class CapturedAudio(NamedTuple):
    """Binary messages of jambonz in a row, each one frame of ``size`` bytes; ``data`` has all payloads."""

    session: CapturedSession
    times: Sequence[float]
    packets: Sequence[int | None]
    size: int
    data: bytes

    def frame(self, number: int) -> CapturedFrame:
        """Return one of the frames, counted from 0."""
        payload = self.data[number * self.size : (number + 1) * self.size]
        frame = RawFrame(True, 0, int(Opcode.BINARY), True, payload)
        return CapturedFrame(self.times[number], self.session, Sender.JAMBONZ, frame, self.packets[number])


class FramesLost(NamedTuple):
    """
    Frames are missing; ``size`` is in bytes, None if unknown. ``cut_by`` is who ended the stream within a frame, None
    if the frames may have been sent and the capture lacks them.
    """

    at: float
    session: CapturedSession
    sender: Sender
    size: int | None
    detail: str
    cut_by: Sender | None = None


class SessionClosed(NamedTuple):
    """
    One side sends nothing more or, if ``sender`` is None, the whole session is over, which is its last event. Before
    it, each side can have several of these, like a TLS alert and a FIN, or none; frames can follow a reset that the
    receiver ignored. ``code`` and ``reason`` are those of a Close frame of which the sender is not known.
    """

    at: float
    session: CapturedSession
    sender: Sender | None
    how: StreamEnding | str
    code: int | None = None
    reason: str = ""


CaptureEvent = SessionOpened | CapturedFrame | CapturedAudio | FramesLost | SessionClosed | CaptureNotice
