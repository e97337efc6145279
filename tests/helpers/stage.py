"""A simulated call on a stage: a server that keeps what it gets, and a clock that goes as far as a test lets it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from listenctl.events import Reporter
from listenctl.net.call_target import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_log import SimulatedCallResult
from tests.helpers.clock import FakeClock
from tests.helpers.scripted_server import accept, read_request, serving
from tests.helpers.server import Events
from tests.helpers.wire_frames import FrameCutter, WireFrame

TEXT, AUDIO, CLOSE = 0x81, 0x82, 0x88


class HeldClock(FakeClock):
    """For one sleeper: time passes at once up to where the test lets it go, and stands still there."""

    def __init__(self) -> None:
        super().__init__()
        self._start = self._until = self.now()
        self._released = asyncio.Event()
        self._held = asyncio.Event()

    async def sleep(self, delay: float) -> None:
        """Let ``delay`` pass when the test does."""
        while self.now() + delay > self._until + 1e-9:
            self._held.set()
            self._released.clear()
            await self._released.wait()
        await super().sleep(delay)
        await asyncio.sleep(0)

    async def run(self, seconds: float) -> None:
        """Go on to ``seconds`` after the start, and wait until the sleeper wants to sleep beyond that."""
        self._until = self._start + seconds
        self._held.clear()
        self._released.set()
        await self._held.wait()

    def release(self) -> None:
        """Never stand still again."""
        self._until = float("inf")
        self._released.set()


class FarEnd:
    """
    The server of one call.

    Args:
        answer: to the handshake, made of its key.
        answers_at_once: whether the handshake is answered before the test says ``let_in``.
    """

    def __init__(self, answer: Callable[[bytes], bytes] = accept, *, answers_at_once: bool = True) -> None:
        self.asked = asyncio.Event()
        self.frames: list[WireFrame] = []
        self.left = False
        """The client has ended its side."""
        self._answer = answer
        self._let_in = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()
        self._changed = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        if answers_at_once:
            self.let_in()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the call; a Close is answered when the client has ended its side."""
        self._writer = writer
        _, key = await read_request(reader)
        self.asked.set()
        await self._wait_or_end(reader)
        writer.write(self._answer(key))
        cutter = FrameCutter()
        await self._reads.wait()
        while data := await _read(reader):
            self.frames += cutter.feed(data)
            self._changed.set()
            await self._reads.wait()
        self.left = True
        self._changed.set()
        if self.of(CLOSE):
            writer.write(b"\x88\x02\x03\xe8")

    async def _wait_or_end(self, reader: asyncio.StreamReader) -> None:
        """Wait until the client may come in, or doesn't want to any more."""
        letting = asyncio.create_task(self._let_in.wait())
        leaving = asyncio.create_task(reader.read(1))
        await asyncio.wait([letting, leaving], return_when=asyncio.FIRST_COMPLETED)
        self.left = leaving.done() and not self._let_in.is_set()
        for task in (letting, leaving):
            task.cancel()
        await asyncio.wait([letting, leaving])

    def let_in(self) -> None:
        """Answer the handshake."""
        self._let_in.set()

    def stop_reading(self) -> None:
        """Read nothing until the test says ``read_again``; the kernel takes no more for us than it has room for now."""
        assert self._writer is not None
        connection: socket.socket = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self._reads.clear()

    def read_again(self) -> None:
        """Read on."""
        self._reads.set()

    def say(self, *frames: bytes) -> None:
        """Send frames."""
        assert self._writer is not None
        self._writer.write(b"".join(frames))

    def vanish(self, *, reset: bool) -> None:
        """End the connection without a Close."""
        assert self._writer is not None
        if reset:
            connection: socket.socket = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        else:
            self._writer.write_eof()

    def of(self, first: int) -> list[bytes]:
        """Return what stood in the frames of one kind so far."""
        return [frame.payload for frame in self.frames if frame.first == first]

    @property
    def audio(self) -> bytes:
        """All audio so far."""
        return b"".join(self.of(AUDIO))

    @property
    def texts(self) -> list[str]:
        """The texts behind the first so far."""
        return [text.decode() for text in self.of(TEXT)[1:]]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what came makes ``condition`` true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except ConnectionError:
        return b""


@dataclass(frozen=True, slots=True)
class Stage:
    """A call that has been placed."""

    call: SimulatedCall
    running: asyncio.Task[SimulatedCallResult]
    clock: HeldClock
    events: Events
    far_end: FarEnd

    async def connected(self) -> None:
        """Wait until the call has begun."""
        await self.events.wait_for("call-started")

    async def run(self, seconds: float) -> None:
        """Let the call go on to that time."""
        await self.clock.run(seconds)

    async def finish(self) -> SimulatedCallResult:
        """Let the call go on to its end."""
        self.clock.release()
        return await self.running


@asynccontextmanager
async def placed(plan: CallPlan, far_end: FarEnd | None = None) -> AsyncIterator[Stage]:
    """Place a call of ``plan``, whatever its target; its clock stands still."""
    far_end = far_end or FarEnd()
    clock, events = HeldClock(), Events()
    async with serving(far_end.serve) as port:
        address = parse_websocket_url(f"ws://127.0.0.1:{port}/media?call=1")
        call = SimulatedCall(replace(plan, target=CallTarget(address=address)), Reporter(events), clock=clock)
        running = asyncio.create_task(call.run())
        try:
            yield Stage(call, running, clock, events, far_end)
        finally:
            far_end.read_again()
            far_end.let_in()
            running.cancel()
            await asyncio.wait([running])
