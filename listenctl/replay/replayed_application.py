"""
The application of a capture, played again: a server that takes calls and says what it said, at the same moments.

Frames that come are the library's affair, pings and the answer to a Close included.
"""

import asyncio
from collections import defaultdict, deque
from functools import partial

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from listenctl.capture.capture_events import CapturedFrame, FramesLost, SessionClosed
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.media.pacing import Clock
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
from listenctl.replay.plan import ApplicationPlan, ApplicationResult, ReplaySync
from listenctl.replay.replay_script import CapturedCall, ReplayScript, ReplayStep

ANSWER_PATIENCE = 5.0
"""Seconds to wait for a text of jambonz longer than it took in the capture."""
STUCK = 30.0
"""Seconds after which a client that takes nothing has failed."""
MAX_TIMES = 10_000
"""Texts of a kind that may have come before their time."""
FAREWELL = 5.0
"""Seconds to wait for the client after our Close."""
MAX_MESSAGE = 4 * 1024 * 1024

_READ_BYTES = 65_536


class ReplayedApplication:
    """
    Play the application's side of a call to the client at a connection, after the handshake.

    Args:
        result: is filled in.
    """

    def __init__(
        self,
        plan: ApplicationPlan,
        call: CapturedCall,
        result: ApplicationResult,
        *,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        clock: Clock,
    ) -> None:
        self.result = result
        self._plan = plan
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._call = call
        self._script: ReplayScript | None = None
        self._protocol = ServerProtocol(state=State.OPEN, max_size=MAX_MESSAGE)
        self._captured, self._live = (
            MessageAssembler(masked=True),
            MessageAssembler(masked=True, max_message=MAX_MESSAGE),
        )
        self._origin = self._began = 0.0
        self._times: defaultdict[str, deque[float]] = defaultdict(partial(deque, maxlen=MAX_TIMES))
        self._done = self._jambonz_closed = self._gone = False
        self._heard = asyncio.Event()

    @property
    def notices(self) -> list[CaptureNotice]:
        """What is wrong with the capture, as far as it was read."""
        return self._script.notices if self._script else []

    async def run(self) -> ApplicationResult:
        """
        Say everything, and wait until the client has gone.

        Raises:
            UsageError: the capture can't be read any more.
        """
        self._script = script = ReplayScript(self._plan.capture, self._call)
        self._origin = self._began = self._clock.now()
        listening = asyncio.create_task(self._listen())
        try:
            steps = aiter(script)
            async for step in steps:
                await self._take(step)
                if self.result.interrupted:
                    rest = await script.count_rest(steps, Sender.APPLICATION)
                    self.result.unsaid = None if rest is None else (self.result.unsaid or 0) + rest
                    break
            await asyncio.wait({listening}, timeout=FAREWELL if self._done else None)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await script.close()
            self.result.seconds = self._clock.now() - self._began
        return self.result

    def stop(self) -> None:
        """Close the call now."""
        self.result.interrupted = True
        self._done = True
        self._close(b"\x03\xe9")
        self._gone = True
        self._writer.close()
        self._heard.set()

    # What the client says.

    async def _listen(self) -> None:
        try:
            while data := await self._reader.read(_READ_BYTES):
                self._protocol.receive_data(data)
                self._hear()
        except OSError as exc:
            self.result.error = self.result.error or f"the connection broke: {exc.strerror or exc}"
        self._gone = True
        self._heard.set()
        self._writer.close()

    def _hear(self) -> None:
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.CLOSE and self.result.closed is None:
                self.result.closed = close_code(bytes(event.data))
            frame = RawFrame(event.fin, 0, event.opcode, True, bytes(event.data))
            for message in self._live.feed_frame(frame):
                self._count(message)
        if self._protocol.parser_exc is not None and not self.result.error:
            self.result.error = f"the client sent a frame that can't be taken: {self._protocol.parser_exc}"
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            elif self._writer.can_write_eof():
                self._writer.write_eof()
        if self._protocol.state is not State.OPEN:
            self._gone = True
            self._heard.set()

    def _count(self, message: ReceivedMessage | FrameFault) -> None:
        if isinstance(message, BinaryMessages):
            self.result.audio_bytes += len(message.data)
        elif isinstance(message, TextMessage):
            self.result.texts += 1
            self._times[kind_of(message)].append(self._clock.now())
            self._heard.set()

    # What we say.

    async def _take(self, step: ReplayStep) -> None:
        match step.event:
            case CapturedFrame(sender=Sender.JAMBONZ, frame=frame):
                self._jambonz_closed = self._jambonz_closed or frame.opcode == Opcode.CLOSE
                for message in self._captured.feed_frame(frame) if self._plan.sync is ReplaySync.ANSWERS else ():
                    if isinstance(message, TextMessage):
                        await self._await_text(step.at, kind_of(message))
            case CapturedFrame(frame=frame):
                await self._say(step.at, frame)
            case FramesLost(sender=Sender.APPLICATION):
                self.result.lost += 1
            case SessionClosed(sender=Sender.APPLICATION, how=StreamEnding.RST) if not self._done:
                await self._wait_until(step.at)
                self._done = True
                self._writer.transport.abort()

    async def _await_text(self, at: float, kind: str) -> None:
        """Wait for the next text of a kind, and let all that follows count from there."""
        times = self._times[kind]
        waits_until = self._due(at) + ANSWER_PATIENCE
        while not times and not (self._gone or self._done):
            self._heard.clear()
            try:
                async with asyncio.timeout(max(0.0, waits_until - self._clock.now())):
                    await self._heard.wait()
            except TimeoutError:
                self.result.missed += 1
                break
        self._origin = (times.popleft() if times else self._clock.now()) - at / (self._plan.speed or 1.0)

    async def _say(self, at: float, frame: RawFrame) -> None:
        # What pings there were is the live client's affair, and so is a Close to be answered.
        if frame.opcode == Opcode.PONG or self._done or (frame.opcode == Opcode.CLOSE and self._jambonz_closed):
            return
        await self._wait_until(at)
        if self._gone:
            self.result.unsaid = (self.result.unsaid or 0) + (frame.opcode != Opcode.CLOSE)
        elif frame.opcode == Opcode.CLOSE:
            self._done = True
            self._close(frame.payload)
        else:
            self._writer.write(frame.serialize(fresh_mask()))
            self.result.frames += 1
            await self._drain()

    def _close(self, payload: bytes) -> None:
        """Send a Close, and let the library know of it, so that it takes the answer for one."""
        if self._gone or self._writer.is_closing():
            return
        if self.result.closed is None and len(payload) > 1:
            self.result.closed = int.from_bytes(payload[:2], "big")
        try:
            self._protocol.send_close()
            self._protocol.data_to_send()
        except InvalidState:
            return
        self._writer.write(RawFrame(True, 0, Opcode.CLOSE, False, payload).serialize(fresh_mask()))

    def _due(self, at: float) -> float:
        return self._origin + at / self._plan.speed if self._plan.speed else self._clock.now()

    async def _wait_until(self, at: float) -> None:
        due = self._due(at)
        while (delay := due - self._clock.now()) > 0 and not self._gone:
            await self._clock.sleep(min(delay, 0.25))
        await self._clock.sleep(0.0)
        if self._plan.speed:
            self.result.lateness = max(self.result.lateness or 0.0, self._clock.now() - due)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(STUCK):
                await self._writer.drain()
        except TimeoutError:
            self.result.error = f"the client took nothing for {STUCK:g} s"
            self._done = self._gone = True
            self._writer.transport.abort()
        except OSError:
            self._gone = True


def kind_of(text: TextMessage) -> str:
    """Return what kind of message a text of jambonz is."""
    return type(parse_texts(text.data)[0]).__name__
