"""
One call of a capture, played again: what jambonz sent goes to a live server, at the same moments.

Frames are those of the capture, byte for byte, with new masks and but for the callSid. Not from the capture are the
answers to the live server's pings and to its Close. Deadlines count from the handshake, so nothing drifts.
"""

import asyncio
import re
from collections.abc import AsyncIterator

from websockets.frames import Opcode

from listenctl.capture.capture_events import CapturedFrame, FramesLost, SessionClosed
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.errors import ListenctlError
from listenctl.media.pacing import Clock, SystemClock
from listenctl.net.client_connection import ClientConnection, ConnectionEnd, connect, fresh_mask
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.frames.frame_format import close_code
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.replay.compare_answers import AnswerCollector
from listenctl.replay.plan import ReplayPlan, ReplayResult
from listenctl.replay.replay_script import CapturedCall, ReplayScript, ReplayStep

FAREWELL = 5.0
"""Seconds to wait for the server after our Close."""
CLOSE_PATIENCE = 2.0
"""Seconds to wait for a Close of the server where the application in the capture closed first."""
STUCK = 30.0
"""Seconds after which a server that takes nothing has failed."""
MAX_UNSENT = 1 << 20
BROKEN = "the connection broke"
"""What the readers of dumps and recordings say of a connection that ended in no order."""

_SLICE = 0.25
_SID = re.compile(rb'("callSid"\s*:\s*")([^"\\]*)(")')


class ReplayedCall:
    """
    Play one call.

    Args:
        result: is filled in.
        sid: for the call; None leaves what was.
    """

    def __init__(
        self, plan: ReplayPlan, call: CapturedCall, result: ReplayResult, *, sid: str | None, clock: Clock | None = None
    ) -> None:
        self.result = result
        self._plan = plan
        self._call = call
        self._sid = None if plan.same_sid else sid
        self._clock = clock or SystemClock()
        self._answers = plan.compare and AnswerCollector(plan.compare, plan.speed)
        self._script: ReplayScript | None = None
        self._task: asyncio.Task[object] | None = None
        self._connection: ClientConnection | None = None
        self._started = self._ended = 0.0
        self._drained = asyncio.Event()
        self._first_text = self._done = self._stopped = self._broke_off = False
        self._server_close: tuple[float, int | None] | None = None
        self._over_in_capture = False

    @property
    def notices(self) -> list[CaptureNotice]:
        """What is wrong with the capture, as far as it was read."""
        return self._script.notices if self._script else []

    async def run(self) -> ReplayResult:
        """Play it to its end; what prevents that stands in the result."""
        self._task = asyncio.current_task()
        try:
            self._script = ReplayScript(self._plan.capture, self._call)
            self._script.begin()
            self._connection = await connect(self._plan.target, self)
            self._started = self._clock.now()
            steps = aiter(self._script)
            async for step in steps:
                await self._take(step)
                if self._stopped:
                    break
            await self._finish()
            if self._stopped:
                await self._count_rest(self._script, steps)
        except ListenctlError as exc:
            self.result.error = str(exc)
        finally:
            if self._connection is not None:
                self._connection.abort()
            if self._script is not None:
                await self._script.close()
        return self.result

    def stop(self) -> None:
        """Hang up now; a call that isn't connected yet is cancelled."""
        self._stopped = self.result.interrupted = True
        if self._connection is not None:
            self._connection.hang_up()
        elif self._task is not None:
            self._task.cancel()
        self._drained.set()

    # What the connection tells.

    def on_text(self, data: bytes, *, fragmented: bool) -> None:  # noqa: ARG002 - of no interest here
        """Take an answer."""
        if self._answers:
            self._answers.take_text(self.elapsed, data)

    def on_audio(self, data: bytes, *, fragmented: bool) -> None:  # noqa: ARG002 - of no interest here
        """Take audio."""
        if self._answers:
            self._answers.take_audio(self.elapsed, data)

    def on_writable(self) -> None:
        """Go on after a pause."""
        self._drained.set()

    def on_end(self, end: ConnectionEnd) -> None:
        """Note that the connection has ended."""
        self._ended = self.elapsed
        self.result.end = end
        self._drained.set()

    @property
    def elapsed(self) -> float:
        """Seconds since the handshake; 0 before."""
        return 0.0 if self._connection is None else self._clock.now() - self._started

    @property
    def _is_open(self) -> bool:
        return self._connection is not None and self._connection.is_open and not self._stopped

    # The course of the call.

    async def _take(self, step: ReplayStep) -> None:
        match step.event:
            case CapturedFrame(sender=Sender.APPLICATION, frame=frame):
                if frame.opcode == Opcode.CLOSE and not self._over_in_capture:
                    self._over_in_capture, self._server_close = True, (step.at, close_code(frame.payload))
                # What it said behind our Close, nobody would hear now.
                if self._answers and not self._done:
                    self._answers.expect(step.at, frame)
            case CapturedFrame(frame=frame):
                await self._play(step.at, frame)
            case FramesLost(sender=Sender.JAMBONZ):
                self.result.lost += 1
            case SessionClosed(sender=sender, how=how):
                await self._end(step.at, sender, how)

    async def _play(self, at: float, frame: RawFrame) -> None:
        # The live server's pings are answered as they come.
        if frame.opcode == Opcode.PONG or self._done:
            return
        await self._wait_until(at)
        if frame.opcode == Opcode.CLOSE:
            await self._close(frame.payload)
        elif not self._is_open:
            self._leave_out(at)
        else:
            assert self._connection is not None
            self._connection.send_frames(self._renamed(frame).serialize(fresh_mask()))
            self.result.frames += 1
            self.result.bytes += len(frame.payload)
            await self._drain()

    async def _count_rest(self, script: ReplayScript, steps: AsyncIterator[ReplayStep]) -> None:
        rest = await script.count_rest(steps, Sender.JAMBONZ)
        unplayed = self.result.unplayed
        self.result.unplayed = None if rest is None or unplayed is None else unplayed + rest

    def _leave_out(self, at: float) -> None:
        if self.result.unplayed is not None:
            self.result.unplayed += 1
        if not self._stopped:
            self.result.early = at / (self._plan.speed or 1.0) - self._ended

    async def _wait_until(self, at: float) -> None:
        if self._plan.speed is None or not self._is_open:
            await self._clock.sleep(0.0)
            return
        due = self._started + at / self._plan.speed
        # In slices, because the server may end the call in the midst of a pause.
        while (delay := due - self._clock.now()) > 0 and self._is_open:
            await self._clock.sleep(min(delay, _SLICE))
        if self._is_open:
            self.result.lateness = max(self.result.lateness or 0.0, self._clock.now() - due)

    async def _drain(self) -> None:
        """Wait while too much waits to be sent; jambonz would drop it instead."""
        assert self._connection is not None
        if self._connection.unsent <= MAX_UNSENT:
            return
        self._drained.clear()
        try:
            async with asyncio.timeout(STUCK):
                await self._drained.wait()
        except TimeoutError:
            self.result.error = f"the server took nothing for {STUCK:g} s"
            self._connection.abort()

    def _renamed(self, frame: RawFrame) -> RawFrame:
        """Put our own callSid into the first text, whose other bytes stay."""
        if self._first_text or frame.opcode != Opcode.TEXT:
            return frame
        self._first_text = True
        before = CallMetadata.parse(frame.payload).call_sid
        self.result.call_sid = before
        if self._sid is None or before is None:
            return frame
        old, new = before.encode(), self._sid.encode()
        payload = _SID.sub(lambda found: found[1] + new + found[3] if found[2] == old else found[0], frame.payload)
        if payload == frame.payload:
            self.result.notes.append("the callSid is written in a way that can't be replaced, and stays as it was")
            return frame
        self.result.call_sid = self._sid
        if self._answers:
            self._answers.names = (new, old)
        return frame._replace(payload=payload)

    async def _close(self, payload: bytes) -> None:
        self._done = self._over_in_capture = True
        await self._hear_out()
        if not self._is_open:
            return
        assert self._connection is not None
        if len(payload) == 1:
            self._connection.send_frames(RawFrame(True, 0, Opcode.CLOSE, True, payload).serialize(fresh_mask()))
            self._connection.end_without_close()
        else:
            self._connection.hang_up(close_code(payload), payload[2:])

    async def _hear_out(self) -> None:
        """Wait for what the server may still say by now: its Close, or answers that are a little late."""
        patience = CLOSE_PATIENCE if self._server_close else 0.0
        if self._answers:
            patience = max(patience, self._answers.tolerance)
        deadline = self._clock.now() + patience
        while self._is_open and self._clock.now() < deadline:
            if not (self._server_close or (self._answers and self._answers.outstanding)):
                break
            await self._clock.sleep(0.01)

    async def _end(self, at: float, sender: Sender | None, how: StreamEnding | str) -> None:
        # Other things that are said of one side, such as an alert of TLS, are not the end of it.
        breaks = how == (BROKEN if sender is None else StreamEnding.RST)
        ends = sender is None or how == StreamEnding.FIN
        if sender is Sender.APPLICATION or self._done or not (breaks or ends):
            return
        await self._wait_until(at)
        self._done = self._over_in_capture = True
        if self._connection is None or not self._is_open:
            return
        if breaks:
            self._broke_off = True
            self._connection.abort()
            return
        await self._hear_out()
        if sender is Sender.JAMBONZ:
            self._connection.end_without_close()
            return
        if self._connection.is_open and not self._server_close:
            why = "it ends before" if how == StreamEnding.CAPTURE else how
            self.result.notes.append(f"the capture has no Close of jambonz ({why}); hung up with 1000")
        self._connection.hang_up()

    async def _finish(self) -> None:
        assert self._connection is not None
        result = self.result
        # The script of a damaged capture may just stop.
        self._connection.hang_up()
        result.taken = await self._connection.wait_closed(FAREWELL)
        result.seconds = self._clock.now() - self._started
        if result.end is not None:
            result.cut_short = bool(result.unplayed) and not self._stopped and not self._ended_in_time(result.end)
            result.error = result.error or self._fault(result.end)
        if self._answers:
            closed_first = self._server_close is not None
            finish = self._answers.finish
            result.comparison = await asyncio.to_thread(finish, result.end, self._ended, closed_first=closed_first)

    def _ended_in_time(self, end: ConnectionEnd) -> bool:
        """Whether the server ended the call about when the application did in the capture."""
        return bool(end.ended_well and self._server_close and self.result.early <= CLOSE_PATIENCE)

    def _fault(self, end: ConnectionEnd) -> str:
        """Say what was wrong with the end, if it was, and other than in the capture."""
        expected = self._server_close is not None and self._server_close[1] == end.code and not end.detail
        if end.ended_well or expected or self._broke_off:
            return ""
        return end.detail or f"the server closed with {end.code} {end.reason}".rstrip()
