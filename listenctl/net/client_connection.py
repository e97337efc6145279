"""
One WebSocket connection as jambonz keeps it: what it sends and how it ends (listenctl-protocol(7) 7, 13).
After its own Close it sends FIN at once; this side reads on, to learn whether the server took everything.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from listenctl.net.open_connection import OpenedConnection, open_connection
from listenctl.net.server_address import CallTarget
from listenctl.protocol.frames.frame_format import binary_frame, close_frame, text_frame
from listenctl.protocol.frames.frame_rate_limit import SMALL_FRAME, FrameRateLimit
from listenctl.protocol.frames.server_frame_reader import PongReply, ServerFrameReader, ServerMessage, ServerStreamEnd

FLOOD = "more small frames than a call needs"
FLOOD_PAUSE = 0.1
"""Seconds until a server that sends too many small frames is read again."""

_MASKS_AT_ONCE = 1024
_APPLICATION_CODES = 3000
"""From here on the application defines what a close code means (RFC 6455 7.4.2)."""


@dataclass(frozen=True, slots=True)
class ConnectionEnd:
    by: Literal["server", "jambonz", "nobody"]  # who ended it; nobody if it broke
    code: int | None  # that of the first Close; None if there was no Close, or one without a code
    reason: str = ""
    detail: str = ""  # more about the cause, such as what was wrong with a frame

    @property
    def ended_well(self) -> bool:
        """Whether jambonz ended the call, or the server did with a Close that reports no error."""
        if self.by != "server":
            return self.by == "jambonz" and not self.detail
        return not self.detail and (self.code in (None, 1000, 1001) or self.code >= _APPLICATION_CODES)


class ClientConnectionCallbacks(Protocol):
    def on_text(self, data: bytes, *, fragments: Sequence[int]) -> None:
        """Handle a text message; its bytes need not be UTF-8. ``fragments`` is as in ``ServerMessage``."""

    def on_audio(self, data: bytes, *, fragments: Sequence[int]) -> None: ...

    def on_writable(self) -> None:
        """Handle that the socket takes data again after ``writable`` was False."""

    def on_end(self, end: ConnectionEnd) -> None:
        """Handle the end, once; after ``hang_up`` it comes when the server has ended too, or by ``wait_closed``."""


async def connect(
    target: CallTarget, callbacks: ClientConnectionCallbacks, *, limit_frames: bool = False
) -> "ClientConnection":
    """
    Connect to a listen server; callbacks start in the next iteration of the loop. May raise RefusedError. With
    ``limit_frames`` a server that floods us with small frames is closed with 1008 and the detail ``FLOOD``.
    """
    return ClientConnection(await open_connection(target), callbacks, limit_frames=limit_frames)


class ClientConnection:
    """What is sent after the end of the connection is dropped, as jambonz does (listenctl-protocol(7) 7)."""

    def __init__(
        self, opened: OpenedConnection, callbacks: ClientConnectionCallbacks, *, limit_frames: bool = False
    ) -> None:
        self.handshake = opened.handshake
        self.unsent_at_close = 0
        """Bytes that the server never took, with the headers of their frames."""
        self._socket = opened.socket
        self._socket.on_drained = self._on_drained
        self._callbacks = callbacks
        self._frames = ServerFrameReader()
        self._loop = asyncio.get_running_loop()
        self._frame_rate = FrameRateLimit(self._loop.time()) if limit_frames else None
        self._turn: asyncio.TimerHandle | None = None  # the next one, while more has arrived than one turn takes
        self._hung_up = False
        self._hang_up_code: int | None = None
        self._started = False
        self._paused = False
        self._pong_waits = False
        self._ended = False
        self._closed = asyncio.Event()
        self._orderly = False
        # The caller of `connect` must have the connection before the first callback.
        self._loop.call_soon(self._start, opened.received)

    @property
    def writable(self) -> bool:
        return not self._socket.unsent

    @property
    def unsent(self) -> int:
        """Bytes that wait because the server is slow."""
        return self._socket.unsent

    @property
    def is_open(self) -> bool:
        return not (self._ended or self._hung_up)

    def send_text(self, text: bytes) -> None:
        self.send_frames(text_frame(text, fresh_mask()))

    def send_audio(self, data: bytes) -> None:
        self.send_frames(binary_frame(data, fresh_mask()))

    def send_frames(self, frames: bytes) -> bool:
        """Send whole frames; return False, and send nothing, after the end of the connection."""
        if self._ended or self._hung_up:
            return False
        self._socket.write(frames)
        return True

    def send_unless_blocked(self, frames: bytes) -> int | None:
        """Send unless something waits already; return how many bytes wait now, None if nothing was sent."""
        return self._socket.write_unless_blocked(frames)

    def hang_up(self, code: int | None = 1000, reason: bytes = b"") -> None:
        """Send Close, without a code if that is None, and FIN at once, both behind the data that waits."""
        if self.is_open:
            self._socket.write(close_frame(code, fresh_mask(), reason))
            self._hang_up_code = code
            self.end_without_close()

    def end_without_close(self) -> None:
        """Send FIN and no Close, behind the data that waits."""
        if self.is_open:
            self._hung_up = True
            self._socket.end_writing()
            self.resume_reading()

    def abort(self) -> None:
        """Break the connection with RST, as a media server that dies."""
        self._socket.reset()
        self._end(ConnectionEnd("jambonz", None, detail="broken off"))
        self._close()

    def pause_reading(self) -> None:
        """Read nothing from the server, as if we were slow; its end isn't noticed either."""
        if self.is_open:
            self._paused = True
            self._socket.call_when_readable(None)

    def resume_reading(self) -> None:
        self._paused = False
        if self._started and not self._closed.is_set():
            self._await_data()

    async def wait_closed(self, timeout: float) -> bool:  # noqa: ASYNC109 - at its end the connection is closed
        """Wait until the server ends its side, then close; return whether it took everything and ended in order."""
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

    def _start(self, received: bytes) -> None:
        if received:
            self._receive_data(received)
        self._started = True
        if self._reads:
            self._await_data()

    @property
    def _reads(self) -> bool:
        return not (self._paused or self._closed.is_set())

    def _await_data(self) -> None:
        """Read when data arrives, or in a turn of the loop after those of others if there is some already."""
        now = self._loop.time()
        if self._must_wait(now):
            self._socket.call_when_readable(None)
            pause = FLOOD_PAUSE if self._is_too_fast(now) else 0
            self._turn = self._turn or self._loop.call_later(pause, self._take_turn)
        elif not self._socket.stream_ended:
            self._socket.call_when_readable(self._read)

    def _take_turn(self) -> None:
        self._turn = None
        if self._reads:
            self._read()
        if self._reads:
            self._await_data()

    def _read(self) -> None:
        now = self._loop.time()
        if self._frame_rate is not None and self.is_open and self._frame_rate.is_flooded(now):
            self._answer_end(ServerStreamEnd(close_frame(1008, fresh_mask(), FLOOD.encode()), code=1008, fault=FLOOD))
        if data := self._frames.left or self._socket.read():
            self._receive_data(data)
        # A callback may have closed the connection.
        if self._closed.is_set():
            return
        if self._must_wait(now):
            if self._reads:
                self._await_data()
        elif self._socket.stream_ended:
            self._end_stream(self._socket.error)

    def _must_wait(self, now: float) -> bool:
        """Return whether some data waits for another turn."""
        return bool(self._frames.left) or self._is_too_fast(now)

    def _is_too_fast(self, now: float) -> bool:
        return self._frame_rate is not None and not self._frame_rate.may_read(now)

    def _receive_data(self, data: bytes) -> None:
        events = self._frames.receive_data(data)
        if self._frame_rate is not None:
            audio = sum(
                isinstance(event, ServerMessage) and not event.is_text and len(event.data) >= SMALL_FRAME
                for event in events
            )
            self._frame_rate.add_frames(1 + self._frames.frames - audio, self._loop.time())
        for event in events:
            if not self.is_open:
                self._frames.left = b""
                return
            match event:
                case ServerMessage(is_text, message, fragments):
                    callback = self._callbacks.on_text if is_text else self._callbacks.on_audio
                    callback(message, fragments=fragments)
                case PongReply(frame):
                    self._answer_ping(frame)
                case ServerStreamEnd():
                    self._answer_end(event)

    def _end_stream(self, error: OSError | None) -> None:
        self._orderly = error is None and self.writable
        if error is None:
            self._end(ConnectionEnd("server", None, detail="the server closed the connection without a Close"))
        else:
            self._end(ConnectionEnd("nobody", None, detail=f"the connection broke: {error.strerror or error}"))
        self._close()

    def _on_drained(self) -> None:
        self._pong_waits = False
        if self.is_open:
            self._callbacks.on_writable()

    def _answer_ping(self, pong: bytes) -> None:
        # jambonz drops a ping while a pong waits (listenctl-protocol(7) 1.6), so pings can't fill our memory.
        if not self._pong_waits:
            self._socket.write(pong)
            self._pong_waits = not self.writable

    def _answer_end(self, ended: ServerStreamEnd) -> None:
        if ended.answer:
            self._socket.write(ended.answer)
            self._socket.end_writing()
        detail = f"the server sent {ended.fault}" if ended.fault else ""
        self._end(ConnectionEnd("server" if ended.is_close else "jambonz", ended.code, ended.reason, detail))
        if not ended.answer:
            self._close()

    def _close(self, detail: str = "") -> None:
        self.unsent_at_close += self._socket.unsent
        self._socket.close()
        self._closed.set()
        self._end(ConnectionEnd("nobody", None, detail=detail))

    def _end(self, end: ConnectionEnd) -> None:
        """Report the end once; after ``hang_up`` jambonz has ended the connection, whatever came later."""
        if not self._ended:
            self._ended = True
            if self._hung_up:
                end = ConnectionEnd("jambonz", self._hang_up_code, detail=end.detail if end.by == "nobody" else "")
            self._callbacks.on_end(end)


def _fresh_masks() -> Iterator[bytes]:
    while True:
        masks = os.urandom(4 * _MASKS_AT_ONCE)
        for at in range(0, len(masks), 4):
            yield masks[at : at + 4]


_masks = _fresh_masks()


def fresh_mask() -> bytes:
    """Return four random bytes; the kernel is asked for many at once, because every frame takes some."""
    return next(_masks)
