"""The application's side of a captured call, played to a live client: the same frames at the same times."""

import asyncio
from collections import defaultdict, deque
from contextlib import suppress
from functools import partial

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from listenctl.background_task import background_task
from listenctl.capture.capture_events import CapturedFrame, FramesLost, SessionClosed
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.net.client_connection import fresh_mask
from listenctl.protocol.frames.frame_format import close_code
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.frames.websocket_messages import (
    BinaryMessages,
    FrameFault,
    MessageAssembler,
    ReceivedMessage,
    TextMessage,
)
from listenctl.protocol.jambonz_messages import parse_texts
from listenctl.protocol.listen_session import Sender
from listenctl.replay.plan import ApplicationPlan, ReplaySync
from listenctl.replay.replay_results import ApplicationResult
from listenctl.replay.replay_script import CapturedCall, ReplayScript, ReplayStep

ANSWER_TIMEOUT = 5.0
"""Seconds to wait for a text of jambonz beyond its time in the capture."""
STUCK_TIMEOUT = 30.0
"""Seconds after which a client that doesn't read has failed."""
MAX_EARLY_TEXTS = 10_000
"""The most texts of a kind that are remembered until the capture has them."""
CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the client after our Close."""
MAX_MESSAGE = 4 * 1024 * 1024

_READ_BYTES = 65_536


class ReplayedApplication:
    def __init__(
        self,
        plan: ApplicationPlan,
        call: CapturedCall,
        result: ApplicationResult,
        *,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.result = result
        self._plan = plan
        self._reader = reader
        self._writer = writer
        self._now = asyncio.get_running_loop().time
        self._call = call
        self._script: ReplayScript | None = None
        self._protocol = ServerProtocol(state=State.OPEN, max_size=MAX_MESSAGE)
        self._captured, self._live = (
            MessageAssembler(masked=True),
            MessageAssembler(masked=True, max_message=MAX_MESSAGE),
        )
        self._origin = self._began = 0.0
        self._times: defaultdict[str, deque[float]] = defaultdict(partial(deque, maxlen=MAX_EARLY_TEXTS))
        self._done = self._jambonz_closed = False
        self._gone = asyncio.Event()
        self._received = asyncio.Event()

    @property
    def notices(self) -> list[CaptureNotice]:
        return self._script.notices if self._script else []

    async def run(self) -> ApplicationResult:
        self._script = script = ReplayScript(self._plan.capture, self._call)
        self._origin = self._began = self._now()
        try:
            async with background_task(self._read_client()) as reading:
                await self._play(script)
                await asyncio.wait({reading}, timeout=CLOSE_TIMEOUT if self._done else None)
        finally:
            await script.close()
            self.result.seconds = self._now() - self._began
        return self.result

    def stop(self) -> None:
        self.result.interrupted = True
        self._done = True
        self._close(b"\x03\xe9")
        self._gone.set()
        self._writer.close()
        self._received.set()

    async def _play(self, script: ReplayScript) -> None:
        steps = aiter(script)
        async for step in steps:
            await self._take_step(step)
            if self.result.interrupted:
                rest = await script.count_rest(steps, Sender.APPLICATION)
                self.result.unsent = None if rest is None else (self.result.unsent or 0) + rest
                break

    # The client's messages.

    async def _read_client(self) -> None:
        try:
            while data := await self._reader.read(_READ_BYTES):
                self._protocol.receive_data(data)
                self._take_received()
        except OSError as exc:
            self.result.error = self.result.error or f"the connection broke: {exc.strerror or exc}"
        self._gone.set()
        self._received.set()
        self._writer.close()

    def _take_received(self) -> None:
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.CLOSE and self.result.closed is None:
                self.result.closed = close_code(bytes(event.data))
            frame = RawFrame(event.fin, 0, event.opcode, True, bytes(event.data))
            for message in self._live.feed_frame(frame):
                self._count_message(message)
        if self._protocol.parser_exc is not None and not self.result.error:
            self.result.error = f"the client sent an invalid frame: {self._protocol.parser_exc}"
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            elif self._writer.can_write_eof():
                self._writer.write_eof()
        if self._protocol.state is not State.OPEN:
            self._gone.set()
            self._received.set()

    def _count_message(self, message: ReceivedMessage | FrameFault) -> None:
        if isinstance(message, BinaryMessages):
            self.result.received_audio_bytes += len(message.data)
        elif isinstance(message, TextMessage):
            self.result.received_texts += 1
            self._times[text_kind(message)].append(self._now())
            self._received.set()

    # Our messages.

    async def _take_step(self, step: ReplayStep) -> None:
        match step.event:
            case CapturedFrame(sender=Sender.JAMBONZ, frame=frame):
                self._jambonz_closed = self._jambonz_closed or frame.opcode == Opcode.CLOSE
                for message in self._captured.feed_frame(frame) if self._plan.sync is ReplaySync.ANSWERS else ():
                    if isinstance(message, TextMessage):
                        await self._await_text(step.at, text_kind(message))
            case CapturedFrame(frame=frame):
                await self._send_frame(step.at, frame)
            case FramesLost(sender=Sender.APPLICATION):
                self.result.lost += 1
            case SessionClosed(sender=Sender.APPLICATION, how=StreamEnding.RST) if not self._done:
                await self._wait_until(step.at)
                self._done = True
                self._writer.transport.abort()

    async def _await_text(self, at: float, kind: str) -> None:
        """Wait for the next text of a kind; all that follows is timed from there."""
        times = self._times[kind]
        waits_until = self._due(at) + ANSWER_TIMEOUT
        while not times and not (self._gone.is_set() or self._done):
            self._received.clear()
            try:
                async with asyncio.timeout(max(0.0, waits_until - self._now())):
                    await self._received.wait()
            except TimeoutError:
                self.result.missed_texts += 1
                break
        self._origin = (times.popleft() if times else self._now()) - at / (self._plan.speed or 1.0)

    async def _send_frame(self, at: float, frame: RawFrame) -> None:
        # Pongs and the reply to a Close depend on the live client.
        if frame.opcode == Opcode.PONG or self._done or (frame.opcode == Opcode.CLOSE and self._jambonz_closed):
            return
        await self._wait_until(at)
        if self._gone.is_set():
            self.result.unsent = (self.result.unsent or 0) + (frame.opcode != Opcode.CLOSE)
        elif frame.opcode == Opcode.CLOSE:
            self._done = True
            self._close(frame.payload)
        else:
            self._writer.write(frame.serialize(fresh_mask()))
            self.result.frames += 1
            await self._drain()

    def _close(self, payload: bytes) -> None:
        """Send a Close of the capture; the library must know of it to accept the reply."""
        if self._gone.is_set() or self._writer.is_closing():
            return
        if self.result.closed is None:
            self.result.closed = close_code(payload)
        try:
            self._protocol.send_close()
            self._protocol.data_to_send()
        except InvalidState:
            return
        self._writer.write(RawFrame(True, 0, Opcode.CLOSE, False, payload).serialize(fresh_mask()))

    def _due(self, at: float) -> float:
        return self._origin + at / self._plan.speed if self._plan.speed else self._now()

    async def _wait_until(self, at: float) -> None:
        due = self._due(at)
        if due > self._now():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._gone.wait()
        await asyncio.sleep(0)
        if self._plan.speed:
            self.result.lateness = max(self.result.lateness or 0.0, self._now() - due)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(STUCK_TIMEOUT):
                await self._writer.drain()
        except TimeoutError:
            self.result.error = f"the client read nothing for {STUCK_TIMEOUT:g} s"
            self._done = True
            self._gone.set()
            self._writer.transport.abort()
        except OSError:
            self._gone.set()


def text_kind(text: TextMessage) -> str:
    return type(parse_texts(text.data)[0]).__name__
