"""
One call of a load: it sends prebuilt frames when the scheduler asks for them, and measures the server.
Unlike a simulated call, it computes playout from times alone, and its audio starts with the connection.
"""

import asyncio
import uuid
from array import array
from collections.abc import Sequence

from listenctl.errors import RefusedError
from listenctl.load.frame_scheduler import FRAME_SECONDS, FrameScheduler
from listenctl.load.load_call_outcome import LoadCallEnding, LoadCallOutcome
from listenctl.load.load_frames import LoadFrames
from listenctl.load.measure_echo import EchoCheck
from listenctl.load.plan import LoadPlan
from listenctl.load.timed_playout import TimedPlayout
from listenctl.net.client_connection import ClientConnection, ConnectionEnd, connect
from listenctl.protocol.application_commands import Disconnect, PlayAudio, parse_command
from listenctl.protocol.jambonz_messages import Mark
from listenctl.protocol.jambonz_model.first_text import CallKind, first_text, first_text_fields
from listenctl.protocol.jambonz_model.profiles import CURRENT
from listenctl.protocol.jambonz_model.send_buffer import SendBuffer

CLOSE_TIMEOUT = 5.0
ECHO_SECONDS = 1.0
"""Seconds to wait for the end of an echo; silence is sent meanwhile."""
_LATENESS_AT_ONCE = 50
"""Frames whose lateness is counted together, which takes half of the time."""
_PHONE_RATE = 8000


class LoadCall:
    def __init__(self, number: int, plan: LoadPlan, prebuilt: LoadFrames, loop: asyncio.AbstractEventLoop) -> None:
        self.outcome = LoadCallOutcome(number, str(uuid.uuid4()), plan.format(number))
        self._plan = plan
        self._prebuilt = prebuilt
        self._loop = loop
        self._total = max(1, round(plan.hold / FRAME_SECONDS))
        self._stream_rate = plan.echo_rate(self.outcome.format.sample_rate)
        self._playout = TimedPlayout(self._stream_rate)
        self._buffer = SendBuffer(prebuilt.audio_format, resampled=self.outcome.format.sample_rate != _PHONE_RATE)
        self._echo: EchoCheck | None = None
        self.start = 0.0  # when the first frame is due; set by the scheduler
        self._connection: ClientConnection | None = None  # None before the call and after it
        self._connecting: asyncio.Task[object] | None = None
        self._over = asyncio.Event()
        self._disconnected = self._stopped = False
        self._connected = 0.0
        self._lateness = array("d")  # what the outcome doesn't count yet
        self._answering: asyncio.TimerHandle | None = None

    @property
    def is_live(self) -> bool:
        return self._connection is not None

    async def run(self, scheduler: FrameScheduler) -> LoadCallOutcome:
        outcome = self.outcome
        if self._over.is_set():
            return outcome
        task = self._connecting = asyncio.current_task()
        try:
            connection = await connect(self._plan.target, self)
        except RefusedError as exc:
            outcome.ending, outcome.problem = LoadCallEnding.FAILED, str(exc)
            return outcome
        except asyncio.CancelledError:
            if task is None or not self._over.is_set():
                raise
            task.uncancel()
            return outcome
        self._connecting = None
        self._begin(connection, scheduler)
        await self._over.wait()
        outcome.ending, outcome.problem = await self._hang_up(connection)
        if self._echo is not None:
            outcome.echo = self._echo.result(min(outcome.frames, self._total))
            outcome.echo_delays, outcome.echo_gains = self._echo.delays, self._echo.gains
        return outcome

    def hang_up_now(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        self._stopped = not self._over.is_set()
        self._end()

    def send_frame(self, due: float) -> bool:
        """Send the frame that was due at ``due``; return whether another one follows."""
        connection = self._connection
        if connection is None:
            return False
        outcome, prebuilt = self.outcome, self._prebuilt
        number = outcome.frames
        if number < self._total:
            place = number % len(prebuilt.frames)
            unsent = connection.send_unless_blocked(prebuilt.frames[place])
            if unsent is None:
                self._queue(connection, prebuilt.payloads[place])
            elif unsent:
                self._note_unread(connection)
        elif self._waits_for_echo():
            self._queue(connection, prebuilt.silence)
        else:
            self._end()
            return False
        outcome.frames = number + 1
        self._lateness.append(self._loop.time() - due)
        if len(self._lateness) >= _LATENESS_AT_ONCE:
            self._count_lateness()
        return True

    def on_text(self, data: bytes, *, fragments: Sequence[int]) -> None:  # noqa: ARG002 - a listener's parameter
        now = self._loop.time()
        command = parse_command(data)
        if isinstance(command, Disconnect):
            self._disconnected = True
            self._end()
        elif isinstance(command, PlayAudio) and self._stream_rate is not None:
            self.outcome.ignored_clips += 1
        if self._playout.take_command(command, now):
            self._note_first_audio(now)
        self._set_answer_timer()

    def on_audio(self, data: bytes, *, fragments: Sequence[int]) -> None:  # noqa: ARG002 - a listener's parameter
        """Play a stream; if the server can only play clips, jambonz discards it."""
        if self._stream_rate is None:
            self.outcome.ignored_bytes += len(data)
            return
        now = self._loop.time()
        if data:
            self._note_first_audio(now)
        self._playout.take_audio(len(data), now)
        if self._echo is not None:
            self._echo.take_audio(data, now)

    def on_writable(self) -> None:
        if self._connection is not None:
            self._drain(self._connection)

    def on_end(self, end: ConnectionEnd) -> None:
        self.outcome.end = end
        self._end()

    def _end(self) -> None:
        self._connection = None
        self._over.set()

    def _begin(self, connection: ClientConnection, scheduler: FrameScheduler) -> None:
        self._connection = connection
        self._connected = self._loop.time()
        self.outcome.handshake = connection.handshake.seconds
        fields = first_text_fields(
            CallKind.INBOUND,
            sample_rate=self.outcome.format.sample_rate,
            mix_type=self.outcome.format.mix_type,
            metadata={"callSid": self.outcome.call_sid},
            new_id=lambda: str(uuid.uuid4()),
            caller=f"+1555{self.outcome.number % 10_000_000:07d}",
            callee="+15084901000",
        )
        connection.send_text(first_text(fields, CURRENT))
        scheduler.add_call(self)
        if self._plan.echo:
            self._echo = EchoCheck(self._stream_rate or self.outcome.format.sample_rate, self.start)

    def _waits_for_echo(self) -> bool:
        if self._echo is None or self.outcome.frames >= self._total + ECHO_SECONDS / FRAME_SECONDS:
            return False
        return self._echo.echoed_blocks < self._total

    def _note_first_audio(self, now: float) -> None:
        if self.outcome.first_audio is None:
            self.outcome.first_audio = now - self._connected

    def _queue(self, connection: ClientConnection, payload: bytes) -> None:
        self.outcome.lost_samples += self._buffer.add_frame(payload)
        self._drain(connection)
        self._note_unread(connection)

    def _count_lateness(self) -> None:
        self.outcome.lateness.add_values(self._lateness)
        del self._lateness[:]

    def _drain(self, connection: ClientConnection) -> None:
        while connection.writable and (message := self._buffer.take_message()):
            connection.send_audio(message)

    def _note_unread(self, connection: ClientConnection) -> None:
        self.outcome.unread = max(self.outcome.unread, connection.unsent + self._buffer.waiting_bytes)

    def _set_answer_timer(self) -> None:
        if self._answering is not None:
            self._answering.cancel()
        due = self._playout.next_due
        self._answering = None if due is None else self._loop.call_at(due, self._answer)

    def _answer(self) -> None:
        self._answering = None
        if self._connection is None:
            return
        now = self._loop.time()
        for answer in self._playout.take_due_answers(now):
            for text in CURRENT.serialize_messages([answer.message]):
                self._connection.send_text(text.encode())
            if isinstance(answer.message, Mark):
                self.outcome.marks.add_value(now - answer.received)
        self._set_answer_timer()

    async def _hang_up(self, connection: ClientConnection) -> tuple[LoadCallEnding, str]:
        outcome = self.outcome
        outcome.seconds = self._loop.time() - self._connected
        self._count_lateness()
        if self._answering is not None:
            self._answering.cancel()
        # What still waits is never sent (listenctl-protocol(7) 7).
        self.outcome.lost_samples += self._prebuilt.audio_format.samples_in(self._buffer.waiting_bytes)
        ended_by_server = outcome.end is not None
        connection.hang_up()
        orderly = await connection.wait_closed(CLOSE_TIMEOUT)
        if ended_by_server:
            return _server_ending(outcome.end)
        if not orderly:
            return LoadCallEnding.FAILED, f"hung up, and {_describe_end(outcome.end)}"
        return self._own_ending(), ""

    def _own_ending(self) -> LoadCallEnding:
        if self._disconnected:
            return LoadCallEnding.EARLY
        return LoadCallEnding.CUT if self._stopped and self.outcome.frames < self._total else LoadCallEnding.COMPLETE


def _server_ending(end: ConnectionEnd | None) -> tuple[LoadCallEnding, str]:
    if end is not None and end.by == "server" and end.ended_well:
        return LoadCallEnding.EARLY, ""
    return LoadCallEnding.FAILED, _describe_end(end)


def _describe_end(end: ConnectionEnd | None) -> str:
    if end is None:
        return "the connection broke"
    if end.by == "server" and end.code is not None:
        return f"the server closed with {end.code} {end.reason}".rstrip()
    return end.detail or "the server did not close in order"
