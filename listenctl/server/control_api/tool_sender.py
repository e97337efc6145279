"""What waits for one tool: bounded, and written without waiting, so that a stuck tool costs nobody else anything."""

import asyncio
from collections import deque
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.frames import CloseCode

from listenctl.protocol import peer_json
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ToolMessageType

MAX_WAITING = 1024 * 1024
"""Bytes that may wait for a tool to read them, beyond what the kernel keeps; then its audio is dropped."""
FAREWELL = 2.0
"""Seconds for a tool to read what waits for it before its connection is cut."""
MAX_HELD_TEXTS = 1000
MAX_HELD_BYTES = 16 * 1024 * 1024

_TOO_SLOW = "audio was dropped because it wasn't read in time"


class ToolConnection(ServerConnection):
    """A tool's connection, which tells when too much waits on it and when it takes more again."""

    on_resume: Callable[[], None] = staticmethod(lambda: None)
    full = False

    def pause_writing(self) -> None:
        """Take notice that ``MAX_WAITING`` is passed."""
        super().pause_writing()
        self.full = True

    def resume_writing(self) -> None:
        """Take notice that most of it has been read."""
        super().resume_writing()
        self.full = False
        self.on_resume()

    async def close(self, code: CloseCode | int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close, in time even if the tool doesn't read, for which the library would wait forever."""
        try:
            async with asyncio.timeout(FAREWELL):
                await super().close(code, reason)
        except TimeoutError:
            self.transport.abort()


class ToolSender:
    """Send to one tool."""

    def __init__(self, connection: ToolConnection) -> None:
        self._connection = connection
        connection.on_resume = self._resume
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._dropped_samples = 0
        self._closing: asyncio.Task[None] | None = None

    def text(self, data: bytes) -> None:
        """Send a text; invalid UTF-8, which jambonz sends at times (protocol.md 2.6), is mended, as it must be."""
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

    def audio(self, data: bytes, samples: int) -> None:
        """Send audio, or count what is dropped of it; ``samples`` is per channel."""
        if self._closing is not None:
            return
        if self._connection.full or self._held:
            self._dropped_samples += samples
        else:
            self._send(data, text=False)

    def close(self, code: int, reason: str) -> None:
        """Send what is held and close."""
        if self._closing is not None:
            return
        for data in self._release():
            self._send(data, text=True)
        self._closing = asyncio.get_running_loop().create_task(self._connection.close(code, reason))

    async def wait_closed(self) -> None:
        """Wait until a close is through."""
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
        # Unlike ``send`` this neither waits nor fails.
        broadcast([self._connection], data, text=text)
