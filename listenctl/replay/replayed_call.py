"""
jambonz's side of a captured call, played to a live server: the same frames at the same times.
Only masks and the callSid are new; replies to the live server's pings and Close are not from the capture.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from websockets.frames import Opcode

from listenctl.capture.capture_events import CapturedFrame, FramesLost, SessionClosed
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.errors import ListenctlError
from listenctl.net.client_connection import ClientConnection, ConnectionEnd, connect, fresh_mask
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.frames.frame_format import close_code
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from listenctl.replay.compare_answers import AnswerCollector
from listenctl.replay.plan import ReplayPlan
from listenctl.replay.replay_results import ReplayResult
from listenctl.replay.replay_script import CapturedCall, ReplayScript, ReplayStep

CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the server after our Close."""
SERVER_CLOSE_TIMEOUT = 2.0
"""Seconds to wait for a Close of the server if the application in the capture closed first."""
STUCK_TIMEOUT = 30.0
"""Seconds after which a server that doesn't read has failed."""
MAX_UNSENT = 1 << 20
BROKEN = "the connection broke"
"""How readers of dumps and recordings describe a connection that ended abnormally."""

_SID = re.compile(rb'("callSid"\s*:\s*")([^"\\]*)(")')


class ReplayedCall:
    """Play one call; ``sid`` is its new callSid, None keeps that of the capture."""

    def __init__(self, plan: ReplayPlan, call: CapturedCall, result: ReplayResult, *, sid: str | None) -> None:
        self.result = result
        self._plan = plan
        self._call = call
        self._sid = None if plan.same_sid else sid
        self._now = asyncio.get_running_loop().time
        self._answers = plan.compare and AnswerCollector(plan.compare, plan.speed)
        self._script: ReplayScript | None = None
        self._task: asyncio.Task[object] | None = None
        self._connection: ClientConnection | None = None
        self._started = self._ended = 0.0
        self._drained = asyncio.Event()
        self._over = asyncio.Event()
        self._first_text = self._done = self._stopped = self._broke_off = False
        self._server_close: tuple[float, int | None] | None = None
        self._over_in_capture = False

    @property
    def notices(self) -> list[CaptureNotice]:
        return self._script.notices if self._script else []

    async def run(self) -> ReplayResult:
        """Play the call to its end; an error is part of the result."""
        self._task = asyncio.current_task()
        try:
            self._script = ReplayScript(self._plan.capture, self._call)
            self._script.start_reading()
            self._connection = await connect(self._plan.target, self)
            self._started = self._now()
            steps = aiter(self._script)
            async for step in steps:
                await self._take_step(step)
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
        self._stopped = self.result.interrupted = True
        if self._connection is not None:
            self._connection.hang_up()
        elif self._task is not None:
            self._task.cancel()
        self._drained.set()
        self._over.set()

    # Callbacks of the connection.

    def on_text(self, data: bytes, *, fragments: Sequence[int]) -> None:  # noqa: ARG002 - of no interest here
        if self._answers:
            self._answers.add_live_text(self.elapsed, data)

    def on_audio(self, data: bytes, *, fragments: Sequence[int]) -> None:  # noqa: ARG002 - of no interest here
        if self._answers:
            self._answers.add_live_audio(self.elapsed, data)

    def on_writable(self) -> None:
        self._drained.set()

    def on_end(self, end: ConnectionEnd) -> None:
        self._ended = self.elapsed
        self.result.end = end
        self._drained.set()
        self._over.set()

    @property
    def elapsed(self) -> float:
        return 0.0 if self._connection is None else self._now() - self._started

    @property
    def _is_open(self) -> bool:
        return self._connection is not None and self._connection.is_open and not self._stopped

    async def _take_step(self, step: ReplayStep) -> None:
        match step.event:
            case CapturedFrame(sender=Sender.APPLICATION, frame=frame):
                if frame.opcode == Opcode.CLOSE and not self._over_in_capture:
                    self._over_in_capture, self._server_close = True, (step.at, close_code(frame.payload))
                # What it sent after our Close would not be received now.
                if self._answers and not self._done:
                    self._answers.add_captured_frame(step.at, frame)
            case CapturedFrame(frame=frame):
                await self._play(step.at, frame)
            case FramesLost(sender=Sender.JAMBONZ):
                self.result.lost += 1
            case SessionClosed(sender=sender, how=how):
                await self._end(step.at, sender, how)

    async def _play(self, at: float, frame: RawFrame) -> None:
        # Pongs answer the live server's pings instead.
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
            await asyncio.sleep(0)
            return
        due = self._started + at / self._plan.speed
        if due > self._now():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._over.wait()
        if self._is_open:
            self.result.lateness = max(self.result.lateness or 0.0, self._now() - due)

    async def _drain(self) -> None:
        """Wait while too many bytes are unsent; jambonz would drop audio instead."""
        assert self._connection is not None
        if self._connection.unsent <= MAX_UNSENT:
            return
        self._drained.clear()
        try:
            async with asyncio.timeout(STUCK_TIMEOUT):
                await self._drained.wait()
        except TimeoutError:
            self.result.error = f"the server read nothing for {STUCK_TIMEOUT:g} s"
            self._connection.abort()

    def _renamed(self, frame: RawFrame) -> RawFrame:
        """Put the new callSid into the first text; its other bytes stay."""
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
            self.result.notes.append("the callSid contains escapes and can't be replaced; it is sent as captured")
            return frame
        self.result.call_sid = self._sid
        if self._answers:
            self._answers.names = (new, old)
        return frame._replace(payload=payload)

    async def _close(self, payload: bytes) -> None:
        self._done = self._over_in_capture = True
        await self._wait_for_answers()
        if not self._is_open:
            return
        assert self._connection is not None
        if len(payload) == 1:
            self._connection.send_frames(RawFrame(True, 0, Opcode.CLOSE, True, payload).serialize(fresh_mask()))
            self._connection.end_without_close()
        else:
            self._connection.hang_up(close_code(payload), payload[2:])

    async def _wait_for_answers(self) -> None:
        """Wait for what the server should have sent by now: its Close, or answers that are a little late."""
        timeout = SERVER_CLOSE_TIMEOUT if self._server_close else 0.0
        if self._plan.compare:
            timeout = max(timeout, self._plan.compare.tolerance)
        deadline = self._now() + timeout
        while self._is_open and self._now() < deadline:
            if not (self._server_close or (self._answers and self._answers.is_incomplete)):
                break
            await asyncio.sleep(0.01)

    async def _end(self, at: float, sender: Sender | None, how: StreamEnding | str) -> None:
        # Other events of one side, such as a TLS alert, are not its end.
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
        await self._wait_for_answers()
        if sender is Sender.JAMBONZ:
            self._connection.end_without_close()
            return
        if self._connection.is_open and not self._server_close:
            why = "it ends before" if how == StreamEnding.CAPTURE else how
            self.result.notes.append(f"the capture has no Close of jambonz ({why}); closed with 1000")
        self._connection.hang_up()

    async def _finish(self) -> None:
        assert self._connection is not None
        result = self.result
        # The script of a damaged capture may end without a close.
        self._connection.hang_up()
        result.taken = await self._connection.wait_closed(CLOSE_TIMEOUT)
        result.seconds = self._now() - self._started
        if result.end is not None:
            result.cut_short = bool(result.unplayed) and not self._stopped and not self._ended_in_time(result.end)
            result.error = result.error or self._end_error(result.end)
        if self._answers:
            closed_first = self._server_close is not None
            compare = self._answers.compare
            result.comparison = await asyncio.to_thread(compare, result.end, self._ended, closed_first=closed_first)

    def _ended_in_time(self, end: ConnectionEnd) -> bool:
        """Return whether the server ended the call about when the application did in the capture."""
        return bool(end.ended_well and self._server_close and self.result.early <= SERVER_CLOSE_TIMEOUT)

    def _end_error(self, end: ConnectionEnd) -> str:
        """Return what was wrong with the end, unless it was the same in the capture."""
        expected = self._server_close is not None and self._server_close[1] == end.code and not end.detail
        if end.ended_well or expected or self._broke_off:
            return ""
        return end.detail or f"the server closed with {end.code} {end.reason}".rstrip()
