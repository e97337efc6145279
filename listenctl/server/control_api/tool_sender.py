"""Sends to one tool over the control socket: bounded and without waiting, so that a stuck tool delays nobody."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event

from listenctl.background_task import log_failure
from listenctl.net.client_connection import FLOOD, FLOOD_PAUSE
from listenctl.protocol import peer_json
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ToolMessageType
from listenctl.protocol.frames.frame_rate_limit import SMALL_FRAME, FrameRateLimit

MAX_WAITING = 1024 * 1024
"""Bytes that may wait for a tool, beyond what the kernel holds; then its audio is dropped."""
CLOSE_TIMEOUT = 2.0
"""Seconds for a tool to read what waits for it before its connection is cut."""
PIECE = 4096
"""Bytes of a tool that are passed on at once."""
MAX_HELD_TEXTS = 1000
MAX_HELD_BYTES = 16 * 1024 * 1024

_TOO_SLOW = "audio was dropped because it wasn't read in time"


class ToolWebSocket(ServerConnection):
    """
    The connection of a tool, which knows whether too much waits to be sent.

    The library takes everything that has arrived at once, which may be 40,000 frames; this passes it on in pieces, so
    that a tool can't delay calls, and more slowly where it sends too many small frames.
    """

    on_resume: Callable[[], None] = staticmethod(lambda: None)
    on_flood: Callable[[], None] = staticmethod(lambda: None)  # called once
    full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._unread = b""
        self._turn: asyncio.TimerHandle | None = None  # that of the next piece
        self._frame_rate = FrameRateLimit(self.loop.time())
        self._small_frames = 0
        self._library_paused = False
        super().connection_made(transport)
        self.recv_messages.pause = self._pause_reading
        self.recv_messages.resume = self._resume_reading

    def connection_lost(self, exc: Exception | None) -> None:
        if self._turn is not None:
            self._turn.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if self._turn is None:
            self._take_piece()

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame):
            self._small_frames += event.opcode is not Opcode.BINARY or len(event.data) < SMALL_FRAME
        super().process_event(event)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.full = True

    def resume_writing(self) -> None:
        super().resume_writing()
        self.full = False
        self.on_resume()

    def _pause_reading(self) -> None:
        self._library_paused = True
        self.transport.pause_reading()

    def _resume_reading(self) -> None:
        self._library_paused = False
        if not self._unread:
            self.transport.resume_reading()

    def _take_piece(self) -> None:
        """Pass on a piece of what has arrived, and the next one after the turns of others."""
        self._turn = None
        now = self.loop.time()
        if self._frame_rate.may_read(now):
            self._small_frames = 1
            piece, self._unread = self._unread[:PIECE], self._unread[PIECE:]
            super().data_received(piece)
            self._frame_rate.add_frames(self._small_frames, now)
        elif self._frame_rate.is_flooded(now):
            self.on_flood()
            self.on_flood = ToolWebSocket.on_flood
        pause = 0 if self._frame_rate.may_read(now) else FLOOD_PAUSE
        if self._unread or pause:
            self.transport.pause_reading()
            self._turn = self.loop.call_later(pause, self._take_piece)
        elif not self._library_paused:
            self.transport.resume_reading()

    async def close(self, code: CloseCode | int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close; the library would wait forever for a tool that doesn't read."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await super().close(code, reason)
        except TimeoutError:
            self.transport.abort()


class ToolSender:
    """Send to one tool; ``tasks`` holds the task that closes the connection."""

    def __init__(self, connection: ToolWebSocket, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._connection = connection
        connection.on_resume = self._resume
        connection.on_flood = self.close_flood
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._dropped_samples = 0
        self._closing: asyncio.Task[None] | None = None

    def deliver_text(self, data: bytes) -> None:
        """Send a text; invalid UTF-8, which jambonz sends at times (listenctl-protocol(7) 2.6), is replaced."""
        if self._closing is not None:
            return
        try:
            data.decode()
        except UnicodeDecodeError:
            data = peer_json.read_text(data).encode()
        if not self._connection.full and not self._held:
            self._send(data, text=True)
        elif len(self._held) < MAX_HELD_TEXTS and self._held_bytes + len(data) <= MAX_HELD_BYTES:
            self._held.append(data)
            self._held_bytes += len(data)
        else:
            self._held.clear()
            self.close(CloseCode.POLICY_VIOLATION, "too slow: too many texts weren't read")

    def deliver_audio(self, data: bytes, samples: int) -> None:
        if self._closing is not None:
            return
        if self._connection.full or self._held:
            self._dropped_samples += samples
        else:
            self._send(data, text=False)

    def close(self, code: int, reason: str) -> None:
        if self._closing is not None:
            return
        for data in self._release():
            self._send(data, text=True)
        closing = log_failure(partial(self._connection.close, code, reason), "closing the connection of a tool")
        self._closing = self._tasks.create_task(closing)

    async def wait_closed(self) -> None:
        if self._closing is not None:
            await self._closing

    def _resume(self) -> None:
        if self._closing is None:
            for data in self._release():
                self._send(data, text=True)

    def close_flood(self) -> None:
        """Close because the tool sends too many small frames."""
        self.close(CloseCode.POLICY_VIOLATION, FLOOD)

    def _release(self) -> list[bytes]:
        held = [*([self._describe_loss()] if self._dropped_samples else []), *self._held]
        self._dropped_samples = self._held_bytes = 0
        self._held.clear()
        return held

    def _describe_loss(self) -> bytes:
        data = {"reason": RefusalReason.TOO_SLOW, "detail": _TOO_SLOW, "dropped_samples": self._dropped_samples}
        return peer_json.encode({"type": ToolMessageType.ERROR, "data": data}).encode()

    def _send(self, data: bytes, *, text: bool) -> None:
        # Unlike ``send`` it neither waits nor fails.
        broadcast([self._connection], data, text=text)
