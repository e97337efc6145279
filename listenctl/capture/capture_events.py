"""What is found in stored traffic, whatever kind of file it stood in: sessions, and what was said in each, in time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from websockets.frames import Opcode

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender


@dataclass(frozen=True, slots=True)
class HttpHead:
    """The head of a request or response; ``raw`` as it stood on the wire, empty where only its parts were stored."""

    first_line: str
    headers: tuple[tuple[str, str], ...]
    raw: bytes

    def header(self, name: str) -> str:
        """Return the values of a header, joined by commas, empty if it isn't there; ``name`` is in lower case."""
        return ", ".join(value for own, value in self.headers if own.lower() == name)


@dataclass(slots=True, eq=False)
class CapturedSession:
    """
    One WebSocket connection found in a capture, filled in as it is learnt.

    Attributes:
        number: from 1, in the order of their begin, over all files.
        source: the file, as the user named it.
        began: Unix time of the answer to the handshake if that was seen, else of the first packet.
        client: address and port, empty where unknown.
        started_midway: there is no handshake in the capture.
        unreadable: why it, or the rest of it, can't be decrypted; empty where it can.
        is_listen: whether jambonz listens here; None while that isn't known.
        without_application: the source keeps nothing of what the application said.
        without_control: the source keeps no pings, pongs and Closes.
    """

    number: int
    source: str
    began: float
    client: str = ""
    server: str = ""
    # Credentials are among the headers, which belong into no log.
    request: HttpHead | None = field(default=None, repr=False)
    response: HttpHead | None = field(default=None, repr=False)
    target: str | None = None
    subprotocol: str | None = None
    encrypted: bool = False
    started_midway: bool = False
    unreadable: str = ""
    is_listen: bool | None = None
    without_application: bool = False
    without_control: bool = False


class SessionOpened(NamedTuple):
    """A session begins: its handshake was answered, or something of it was found without one."""

    at: float
    session: CapturedSession


class CapturedFrame(NamedTuple):
    """A frame, decompressed if it was compressed; ``packet`` is the number of the packet that completed it."""

    at: float
    session: CapturedSession
    sender: Sender
    frame: RawFrame
    packet: int | None


class CapturedAudio(NamedTuple):
    """
    Several binary messages of jambonz in a row, each one frame of ``size`` bytes, and nothing else of their session.

    ``times`` and ``packets`` are of each, ``data`` is of all.
    """

    session: CapturedSession
    times: Sequence[float]
    packets: Sequence[int | None]
    size: int
    data: bytes

    def frame(self, number: int) -> CapturedFrame:
        """Return one of them, counted from 0."""
        payload = self.data[number * self.size : (number + 1) * self.size]
        frame = RawFrame(True, 0, int(Opcode.BINARY), True, payload)
        return CapturedFrame(self.times[number], self.session, Sender.JAMBONZ, frame, self.packets[number])


class FramesLost(NamedTuple):
    """Frames are missing between those before and after; ``size`` in bytes, None where it isn't known."""

    at: float
    session: CapturedSession
    sender: Sender
    size: int | None
    detail: str


class SessionClosed(NamedTuple):
    """
    One side says nothing more, or the whole session is over where ``sender`` is None.

    The latter is the last event of every session. Of one side there may be several before it, a TLS alert and a FIN,
    or none, and after a reset that its receiver ignored more frames may follow.
    """

    at: float
    session: CapturedSession
    sender: Sender | None
    how: StreamEnding | str


CaptureEvent = SessionOpened | CapturedFrame | CapturedAudio | FramesLost | SessionClosed | CaptureNotice
