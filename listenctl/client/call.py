"""
One simulated call: a jambonz of our own that places it, plays what the server sends, and says what it made of that.

The call's own time starts with the tap, before the server is connected to: what is said meanwhile waits, and goes out
in one message (protocol.md 3.3). Frames and playout follow absolute deadlines from there.
"""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count

from listenctl.client.action_hook import call_action_hook, hook_payload
from listenctl.client.call_audio import CallAudio, CallFrame
from listenctl.client.call_log import CallLog, CallSummary
from listenctl.client.connection import Connection, ConnectionEnd, connect
from listenctl.client.faults import Ending, Troubles
from listenctl.client.limits import Limits
from listenctl.client.needle import Needle
from listenctl.client.outlet import Outlet
from listenctl.client.plan import CallPlan, KeyPress, metadata_of
from listenctl.client.snapshot import CallSnapshot, CallState
from listenctl.errors import ListenctlError, RefusedError
from listenctl.media.pacing import Clock, Pacer, SystemClock
from listenctl.media.resampling import soxr_resampler
from listenctl.media.wav_clips import soundfile_wav_reader
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.commands import Disconnect
from listenctl.protocol.first_frame import describe_damage, first_frame
from listenctl.protocol.fork import ForkBuffer
from listenctl.protocol.messages import Dtmf
from listenctl.protocol.metadata import CallMetadata
from listenctl.protocol.playout import Playout, Tick
from listenctl.protocol.profiles import PlayDoneForm
from listenctl.protocol.session import CommandSent, ListenSession, MessageReceived, Sender
from listenctl.protocol.splitter import Text
from listenctl.protocol.verb import ends_call
from listenctl.reports import Reporter

FAREWELL = 5.0
"""Seconds to wait for the server after Close; jambonz wouldn't, but a call is only through when the server has it."""
_RTP_UNITS_PER_MS = 8
_KEY_TIME = 0.2


def _new_id() -> str:
    return str(uuid.uuid4())


class SimulatedCall:
    """Place the call of a plan; report what happens in it as events."""

    def __init__(
        self, plan: CallPlan, reporter: Reporter, *, clock: Clock | None = None, new_id: Callable[[], str] = _new_id
    ) -> None:
        verb = plan.verb
        self.plan = plan
        self._clock = clock or SystemClock()
        self._troubles = Troubles(plan.faults, channels=plan.audio_format.channels)
        self._playout = Playout(
            plan.profile,
            verb.bidirectional,
            call_rate=plan.call_rate,
            resampler=soxr_resampler,
            wav_reader=soundfile_wav_reader,
        )
        self._attributes, fields = metadata_of(plan, new_id)
        self._first_text = first_frame(fields, plan.profile)
        self.metadata = CallMetadata.from_fields(fields)
        self._fork = ForkBuffer(
            plan.audio_format,
            seconds=self._troubles.buffer_seconds(plan.buffer),
            resampled=plan.call_rate != verb.sample_rate,
            call_rate=plan.call_rate,
        )
        self._outlet = Outlet(self._fork, self._troubles, self._first_text, self._connected_for)
        self._log = CallLog(plan, self.metadata, reporter)
        self._session = ListenSession(started_at=0.0, default_format=plan.audio_format)
        self._limits = Limits(plan)
        self._connection: Connection | None = None
        self._connected_at = 0.0
        self._started_at = 0.0
        self._over_at: float | None = None
        self._hanging_up = False
        self._end: asyncio.Future[ConnectionEnd] | None = None
        self._state: CallState = "connecting"
        self._sent, self._heard = Needle(plan.audio_format), Needle(AudioFormat(verb.sample_rate, 1))
        self._audio: CallAudio | None = None
        self._received = 0
        self._finish_key: str | None = None
        self._taken = False
        self._cause = self._limit = ""
        self._task: asyncio.Task[CallSummary] | None = None

    async def run(self) -> CallSummary:
        """
        Place the call and see it through.

        Raises:
            RefusedError: the server can't be reached or doesn't take the call.
            ListenctlError: a file or device of the plan can't be used.
        """
        self._end = asyncio.get_running_loop().create_future()
        self._task = asyncio.current_task()
        self._log.begin()
        self._audio = audio = await CallAudio.open(self.plan, self._playout, partial(self._log.warn, "speaker"))
        self._sent.warm_up()
        try:
            if self.plan.verb.play_beep:
                audio.beep()
                await self._clock.sleep(0.5)
            self._started_at = self._clock.now()
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
            unsent_samples=self.plan.audio_format.samples(self._fork.waiting),
            taken=self._taken,
            cause=self._cause,
        )
        if failure is not None:
            raise failure
        return summary

    @property
    def elapsed(self) -> float:
        """Seconds since the tap was started, up to the end of the call; the server's farewell is no part of that."""
        return self._now() - self._started_at if self._started_at else 0.0

    def press(self, digit: str, duration: float = _KEY_TIME) -> None:
        """Press a key of the caller's phone now (protocol.md 4)."""
        if self._hanging_up:
            return
        self._log.press(digit)
        if self.plan.tones and self._audio is not None:
            self._audio.press(digit, duration)
        if self.plan.verb.pass_dtmf:
            self._tell_digit(digit, duration)
        else:
            self._log.warn("dtmf-not-passed", f"key {digit}: not sent, because passDtmf is off")
        if ends_call(self.plan.verb, digit, self.plan.profile):
            self._finish_key = digit
            self.hang_up("finish-on-key")

    def _tell_digit(self, digit: str, duration: float) -> None:
        milliseconds = round(duration * 1000)
        numbers = self.plan.profile.play_done is not PlayDoneForm.STRINGS
        message = Dtmf(digit, milliseconds if numbers else str(milliseconds * _RTP_UNITS_PER_MS))
        self._outlet.text(message.serialize())
        self._log.dtmf(message, self.elapsed)

    def hang_up(self, cause: str = "hung-up") -> None:
        """End the call from the caller's side, in the way of the plan; the first ``cause`` counts."""
        self._cause = self._cause or cause
        self._hanging_up = True
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

    def _leave(self, connection: Connection) -> None:
        """Tell the server that the call is over; once, and nothing after that."""
        if self._state != "live":
            return
        self._state = "closing"
        self._over_at = self._now()
        self._outlet.close()
        match self._troubles.ending:
            case Ending.HANG_UP:
                connection.hang_up()
            case Ending.ABORT:
                connection.abort()
            case Ending.SHUT_DOWN:
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
            streaming=self._playout.streams,
            sent=self._sent.levels,
            heard=self._heard.levels,
            buffered=self._playout.buffered,
            held=self._playout.held,
            marks=self._playout.outstanding_marks,
            unsent=self._outlet.waiting / audio_format.byte_rate,
            lost_samples=self._outlet.lost_samples,
            lateness=max(0.0, self._log.lateness.highest),
            commands=self._log.commands,
            wrong=self._log.wrong,
            keys=self._log.keys,
        )

    # What the connection tells.

    def on_text(self, data: bytes, *, fragmented: bool) -> None:
        """Obey a command of the server."""
        self._received += len(data)
        for event in self._session.receive(Sender.APPLICATION, Text(data), self.elapsed):
            if not isinstance(event, CommandSent):
                continue
            self._log.take_command(event.command)
            verdicts = self._playout.text(data, fragmented=True) if fragmented else self._playout.command(event.command)
            self._log.judge(verdicts, self.elapsed)
            if isinstance(event.command, Disconnect):
                self.hang_up("disconnect")

    def on_audio(self, data: bytes, *, fragmented: bool) -> None:
        """Play audio of the server."""
        self._received += len(data)
        self._log.take_audio(len(data))
        self._log.judge(self._playout.audio(data, fragmented=fragmented), self.elapsed)

    def on_writable(self) -> None:
        """Send what had to wait."""
        self._outlet.flush()

    def on_end(self, end: ConnectionEnd) -> None:
        """Note that the connection has ended."""
        self._cause = self._cause or "server"
        self._outlet.close()
        self._hanging_up = True
        self._over_at = self._now()
        if self._end is not None and not self._end.done():
            self._end.set_result(end)

    # The course of the call.

    async def _place(self, audio: CallAudio) -> ListenctlError | None:
        """See the call through; return what went wrong with the caller's sound, for which the server can do nothing."""
        talking = asyncio.create_task(self._talk(audio))
        try:
            await self._connect()
            failure = await self._end_of(talking)
            self.hang_up("audio-failed" if failure else self._limit or "audio-over")
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
            self._connection = connection = await connect(target, self)
        except RefusedError as exc:
            self._log.refused(str(exc))
            raise
        self._connected_at = self._clock.now()
        self._log.connected(connection.handshake)
        self._log.call_started(streaming=self._playout.streams, damage=describe_damage(self._first_text))
        self._state = "live"
        for digit in self._troubles.early_digits:
            self._log.press(digit)
            self._tell_digit(digit, _KEY_TIME)
        self._outlet.open(connection)

    async def _talk(self, audio: CallAudio) -> None:
        """Make a frame whenever one is due, until the call is over; then wait for the end of the last one."""
        plan = self.plan
        rate = plan.verb.sample_rate
        pacer = Pacer(rate, self._clock)
        keys = sorted(plan.keys, key=lambda key: key.time)
        position = 0
        for number in count(1):
            samples = int(number * plan.ptime * rate + 1e-6) - position
            lateness = await pacer.wait(samples)
            time = position / rate
            position += samples
            keys = self._press_due(keys, time)
            self._limit = self._limits.passed(time)
            if self._hanging_up or self._limit:
                break
            frame = await audio.next(samples)
            if frame.over and plan.duration is None and not keys:
                break
            self._send(frame, lateness)

    def _press_due(self, keys: list[KeyPress], time: float) -> list[KeyPress]:
        for key in keys:
            if key.time > time:
                break
            self.press(key.digit, key.duration)
        return [key for key in keys if key.time > time]

    def _send(self, frame: CallFrame, lateness: float) -> None:
        elapsed = self._connected_for()
        connected = self._connection is not None
        for note in self._troubles.notes(elapsed) if connected else ():
            self._log.fault(note)
        for tick in frame.ticks:
            self._answer(tick)
        self._throttle_reading(elapsed)
        self._limits.hear(frame.caller)
        self._sent.feed(frame.fork)
        self._heard.feed(frame.heard)
        if connected and not self._troubles.captures(elapsed):
            return
        lost = self._outlet.audio(self._troubles.skew(frame.fork))
        self._log.frame(self.plan.audio_format.samples(len(frame.fork)), lateness, lost)

    def _answer(self, tick: Tick) -> None:
        for text in self.plan.profile.texts(tick.messages):
            self._outlet.text(text)
        for message, text in zip(tick.messages, (message.serialize() for message in tick.messages), strict=True):
            answered = self._session.receive(Sender.JAMBONZ, Text(text.encode()), self.elapsed)
            trips = [event.round_trip for event in answered if isinstance(event, MessageReceived)]
            self._log.answer(message, self.elapsed, trips[0] if trips else None)
        self._log.judge(tick.verdicts, self.elapsed)

    def _throttle_reading(self, elapsed: float) -> None:
        if self._connection is None or self._troubles.read_rate is None:
            return
        if self._troubles.reads(elapsed, self._received):
            self._connection.resume_reading()
        else:
            self._connection.pause_reading()

    async def _say_farewell(self) -> None:
        """Wait until the server has ended the connection too."""
        assert self._connection is not None
        patience = self._troubles.patience if self._troubles.ending is Ending.SHUT_DOWN else FAREWELL
        self._log.judge(self._playout.finish(), self.elapsed)
        self._taken = await self._connection.wait_closed(patience)

    async def _call_action_hook(self) -> None:
        """Tell the application that the listen has ended, as jambonz does, also when it never began (protocol.md 7)."""
        hook = self.plan.verb.action_hook
        if hook is None:
            return
        duration = None if self._connection is None else int(self._connected_for())
        payload = hook_payload(self._attributes, dial_call_duration=duration, digits=self._finish_key)
        self._log.hook(hook.url, await call_action_hook(hook, payload, tls=self.plan.target.tls))

    def _connected_for(self) -> float:
        return self._now() - self._connected_at if self._connection is not None else 0.0

    def _now(self) -> float:
        return self._clock.now() if self._over_at is None else self._over_at
