"""
One simulated call: a jambonz of our own that places it, plays what the server sends, and says what it made of that.

The call's own time starts with the tap, before the server is connected to: what is said meanwhile waits, and goes out
in one message (protocol.md 3.3). Frames and playout follow absolute deadlines from there.
"""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace

from listenctl.errors import ListenctlError, RefusedError
from listenctl.events import Reporter
from listenctl.media.pacing import Clock, SystemClock
from listenctl.net.client_connection import ClientConnection, ConnectionEnd, connect
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.jambonz_model.first_text import describe_damage, first_text
from listenctl.protocol.jambonz_model.send_buffer import SendBuffer
from listenctl.protocol.listen_verb.listen_verb import ends_call
from listenctl.simulator.action_hook import call_action_hook, hook_payload
from listenctl.simulator.call_snapshot import CallSnapshot, CallState
from listenctl.simulator.injected_faults import ClosingMode, InjectedFaults
from listenctl.simulator.plan import CallPlan, CallTime, metadata_of
from listenctl.simulator.simulated_audio import SimulatedAudio
from listenctl.simulator.simulated_call_log import SimulatedCallLog, SimulatedCallResult
from listenctl.simulator.simulated_exchange import CallSender, Exchange, Talk

FAREWELL = 5.0
"""Seconds to wait for the server after Close; jambonz wouldn't, but a call is only through when the server has it."""
_KEY_TIME = 0.2


def _new_id() -> str:
    return str(uuid.uuid4())


class SimulatedCall:
    """Place the call of a plan; report what happens in it as events."""

    def __init__(
        self, plan: CallPlan, reporter: Reporter, *, clock: Clock | None = None, new_id: Callable[[], str] = _new_id
    ) -> None:
        self.plan = plan
        self._clock = clock or SystemClock()
        self._time = CallTime(self._clock)
        self._troubles = InjectedFaults(plan.faults, channels=plan.audio_format.channels)
        self._attributes, fields = metadata_of(plan, new_id)
        self._first_text = first_text(fields, plan.profile)
        self.metadata = CallMetadata.from_fields(fields)
        self._fork = SendBuffer(
            plan.audio_format,
            seconds=self._troubles.buffer_seconds(plan.buffer),
            resampled=plan.call_rate != plan.verb.sample_rate,
            call_rate=plan.call_rate,
        )
        self._outlet = CallSender(self._fork, self._troubles, self._first_text, lambda: self._time.connected_for)
        self._log = SimulatedCallLog(plan, self.metadata, reporter)
        self._exchange = Exchange(plan, outlet=self._outlet, log=self._log, time=self._time)
        self._talk = Talk(
            plan,
            exchange=self._exchange,
            outlet=self._outlet,
            troubles=self._troubles,
            log=self._log,
            time=self._time,
        )
        self._connection: ClientConnection | None = None
        self._end: asyncio.Future[ConnectionEnd] | None = None
        self._state: CallState = "connecting"
        self._audio: SimulatedAudio | None = None
        self._finish_key: str | None = None
        self._taken = False
        self._cause = ""
        self._task: asyncio.Task[SimulatedCallResult] | None = None

    async def run(self) -> SimulatedCallResult:
        """
        Place the call and see it through.

        Raises:
            RefusedError: the server can't be reached or doesn't take the call.
            ListenctlError: a file or device of the plan can't be used.
        """
        self._end = asyncio.get_running_loop().create_future()
        self._task = asyncio.current_task()
        self._log.begin()
        self._audio = audio = await SimulatedAudio.open(self.plan, self._exchange.playout, self._log.sound)
        self._talk.sent.warm_up()
        try:
            if self.plan.verb.play_beep:
                await audio.beep(self._clock)
            self._time.start()
            failure = await self._place(audio)
        finally:
            self._state = "ended"
            await self._call_action_hook()
            await audio.close()
            if self._connection is None and self.plan.heard is not None:
                self.plan.heard.unlink(missing_ok=True)
        summary = self._log.close(
            self._end.result(),
            elapsed=self.elapsed,
            unsent_samples=self.plan.audio_format.samples(self._fork.waiting_bytes),
            taken=self._taken,
            cause=self._cause,
        )
        if failure is not None:
            raise failure
        return summary

    @property
    def elapsed(self) -> float:
        """Seconds since the tap was started, up to the end of the call; the server's farewell is no part of that."""
        return self._time.elapsed

    @property
    def passes_dtmf(self) -> bool:
        """Whether the server is told of keys."""
        return self.plan.verb.pass_dtmf

    def press_digit(self, digit: str, duration: float = _KEY_TIME) -> None:
        """Press a key of the caller's phone now (protocol.md 4)."""
        if self._talk.over:
            return
        self._log.add_digit(digit)
        if self.plan.tones and self._audio is not None:
            self._audio.add_dtmf_tones(digit, duration)
        if self.plan.verb.pass_dtmf:
            self._exchange.tell_digit(digit, duration)
        else:
            self._log.warn("dtmf-not-passed", f"key {digit}: not sent, because passDtmf is off")
        if ends_call(self.plan.verb, digit, self.plan.profile):
            self._finish_key = digit
            self.hang_up("finish-on-key")

    def hang_up(self, cause: str = "hung-up") -> None:
        """End the call from the caller's side, in the way of the plan; the first ``cause`` counts."""
        self._cause = self._cause or cause
        self._talk.over = True
        if self._connection is not None:
            self._leave(self._connection)

    def interrupt(self) -> None:
        """End the call from outside, whatever it waits for; one that isn't connected yet is cancelled."""
        if self._connection is None:
            if self._task is not None:
                self._task.cancel()
        elif self._state == "closing":
            self._connection.abort()
        else:
            self.hang_up()

    def _leave(self, connection: ClientConnection) -> None:
        """Tell the server that the call is over; once, and nothing after that."""
        if self._state != "live":
            return
        self._state = "closing"
        self._time.stop()
        self._outlet.close()
        match self._troubles.ending:
            case ClosingMode.HANG_UP:
                connection.hang_up()
            case ClosingMode.ABORT:
                connection.abort()
            case ClosingMode.SHUT_DOWN:
                connection.send_audio(b"")

    def snapshot(self) -> CallSnapshot:
        """Return how the call is now."""
        audio_format = self.plan.audio_format
        return CallSnapshot(
            url=str(self.plan.target.address),
            call=self._log.id,
            state=self._state,
            elapsed=self.elapsed,
            sample_rate=audio_format.sample_rate,
            mix_type=self.plan.verb.mix_type,
            profile=self.plan.profile.name,
            streaming=self._exchange.playout.streams,
            sent=self._talk.sent.levels,
            heard=self._talk.heard.levels,
            buffered=self._exchange.playout.buffered,
            held=self._exchange.playout.held,
            marks=self._exchange.playout.outstanding_marks,
            unsent=self._outlet.waiting / audio_format.byte_rate,
            lost_samples=self._outlet.lost_samples,
            lateness=self._log.lateness.highest,
            commands=self._log.commands,
            wrong=self._log.wrong,
            digits=self._log.digits,
        )

    # What the connection tells.

    def on_text(self, data: bytes, *, fragmented: bool) -> None:
        """Obey a command of the server."""
        if self._exchange.take_text(data, fragmented=fragmented):
            self.hang_up("disconnect")

    def on_audio(self, data: bytes, *, fragmented: bool) -> None:
        """Play audio of the server."""
        self._exchange.take_audio(data, fragmented=fragmented)

    def on_writable(self) -> None:
        """Send what had to wait."""
        self._outlet.flush()

    def on_end(self, end: ConnectionEnd) -> None:
        """Note that the connection has ended."""
        self._cause = self._cause or "server"
        self._outlet.close()
        self._talk.over = True
        self._time.stop()
        if self._end is not None and not self._end.done():
            self._end.set_result(end)

    # The course of the call.

    async def _place(self, audio: SimulatedAudio) -> ListenctlError | None:
        """See the call through; return what went wrong with the caller's sound, for which the server can do nothing."""
        talking = asyncio.create_task(self._talk.run(audio, self._clock, self.press_digit))
        try:
            await self._connect()
            failure = await self._end_of(talking)
            self.hang_up("audio-failed" if failure else self._talk.limit or "audio-over")
            await self._say_farewell()
            return failure
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            if self._connection is not None:
                self._connection.abort()

    async def _end_of(self, talking: asyncio.Task[None]) -> ListenctlError | None:
        try:
            await talking
        except ListenctlError as exc:
            return exc
        return None

    async def _connect(self) -> None:
        if self._troubles.backlog:
            await self._clock.sleep(self._troubles.backlog)
        target = replace(self.plan.target, subprotocol=self._troubles.subprotocol(self.plan.target.subprotocol))
        try:
            connection = await connect(target, self)
        except RefusedError as exc:
            self._log.refused(str(exc))
            raise
        self._connection = self._talk.connection = connection
        self._time.connect()
        self._log.connected(connection.handshake)
        self._log.call_started(streaming=self._exchange.playout.streams, damage=describe_damage(self._first_text))
        self._state = "live"
        for digit in self._troubles.early_digits:
            self._log.add_digit(digit)
            self._exchange.tell_digit(digit, _KEY_TIME)
        self._outlet.open(connection)

    async def _say_farewell(self) -> None:
        """Wait until the server has ended the connection too."""
        assert self._connection is not None
        patience = self._troubles.patience if self._troubles.ending is ClosingMode.SHUT_DOWN else FAREWELL
        self._exchange.finish()
        self._taken = await self._connection.wait_closed(patience)

    async def _call_action_hook(self) -> None:
        """Tell the application that the listen has ended, as jambonz does, also when it never began (protocol.md 7)."""
        hook = self.plan.verb.action_hook
        if hook is None:
            return
        duration = None if self._connection is None else int(self._time.connected_for)
        payload = hook_payload(self._attributes, dial_call_duration=duration, digits=self._finish_key)
        self._log.hook(hook.url, await call_action_hook(hook, payload, tls=self.plan.target.tls))
