"""Sends to one tool over the control socket: bounded and without waiting, so that a stuck tool delays nobody."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.frames import CloseCode

from listenctl.background_task import log_failure
from listenctl.protocol import peer_json
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ToolMessageType

MAX_WAITING = 1024 * 1024
"""Bytes that may wait for a tool, beyond what the kernel holds; then its audio is dropped."""
CLOSE_TIMEOUT = 2.0
"""Seconds for a tool to read what waits for it before its connection is cut."""
MAX_HELD_TEXTS = 1000
MAX_HELD_BYTES = 16 * 1024 * 1024

_TOO_SLOW = "audio was dropped because it wasn't read in time"


class ToolWebSocket(ServerConnection):
    """The connection of a tool, which knows whether too much waits to be sent."""

    on_resume: Callable[[], None] = staticmethod(lambda: None)
    full = False

    def pause_writing(self) -> None:
        super().pause_writing()
        self.full = True

    def resume_writing(self) -> None:
        super().resume_writing()
        self.full = False
        self.on_resume()

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
