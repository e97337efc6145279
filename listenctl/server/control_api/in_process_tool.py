"""A tool inside the server, attached to a call without a socket."""

import asyncio
from collections import deque

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ServerNotice, Synced, ToolMessageType
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.control_api.attached_tools import AttachedTools

MAX_WAITING = 2.0
"""Seconds of audio that may wait for the tool; beyond that audio is dropped."""
MAX_TEXTS = 1000
MAX_TEXT_BYTES = 16 * 1024 * 1024

_GONE = "the call has ended"


class InProcessTool:
    """One responder's access to a call: an ``AttachedTool`` that a responder sends to and receives from."""

    def __init__(self, tools: AttachedTools, log: LiveCallLog, *, audio: bool) -> None:
        self.dropped_samples = 0  # samples per channel that were dropped because the tool was too slow
        self._tools = tools
        self._log = log
        self._waiting: deque[str | bytes] = deque()
        self._waiting_bytes = self._waiting_texts = self._waiting_characters = 0
        self._synced = Synced()
        self.has_stream = False  # one tool has it at a time
        self._end: ListenctlError | None = None
        self._changed = asyncio.Event()
        self._attached = False
        self._number = tools.attach_tool(self, log.metadata.raw, audio=audio)
        self._attached = True

    @property
    def metadata(self) -> CallMetadata:
        return self._log.metadata

    async def send(self, message: str | bytes) -> None:
        """Send a text or audio; raises NotFoundError if the call has ended, ListenctlError if the tool was detached."""
        self._check()
        await self._tools.take_tool_message(self._number, message)
        self._check()

    async def receive(self) -> str | bytes:
        """
        Return the next text or audio of jambonz, or text of the server; raises NotFoundError after the end of the call,
        and ListenctlError if the tool was detached because it did not receive its texts.
        """
        while not self._waiting:
            self._check()
            await self._wait()
        message = self._waiting.popleft()
        if isinstance(message, str):
            self._waiting_texts -= 1
            self._waiting_characters -= len(message)
        else:
            self._waiting_bytes -= len(message)
        return message

    def discard_audio(self) -> None:
        """Discard the audio that waits, and count none of it as dropped."""
        self.dropped_samples = 0
        self._waiting = deque(message for message in self._waiting if isinstance(message, str))
        self._waiting_bytes = 0

    async def request_stream(self) -> None:
        if not self.has_stream:
            await self.send(ToolMessageType.ACQUIRE.serialize())

    async def acquire_stream(self) -> None:
        await self.request_stream()
        while not self.has_stream:
            self._check()
            await self._wait()

    async def release_stream(self) -> None:
        self.has_stream = False
        await self.send(ToolMessageType.RELEASE.serialize())

    async def stream_state(self) -> Synced:
        """Return the state of playback; not to be called while a clip of this tool waits."""
        # The server answers within ``send``.
        await self.send(ToolMessageType.SYNC.serialize())
        return self._synced

    def open_second_tool(self) -> "InProcessTool":
        return InProcessTool(self._tools, self._log, audio=False)

    def detach(self) -> None:
        self._tools.detach_tool(self._number)

    def deliver_text(self, data: bytes) -> None:
        # The first text is the metadata, which the responder has already.
        if self._end is not None or not self._attached:
            return
        message = data.decode(errors="replace")
        self._take_notice(ServerNotice.parse(message))
        if self._waiting_texts >= MAX_TEXTS or self._waiting_characters + len(message) > MAX_TEXT_BYTES:
            detail = f"the tool was detached: it left {self._waiting_texts} texts of the call unread"
            self._set_end(ListenctlError(detail))
            return
        self._waiting_texts += 1
        self._waiting_characters += len(message)
        self._keep(message)

    def deliver_audio(self, data: bytes, samples: int) -> None:
        """Keep audio until it is received, or count it as dropped; ``samples`` is per channel."""
        if self._waiting_bytes > MAX_WAITING * self._log.audio_format.byte_rate:
            self.dropped_samples += samples
        elif self._end is None:
            self._waiting_bytes += len(data)
            self._keep(data)

    def close(self, code: int, reason: str) -> None:  # noqa: ARG002 - nobody inside needs a code
        self._set_end(NotFoundError(_GONE))

    def _take_notice(self, notice: ServerNotice | None) -> None:
        match notice:
            case ServerNotice(ToolMessageType.GRANTED):
                self.has_stream = True
            case ServerNotice(ToolMessageType.ERROR, {"reason": RefusalReason.KILLED, **more}) if "id" not in more:
                self.has_stream = False
            case ServerNotice(ToolMessageType.SYNCED, data):
                self._synced = Synced.parse(data)

    def _keep(self, message: str | bytes) -> None:
        self._waiting.append(message)
        self._changed.set()

    def _set_end(self, end: ListenctlError) -> None:
        self._end = self._end or end
        self._changed.set()

    def _check(self) -> None:
        if self._end is not None:
            raise self._end

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
