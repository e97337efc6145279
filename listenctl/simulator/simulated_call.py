"""One simulated call: it plays jambonz, sends a caller's audio, and reports what jambonz makes of the answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from listenctl.background_task import background_task
from listenctl.errors import ListenctlError, RefusedError
from listenctl.events import Reporter
from listenctl.net.client_connection import ClientConnection, ConnectionEnd, connect
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.dtmf_digits import DIGIT_MS
from listenctl.protocol.jambonz_model.first_text import describe_damage, first_text
from listenctl.protocol.jambonz_model.send_buffer import SendBuffer
from listenctl.protocol.listen_verb.listen_verb import ends_call
from listenctl.simulator.action_hook import call_action_hook, hook_payload
from listenctl.simulator.call_snapshot import CallSnapshot, CallState
from listenctl.simulator.injected_faults import ClosingMode, InjectedFaults
from listenctl.simulator.plan import CallPlan, call_metadata
from listenctl.simulator.simulated_audio import SimulatedAudio
from listenctl.simulator.simulated_call_exchange import CallExchange, CallSender, CallTime
from listenctl.simulator.simulated_call_log import SimulatedCallLog, SimulatedCallResult

CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the server after Close; jambonz doesn't wait, but only then do we know that all was received."""
_DIGIT_SECONDS = DIGIT_MS / 1000
_CLOSE_BYTES = 8
"""The Close frame, which waits behind the audio."""


class SimulatedCall:
    def __init__(self, plan: CallPlan, reporter: Reporter) -> None:
        self.plan = plan
        self._time = CallTime(lambda: asyncio.get_running_loop().time())
        self._faults = InjectedFaults(plan.faults, channels=plan.audio_format.channels)
        self._attributes, fields = call_metadata(plan)
        self._first_text = first_text(fields, plan.profile)
        self.metadata = CallMetadata.from_fields(fields)
        self._log = SimulatedCallLog(plan, self.metadata, reporter)
        buffer = SendBuffer(
            plan.audio_format,
            seconds=self._faults.buffer_seconds(plan.buffer),
            resampled=plan.call_rate != plan.verb.sample_rate,
            call_rate=plan.call_rate,
        )
        self._sender = CallSender(buffer, self._faults, self._first_text, self._time)
        self._exchange = CallExchange(plan, sender=self._sender, faults=self._faults, log=self._log, time=self._time)
        self._connection: ClientConnection | None = None
        self._end: ConnectionEnd | None = None
        self._state: CallState = "connecting"
        self._audio: SimulatedAudio | None = None
        self._finish_digit: str | None = None
        self._cause = ""
        self._task: asyncio.Task[SimulatedCallResult] | None = None

    async def run(self) -> SimulatedCallResult:
        self._task = asyncio.current_task()
        self._log.report_plan_warnings()
        self._audio = audio = await SimulatedAudio.open(self.plan, self._exchange.playout, self._log.report_sound)
        self._exchange.warm_up()
        try:
            if self.plan.verb.play_beep:
                await audio.play_beep()
            self._time.start_call()
            failure, taken = await self._hold_call(audio)
        finally:
            self._state = "ended"
            await self._call_action_hook()
            await audio.close()
            if self._connection is None and self.plan.heard is not None:
                self.plan.heard.unlink(missing_ok=True)
        assert self._end is not None
        result = self._log.end_call(
            self._end,
            elapsed=self._time.elapsed,
            unsent_samples=self.plan.audio_format.samples_in(self._unsent_bytes()),
            taken=taken,
            cause=self._cause,
            stalled=not self._faults.allows_sending(self._time.connected_for),
        )
        if failure is not None:
            raise failure
        return result

    def press_digit(self, digit: str, duration: float = _DIGIT_SECONDS) -> None:
        if self._exchange.over:
            return
        self._log.add_digit(digit)
        if self.plan.tones and self._audio is not None:
            self._audio.add_dtmf_tones(digit, duration)
        if self.plan.verb.pass_dtmf:
            self._exchange.send_digit(digit, duration)
        else:
            self._log.warn("dtmf-not-passed", f"digit {digit}: not sent, because passDtmf is off")
        if ends_call(self.plan.verb, digit, self.plan.profile):
            self._finish_digit = digit
            self.hang_up("finish-on-key")

    def hang_up(self, cause: str = "hung-up") -> None:
        """End the call from the caller's side, as the plan says; only the first ``cause`` is reported."""
        self._cause = self._cause or cause
        self._exchange.over = True
        if self._connection is not None:
            self._end_connection(self._connection)

    def interrupt(self) -> None:
        """End the call now, whatever it waits for; a call that isn't connected yet is cancelled."""
        if self._connection is None:
            if self._task is not None:
                self._task.cancel()
        elif self._state == "closing":
            self._connection.abort()
        else:
            self.hang_up()

    def snapshot(self) -> CallSnapshot:
        audio_format = self.plan.audio_format
        exchange, playout = self._exchange, self._exchange.playout
        return CallSnapshot(
            url=str(self.plan.target.address),
            call=self._log.id,
            state=self._state,
            elapsed=self._time.elapsed,
            sample_rate=audio_format.sample_rate,
            mix_type=self.plan.verb.mix_type,
            profile=self.plan.profile.name,
            streaming=playout.streams,
            sent=exchange.sent_levels,
            heard=exchange.heard_levels,
            buffered=playout.buffered,
            held=playout.held,
            marks=playout.outstanding_marks,
            unsent=self._sender.unsent_bytes / audio_format.byte_rate,
            lost_samples=self._log.lost_samples,
            lateness=self._log.lateness.highest,
            commands=self._log.commands,
            wrong=self._log.wrong,
            digits=self._log.digits,
        )

    # Callbacks of the connection.

    def on_text(self, data: bytes, *, fragments: Sequence[int]) -> None:
        if self._exchange.take_text(data, fragments=fragments):
            self.hang_up("disconnect")

    def on_audio(self, data: bytes, *, fragments: Sequence[int]) -> None:
        self._exchange.take_audio(data, fragments=fragments)

    def on_writable(self) -> None:
        self._sender.flush()

    def on_end(self, end: ConnectionEnd) -> None:
        self._cause = self._cause or "server"
        self._sender.close_connection()
        self._exchange.over = True
        self._time.end_call()
        self._end = end

    async def _hold_call(self, audio: SimulatedAudio) -> tuple[ListenctlError | None, bool]:
        """Hold the call; return why its audio failed, if so, and whether the server took all and closed in order."""
        async with background_task(self._exchange.run(audio, self.press_digit)) as frames:
            try:
                await self._connect()
                failure = await frames
                self.hang_up("audio-failed" if failure else self._exchange.exceeded_limit or "audio-over")
                return failure, await self._wait_for_close()
            finally:
                if self._connection is not None:
                    self._connection.abort()

    async def _connect(self) -> None:
        if self._faults.backlog:
            await asyncio.sleep(self._faults.backlog)
        target = replace(self.plan.target, subprotocol=self._faults.subprotocol(self.plan.target.subprotocol))
        try:
            connection = await connect(target, self)
        except RefusedError as exc:
            self._log.report_refusal(str(exc))
            raise
        self._connection = self._exchange.connection = connection
        self._time.connect_call()
        self._log.report_connection(connection.handshake)
        self._log.report_start(streaming=self._exchange.playout.streams, damage=describe_damage(self._first_text))
        self._state = "live"
        # The server may end the call before the first frame.
        for fault in self._faults.begun_faults(0.0):
            self._log.report_fault(fault)
        for digit in self._faults.early_digits:
            self._log.add_digit(digit)
            self._exchange.send_digit(digit, _DIGIT_SECONDS)
        self._sender.open_connection(connection)

    def _end_connection(self, connection: ClientConnection) -> None:
        if self._state != "live":
            return
        self._state = "closing"
        self._time.end_call()
        self._sender.close_connection()
        match self._faults.closing_mode:
            case ClosingMode.HANG_UP:
                connection.hang_up()
            case ClosingMode.ABORT:
                connection.abort()
            case ClosingMode.SHUT_DOWN:
                connection.send_audio(b"")

    async def _wait_for_close(self) -> bool:
        assert self._connection is not None
        shuts_down = self._faults.closing_mode is ClosingMode.SHUT_DOWN
        self._exchange.end_playout()
        return await self._connection.wait_closed(self._faults.shutdown_timeout if shuts_down else CLOSE_TIMEOUT)

    def _unsent_bytes(self) -> int:
        """Return the bytes of audio that never left; what waits behind a reset is our own doing."""
        waiting = self._sender.buffer.waiting_bytes
        if self._connection is None or self._faults.closing_mode is ClosingMode.ABORT:
            return waiting
        return waiting + max(0, self._connection.unsent_at_close - _CLOSE_BYTES)

    async def _call_action_hook(self) -> None:
        """Call the action hook, as jambonz does even for a listen that never began (listenctl-protocol(7) 7)."""
        hook = self.plan.verb.action_hook
        if hook is None:
            return
        duration = None if self._connection is None else int(self._time.connected_for)
        payload = hook_payload(self._attributes, dial_call_duration=duration, digits=self._finish_digit)
        self._log.report_action_hook(hook.url, await call_action_hook(hook, payload, tls=self.plan.target.tls))
