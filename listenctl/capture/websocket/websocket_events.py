"""What is found on a connection that may hold WebSocket."""

from dataclasses import dataclass

from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.capture.websocket.http_heads import Head
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.timeline import TimedFrame


@dataclass(frozen=True, slots=True)
class UpgradeRequested:
    """The client asked for WebSocket."""

    at: float
    request: Head


@dataclass(frozen=True, slots=True)
class UpgradeAnswered:
    """The server's answer: 101, or how it refused."""

    at: float
    response: Head


@dataclass(frozen=True, slots=True)
class BytesMissing:
    """
    Bytes that one side sent are missing, ``size`` None where it isn't known how many.

    Args:
        cut: the frame in which they are missing, with its payload up to there; None if they aren't within one.
        length: the payload that ``cut`` had on the wire.
        ended: how the stream ended there, None if it went on.
    """

    at: float
    sender: Sender
    size: int | None
    cut: RawFrame | None = None
    length: int = 0
    ended: StreamEnding | None = None


@dataclass(frozen=True, slots=True)
class FramesResumed:
    """Frames were found again, or for the first time, after ``skipped`` bytes that are part of none."""

    at: float
    sender: Sender
    skipped: int


@dataclass(frozen=True, slots=True)
class FramesUnreadable:
    """What one side sent can't be read as it should be."""

    at: float
    sender: Sender
    what: str


@dataclass(frozen=True, slots=True)
class SideEnded:
    """One side's TCP stream ended."""

    at: float
    sender: Sender
    how: StreamEnding


WebSocketEvent = (
    TimedFrame | UpgradeRequested | UpgradeAnswered | BytesMissing | FramesResumed | FramesUnreadable | SideEnded
)
