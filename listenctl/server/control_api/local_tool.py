"""A tool that is attached to a call inside of the server, without a socket between."""

import asyncio
from collections import deque

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ServerNotice, Synced, ToolMessageType
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.control_api.attached_tools import AttachedTools

MAX_WAITING = 2.0
"""Seconds of audio that may wait for the tool; what comes then is dropped until it listens again."""
MAX_TEXTS = 1000

_GONE = "the call has ended"


class LocalTool:
    """
    Take part in a call: both the way to the tool (``attachments.Outlet``) and the tool's ``Conversation``.

    Attributes:
        dropped_samples: per channel, of the audio that the tool wasn't quick enough for.
    """

    def __init__(self, attachments: AttachedTools, log: LiveCallLog, *, audio: bool) -> None:
        self.dropped_samples = 0
        self._attachments = attachments
        self._log = log
        self._waiting: deque[str | bytes] = deque()
        self._waiting_bytes = self._waiting_texts = 0
        self._synced = Synced()
        self._granted = False
        self._end: ListenctlError | None = None
        self._news = asyncio.Event()
        self._attached = False
        self._number = attachments.attach(self, log.metadata.raw, audio=audio)
        self._attached = True

    @property
    def metadata(self) -> CallMetadata:
        """Of the call."""
        return self._log.metadata

    async def send(self, message: str | bytes) -> None:
        """
        Send a text (``str``) or audio (``bytes``).

        Raises:
            NotFoundError: the call has ended.
            ListenctlError: it was let go, since it didn't listen.
        """
        self._check()
        data = TextMessage(message.encode()) if isinstance(message, str) else BinaryMessages(message, len(message), 1)
        await self._attachments.take(self._number, data)
        self._check()

    async def receive(self) -> str | bytes:
        """
        Return the next text or audio of jambonz, or a text of the server.

        Raises:
            NotFoundError: the call has ended, and all that it said before has been returned.
            ListenctlError: it was let go, since it didn't listen.
        """
        while not self._waiting:
            self._check()
            await self._wait()
        message = self._waiting.popleft()
        if isinstance(message, str):
            self._waiting_texts -= 1
        else:
            self._waiting_bytes -= len(message)
        return message

    def forget_audio(self) -> None:
        """Do without the audio that waits, and take none for dropped."""
        self.dropped_samples = 0
        self._waiting = deque(message for message in self._waiting if isinstance(message, str))
        self._waiting_bytes = 0

    # The stream, which one tool has at a time.

    @property
    def has_stream(self) -> bool:
        """Whether it is this tool's turn."""
        return self._granted

    async def ask_for_stream(self) -> None:
        """Take the stream, or a place among those who wait for it."""
        if not self._granted:
            await self.send(ToolMessageType.ACQUIRE.serialize())

    async def take_stream(self) -> None:
        """Wait for the stream."""
        await self.ask_for_stream()
        while not self._granted:
            self._check()
            await self._wait()

    async def release_stream(self) -> None:
        """Let others stream."""
        self._granted = False
        await self.send(ToolMessageType.RELEASE.serialize())

    async def stream_state(self) -> Synced:
        """Return how the playing of the call stands; not while a clip of this tool waits."""
        # The server answers within ``send``.
        await self.send(ToolMessageType.SYNC.serialize())
        return self._synced

    def beside(self) -> "LocalTool":
        """Return another tool of the same call, which isn't given its audio."""
        return LocalTool(self._attachments, self._log, audio=False)

    def leave(self) -> None:
        """Take part no more."""
        self._attachments.detach(self._number)

    # What the server says.

    def text(self, data: bytes) -> None:
        """Keep a text until it is received."""
        # The first one is the metadata, which this side has.
        if self._end is not None or not self._attached:
            return
        message = data.decode(errors="replace")
        self._notice(ServerNotice.parse(message))
        if self._waiting_texts >= MAX_TEXTS:
            self._finish(ListenctlError(f"it was let go: it left {MAX_TEXTS} texts of the call unread"))
            return
        self._waiting_texts += 1
        self._keep(message)

    def audio(self, data: bytes, samples: int) -> None:
        """Keep audio until it is received, or count what is dropped of it; ``samples`` is per channel."""
        if self._waiting_bytes > MAX_WAITING * self._log.audio_format.byte_rate:
            self.dropped_samples += samples
        elif self._end is None:
            self._waiting_bytes += len(data)
            self._keep(data)

    def close(self, code: int, reason: str) -> None:  # noqa: ARG002 - who is inside needs no code
        """Take notice that the call is over."""
        self._finish(NotFoundError(_GONE))

    def _notice(self, word: ServerNotice | None) -> None:
        match word:
            case ServerNotice(ToolMessageType.GRANTED):
                self._granted = True
            case ServerNotice(ToolMessageType.ERROR, {"reason": RefusalReason.KILLED, **more}) if "id" not in more:
                self._granted = False
            case ServerNotice(ToolMessageType.SYNCED, data):
                self._synced = Synced.parse(data)

    def _keep(self, message: str | bytes) -> None:
        self._waiting.append(message)
        self._news.set()

    def _finish(self, end: ListenctlError) -> None:
        self._end = self._end or end
        self._news.set()

    def _check(self) -> None:
        if self._end is not None:
            raise self._end

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()
