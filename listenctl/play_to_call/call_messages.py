"""What a player says to a call and the server, and who gets the answers: each comes under the name that was given."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.media.pacing import Clock
from listenctl.protocol import peer_json
from listenctl.protocol.application_commands import KillAudio, MarkCommand
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ServerNotice, Synced, ToolMessageType
from listenctl.protocol.jambonz_messages import Mark, PlayDone, parse_texts


class ToolConnection(Protocol):
    """
    The conversation that jambonz has with the server, as an attached tool has it (`listenctl-control(5)`).

    Both methods raise ``NotFoundError`` when the call has ended, and ``ListenctlError`` when the server lets us go.
    """

    @property
    def metadata(self) -> CallMetadata:
        """Of the call."""

    async def send(self, message: str | bytes) -> None:
        """Send a text (``str``) or audio (``bytes``)."""

    async def receive(self) -> str | bytes:
        """Return the next text or audio of jambonz, or a text of the server."""


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PlaybackAnswer:
    """
    What came back, and when.

    Attributes:
        message: of jambonz; None where the server says that a killAudio has stopped or dropped a clip.
        detail: what the server says of that.
    """

    at: float
    message: Mark | PlayDone | None
    detail: str = ""


class CallMessages:
    """
    One player's part in a conversation, within ``async with``.

    Whatever is awaited here raises ``NotFoundError`` when the call ends, and ``ListenctlError`` when the server refuses
    something or lets us go.

    Attributes:
        killed: done when a killAudio of somebody else has dropped what we stream.
    """

    def __init__(self, conversation: ToolConnection, clock: Clock) -> None:
        self.conversation = conversation
        self._clock = clock
        self._marks: dict[str, asyncio.Future[PlaybackAnswer]] = {}
        self._clips: dict[str, asyncio.Future[PlaybackAnswer]] = {}
        self._synced: deque[asyncio.Future[Mapping[str, object]]] = deque()
        self._granted: asyncio.Future[None] | None = None
        self.killed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._reader is not None
        await _cancel(self._reader)

    # What is said.

    async def send_audio(self, data: bytes) -> None:
        """Stream audio; the turn must be ours."""
        await self.conversation.send(data)

    async def send_kill_audio(self) -> None:
        """Stop what plays, whoever plays it."""
        await self.conversation.send(KillAudio().serialize())

    async def send_mark(self, name: str) -> asyncio.Future[PlaybackAnswer]:
        """Set a mark; what is returned may never be done."""
        self._marks[name] = answer = asyncio.get_running_loop().create_future()
        await self.conversation.send(MarkCommand(name).serialize())
        return answer

    async def send_clip(self, clip_id: str, text: str) -> asyncio.Future[PlaybackAnswer]:
        """Send a ``playAudio`` with that id; what is returned may never be done."""
        self._clips[clip_id] = answer = asyncio.get_running_loop().create_future()
        await self.conversation.send(text)
        return answer

    async def withdraw_clip(self, clip_id: str) -> None:
        """Take a clip back: it is stopped as soon as it plays."""
        await self.conversation.send(peer_json.encode({"type": ToolMessageType.WITHDRAW, "data": {"id": clip_id}}))

    async def sync(self) -> Synced:
        """Wait until all that was sent has been passed on; return how playing stands then."""
        answer: asyncio.Future[Mapping[str, object]] = asyncio.get_running_loop().create_future()
        self._synced.append(answer)
        await self.conversation.send(ToolMessageType.SYNC.serialize())
        return Synced.parse(await self.wait_for_answer(answer))

    async def request_turn(self, sample_rate: int | None = None) -> asyncio.Future[None]:
        """Ask for the turn to stream; what is returned is done when it is ours."""
        self._granted = granted = asyncio.get_running_loop().create_future()
        data = {} if sample_rate is None else {"data": {"sampleRate": sample_rate}}
        await self.conversation.send(peer_json.encode({"type": ToolMessageType.ACQUIRE, **data}))
        return granted

    async def release_turn(self) -> None:
        """End the turn."""
        await self.conversation.send(ToolMessageType.RELEASE.serialize())

    # Waiting for what comes.

    async def wait_for_answer(self, answer: asyncio.Future[Result]) -> Result:
        """Wait for an answer."""
        await self._first(answer)
        return answer.result()

    async def wait_until(self, answer: asyncio.Future[Result], deadline: float) -> Result | None:
        """Wait for an answer until a time of the clock; None if none has come by then."""
        timer = asyncio.create_task(self._clock.sleep(max(0.0, deadline - self._clock.now())))
        try:
            await self._first(answer, timer)
        finally:
            timer.cancel()
        return answer.result() if answer.done() else None

    async def run_while_connected(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something as long as there is a conversation."""
        task = asyncio.create_task(work)
        try:
            await self._first(task)
        finally:
            await _cancel(task)
        return task.result()

    async def run_unless(self, stop: asyncio.Future[Any], work: Coroutine[Any, Any, object]) -> bool:
        """Do something until ``stop`` is done; tell whether it was done before."""
        task = asyncio.create_task(work)
        try:
            await self._first(task, stop)
        finally:
            await _cancel(task)
        if stop.done():
            return False
        task.result()
        return True

    async def _first(self, *wanted: "asyncio.Future[Any]") -> None:
        assert self._reader is not None
        await asyncio.wait({*wanted, self._reader}, return_when=asyncio.FIRST_COMPLETED)
        if not any(one.done() for one in wanted):
            # It only ends by what it raises.
            self._reader.result()

    async def _read(self) -> None:
        while True:
            message = await self.conversation.receive()
            if isinstance(message, bytes):
                continue
            word = ServerNotice.parse(message)
            if word is not None:
                self._take_word(word)
                continue
            for answer in parse_texts(message.encode()):
                match answer:
                    case Mark(name=name):
                        self._answer(self._marks.pop(name, None), answer)
                    case PlayDone(id=str(name)):
                        self._answer(self._clips.pop(name, None), answer)

    def _answer(
        self, waiting: asyncio.Future[PlaybackAnswer] | None, message: Mark | PlayDone | None, detail: str = ""
    ) -> None:
        if waiting is not None and not waiting.done():
            waiting.set_result(PlaybackAnswer(self._clock.now(), message, detail))

    def _take_word(self, word: ServerNotice) -> None:
        match word.type:
            case ToolMessageType.GRANTED if self._granted is not None and not self._granted.done():
                self._granted.set_result(None)
            case ToolMessageType.SYNCED if self._synced:
                answer = self._synced.popleft()
                if not answer.done():
                    answer.set_result(word.data)
            case ToolMessageType.ERROR:
                self._take_refusal(word)

    def _take_refusal(self, word: ServerNotice) -> None:
        detail = word.complaint or ""
        match word.data.get("reason"), word.data.get("id"):
            case RefusalReason.KILLED, str(clip):
                self._answer(self._clips.pop(clip, None), None, detail)
            case RefusalReason.KILLED, _:
                if not self.killed.done():
                    self.killed.set_result(detail)
            case RefusalReason.CALL_ENDING, _:
                raise NotFoundError(detail)
            case RefusalReason.TOO_SLOW, _:
                # It is about what we hear, which is nothing to a player.
                pass
            case _:
                raise ListenctlError(detail)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
