"""What a player sends to a call and to the server, and the answers, matched by the name that was sent along."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from listenctl.background_task import background_task
from listenctl.errors import CallEndedError, ListenctlError
from listenctl.protocol import peer_json
from listenctl.protocol.application_commands import KillAudio, MarkCommand
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ServerNotice, Synced, ToolMessageType
from listenctl.protocol.jambonz_messages import Mark, PlayDone, parse_texts

Result = TypeVar("Result")

MARK_EARLY = 0.25
"""Seconds before the computed end of the audio at which the answer to a mark can't be right any more."""
MARK_GRACE = 1.0
"""Seconds after that end in which the answer may still come."""


class ToolConnection(Protocol):
    """A tool's connection to a call; raises NotFoundError at its end, ListenctlError if the server dropped us."""

    @property
    def metadata(self) -> CallMetadata:
        """Metadata of the call."""

    async def send(self, message: str | bytes) -> None:
        """Send a text (``str``) or audio (``bytes``)."""

    async def receive(self) -> str | bytes:
        """Return the next text or audio from jambonz, or a text from the server."""


@dataclass(frozen=True, slots=True)
class PlaybackAnswer:
    """An answer and the time when it came."""

    at: float
    message: Mark | PlayDone | None
    """From jambonz; None where the server reports that a killAudio stopped or dropped a clip."""
    detail: str = ""  # what the server says about that


class CallMessages:
    """One player's messages on a connection, within ``open_messages``."""

    def __init__(self, connection: ToolConnection) -> None:
        loop = asyncio.get_running_loop()
        self.connection = connection
        self.is_open = True
        self.killed: asyncio.Future[str] = loop.create_future()
        """Done when somebody else's killAudio has dropped what we stream."""
        self._loop = loop
        self._marks: dict[str, asyncio.Future[PlaybackAnswer]] = {}
        self._clips: dict[str, asyncio.Future[PlaybackAnswer]] = {}
        self._synced: deque[asyncio.Future[Mapping[str, object]]] = deque()
        self._granted: asyncio.Future[None] | None = None

    async def send_audio(self, data: bytes) -> None:
        await self.connection.send(data)

    async def send_kill_audio(self) -> None:
        await self.connection.send(KillAudio().serialize())

    async def send_mark(self, name: str) -> asyncio.Future[PlaybackAnswer]:
        """Send a mark; its answer may never come."""
        self._marks[name] = answer = self._loop.create_future()
        await self.connection.send(MarkCommand(name).serialize())
        return answer

    async def send_clip(self, clip_id: str, text: str) -> asyncio.Future[PlaybackAnswer]:
        self._clips[clip_id] = answer = self._loop.create_future()
        await self.connection.send(text)
        return answer

    async def withdraw_clip(self, clip_id: str) -> None:
        """Drop a clip, or stop it as soon as it plays."""
        await self.connection.send(peer_json.encode({"type": ToolMessageType.WITHDRAW, "data": {"id": clip_id}}))

    async def sync(self) -> Synced:
        """Wait until everything sent so far has been passed on to jambonz; return the state of playback then."""
        answer: asyncio.Future[Mapping[str, object]] = self._loop.create_future()
        self._synced.append(answer)
        await self.connection.send(ToolMessageType.SYNC.serialize())
        return Synced.parse(await wait_for_answer(answer))

    async def request_turn(self, sample_rate: int | None = None, *, probed: bool = False) -> asyncio.Future[None]:
        """Ask for the turn to stream; the future is done when it is ours."""
        data = {} if sample_rate is None else {"sampleRate": sample_rate, **({"probed": True} if probed else {})}
        return await self._acquire(data)

    async def withdraw_rate(self) -> None:
        """Let the server forget the rate that a tool claimed."""
        await self._acquire({"sampleRate": None})
        await self.release_turn()

    async def _acquire(self, data: Mapping[str, object]) -> asyncio.Future[None]:
        self._granted = granted = self._loop.create_future()
        await self.connection.send(
            peer_json.encode({"type": ToolMessageType.ACQUIRE, **({"data": data} if data else {})})
        )
        return granted

    async def release_turn(self) -> None:
        await self.connection.send(ToolMessageType.RELEASE.serialize())

    async def read_messages(self) -> None:
        try:
            while True:
                message = await self.connection.receive()
                if isinstance(message, str):
                    self._take_text(message)
        finally:
            self.is_open = False

    def _take_text(self, text: str) -> None:
        notice = ServerNotice.parse(text)
        if notice is not None:
            self._take_notice(notice)
            return
        for answer in parse_texts(text.encode()):
            match answer:
                case Mark(name=name):
                    self._answer(self._marks.pop(name, None), answer)
                case PlayDone(id=str(name)):
                    self._answer(self._clips.pop(name, None), answer)

    def _answer(
        self, waiting: asyncio.Future[PlaybackAnswer] | None, message: Mark | PlayDone | None, detail: str = ""
    ) -> None:
        if waiting is not None and not waiting.done():
            waiting.set_result(PlaybackAnswer(self._loop.time(), message, detail))

    def _take_notice(self, notice: ServerNotice) -> None:
        match notice.type:
            case ToolMessageType.GRANTED if self._granted is not None and not self._granted.done():
                self._granted.set_result(None)
            case ToolMessageType.SYNCED if self._synced:
                self._synced.popleft().set_result(notice.data)
            case ToolMessageType.ERROR:
                self._take_refusal(notice)

    def _take_refusal(self, notice: ServerNotice) -> None:
        detail = notice.error_detail or ""
        match notice.data.get("reason"), notice.data.get("id"):
            case RefusalReason.KILLED, str(clip):
                self._answer(self._clips.pop(clip, None), None, detail)
            case RefusalReason.KILLED, _:
                if not self.killed.done():
                    self.killed.set_result(detail)
            case RefusalReason.CALL_ENDING, _:
                raise CallEndedError(detail)
            case RefusalReason.TOO_SLOW, _:
                pass  # It is about the call's audio, which a player doesn't need.
            case _:
                raise ListenctlError(detail)


@asynccontextmanager
async def open_messages(connection: ToolConnection) -> AsyncIterator[CallMessages]:
    """Exchange messages while the block runs; the end of the call, or a refusal, cancels it and is raised."""
    messages = CallMessages(connection)
    async with background_task(messages.read_messages()):
        yield messages


async def wait_for_answer(answer: asyncio.Future[Result]) -> Result:
    """Wait for an answer, which stays valid if the waiting is cancelled."""
    await asyncio.wait([answer])
    return answer.result()


async def wait_until(answer: asyncio.Future[Result], deadline: float) -> Result | None:
    await asyncio.wait([answer], timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
    return answer.result() if answer.done() else None


async def run_unless(stop: asyncio.Future[Any], work: Coroutine[Any, Any, object]) -> bool:
    """Run ``work`` until ``stop`` is done; return whether it was completed before."""
    async with background_task(work) as task:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        return not stop.done()
