"""
One WebSocket connection as jambonz keeps it: what it sends, how it answers and how it ends (protocol.md 7, 13).

It never pings and never reconnects, answers a ping at once, echoes the server's Close, and after its own Close it sends
FIN without waiting. jambonz then closes its socket too; we read on, to learn whether the server took everything.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from listenctl.net.call_target import CallTarget
from listenctl.net.client_handshake import ClientHandshake
from listenctl.net.connect import Opened, open_wire
from listenctl.protocol.frames.frame_format import binary_frame, close_frame, text_frame
from listenctl.protocol.frames.server_frame_reader import PongReply, ServerFrameReader, ServerMessage, ServerStreamEnd

__all__ = ["ClientConnection", "ClientConnectionCallbacks", "ConnectionEnd", "connect", "fresh_mask"]

_MASKS_AT_ONCE = 1024
_APPLICATION_CODES = 3000
"""From here on what a Close means is the application's affair (RFC 6455 7.4.2)."""


@dataclass(frozen=True, slots=True)
class ConnectionEnd:
    """
    How a connection ended.

    Attributes:
        by: who ended it; nobody when it broke.
        code: that of the first Close; None when there was none, or it had none.
        detail: what else is to be said, such as what was wrong with a frame.
    """

    by: Literal["server", "jambonz", "nobody"]
    code: int | None
    reason: str = ""
    detail: str = ""

    @property
    def ended_well(self) -> bool:
        """Whether the server meant to end the call, if it did: not with an error, and not without a Close."""
        if self.by != "server":
            return self.by == "jambonz" and not self.detail
        return not self.detail and (self.code in (None, 1000, 1001) or self.code >= _APPLICATION_CODES)


class ClientConnectionCallbacks(Protocol):
    """Who is told what the server does."""

    def on_text(self, data: bytes, *, fragmented: bool) -> None:
        """A text message has come, valid UTF-8 or not."""

    def on_audio(self, data: bytes, *, fragmented: bool) -> None:
        """A binary message has come."""

    def on_writable(self) -> None:
        """The socket takes data again after ``writable`` was False."""

    def on_end(self, end: ConnectionEnd) -> None:
        """
        The connection is over: told once, and no message comes after it.

        After ``hang_up`` it is told when the server has ended its side too, at the latest by ``wait_closed``.
        """


async def connect(target: CallTarget, listener: ClientConnectionCallbacks) -> "ClientConnection":
    """
    Connect to a listen server; ``listener`` hears of it from the next turn of the event loop on.

    Raises:
        RefusedError: Nobody answers in time, or not as jambonz needs it.
    """
    return ClientConnection(await open_wire(target), listener)


class ClientConnection:
    """
    An open WebSocket connection.

    What is sent after its end is dropped, as jambonz does (protocol.md 7).
    """

    def __init__(self, opened: Opened, listener: ClientConnectionCallbacks) -> None:
        self.handshake: ClientHandshake = opened.handshake
        self._wire = opened.wire
        self._listener = listener
        self._frames = ServerFrameReader()
        self._hung_up = False
        self._hang_up_code: int | None = None
        self._paused = False
        self._pong_waits = False
        self._ended = False
        self._closed = asyncio.Event()
        self._orderly = False
        # Whoever called `connect` has to know the connection before it is told of.
        asyncio.get_running_loop().call_soon(self._start, opened.received)

    @property
    def writable(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._wire.unsent

    @property
    def unsent(self) -> int:
        """Bytes that wait because the server is slow."""
        return self._wire.unsent

    @property
    def is_open(self) -> bool:
        """Whether neither side has ended the connection."""
        return not (self._ended or self._hung_up)

    def send_text(self, text: bytes) -> None:
        """Send a text message."""
        self.send_frames(text_frame(text, fresh_mask()))

    def send_audio(self, data: bytes) -> None:
        """Send a binary message."""
        self.send_frames(binary_frame(data, fresh_mask()))

    def send_frames(self, frames: bytes) -> None:
        """Send what is framed and masked already."""
        if self.is_open:
            self._wire.write(frames)

    def hang_up(self, code: int | None = 1000, reason: bytes = b"") -> None:
        """Send Close, without a code if that is None, and FIN at once; what waits goes out before (protocol.md 13)."""
        if self.is_open:
            self._wire.write(close_frame(code, fresh_mask(), reason))
            self._hang_up_code = code
            self.end_without_close()

    def end_without_close(self) -> None:
        """Send FIN and no Close, when what waits has gone out."""
        if self.is_open:
            self._hung_up = True
            self._wire.end_writing()
            self.resume_reading()

    def abort(self) -> None:
        """Break the connection with RST, as a media server that dies."""
        self._wire.reset()
        self._tell(ConnectionEnd("jambonz", None, detail="broken off"))
        self._close()

    def pause_reading(self) -> None:
        """Take nothing from the server, as if we were slow; not its end either."""
        if self.is_open:
            self._paused = True
            self._wire.pause_reading()

    def resume_reading(self) -> None:
        """Take what comes from the server again."""
        self._paused = False
        self._wire.resume_reading()

    async def wait_closed(self, timeout: float) -> bool:  # noqa: ASYNC109 - at its end the connection is closed
        """
        Wait until the server has ended its side, at most ``timeout`` seconds, and close the connection.

        Returns:
            Whether the server took all that was sent, and ended its side in order.
        """
        self.resume_reading()
        try:
            async with asyncio.timeout(timeout):
                await self._closed.wait()
        except TimeoutError:
            self._close(f"the server didn't end the connection within {timeout:g} s")
        except BaseException:
            self._close("the connection was given up")
            raise
        return self._orderly

    def on_bytes(self, data: bytes) -> None:
        """Take what the server sent."""
        for event in self._frames.receive_data(data):
            if not self.is_open:
                return
            match event:
                case ServerMessage(is_text, message, fragmented):
                    deliver = self._listener.on_text if is_text else self._listener.on_audio
                    deliver(message, fragmented=fragmented)
                case PongReply(frame):
                    self._answer_ping(frame)
                case ServerStreamEnd():
                    self._obey(event)

    def on_stream_end(self, error: OSError | None) -> None:
        """Take the server's FIN, or what broke the connection."""
        self._orderly = error is None and self.writable
        if error is None:
            self._tell(ConnectionEnd("server", None, detail="the server closed the connection without a Close"))
        else:
            self._tell(ConnectionEnd("nobody", None, detail=f"the connection broke: {error.strerror or error}"))
        self._close()

    def on_drained(self) -> None:
        """Take notice that the kernel has taken everything."""
        self._pong_waits = False
        if self.is_open:
            self._listener.on_writable()

    def _answer_ping(self, pong: bytes) -> None:
        # A second ping while a pong waits is dropped (protocol.md 1.6), so a server can't fill our memory with them.
        if not self._pong_waits:
            self._wire.write(pong)
            self._pong_waits = not self.writable

    def _start(self, received: bytes) -> None:
        if received:
            self.on_bytes(received)
        self._wire.start(self)
        if not self._paused:
            self._wire.resume_reading()

    def _obey(self, ended: ServerStreamEnd) -> None:
        if ended.answer:
            self._wire.write(ended.answer)
            self._wire.end_writing()
        detail = f"the server sent {ended.fault}" if ended.fault else ""
        self._tell(ConnectionEnd("server" if ended.is_close else "jambonz", ended.code, ended.reason, detail))
        if not ended.answer:
            self._close()

    def _close(self, detail: str = "") -> None:
        self._wire.close()
        self._closed.set()
        self._tell(ConnectionEnd("nobody", None, detail=detail))

    def _tell(self, end: ConnectionEnd) -> None:
        """Tell the end, unless it has been told; whoever hung up has ended the connection, whatever came later."""
        if not self._ended:
            self._ended = True
            if self._hung_up:
                end = ConnectionEnd("jambonz", self._hang_up_code, detail=end.detail if end.by == "nobody" else "")
            self._listener.on_end(end)


def _fresh_masks() -> Iterator[bytes]:
    while True:
        masks = os.urandom(4 * _MASKS_AT_ONCE)
        for at in range(0, len(masks), 4):
            yield masks[at : at + 4]


_masks = _fresh_masks()


def fresh_mask() -> bytes:
    """Return four random bytes; the kernel is asked for many at once, since every frame takes some."""
    return next(_masks)
