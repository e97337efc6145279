"""The frames of one simulated call, from its tap to its end: made when they are due, measured, and sent."""

from collections.abc import Callable
from itertools import count

from listenctl.media.files.read_clip_wav import read_clip_wav
from listenctl.media.pacing import Clock, Pacer
from listenctl.media.resampling import prompt_resampler
from listenctl.net.client_connection import ClientConnection
from listenctl.protocol.application_commands import Disconnect
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.frames.websocket_messages import TextMessage
from listenctl.protocol.jambonz_messages import Dtmf
from listenctl.protocol.jambonz_model.playout import Playout, PlayoutTick
from listenctl.protocol.jambonz_model.profiles import PlayDoneForm
from listenctl.protocol.jambonz_model.send_buffer import SendBuffer
from listenctl.protocol.listen_session import CommandSent, ListenSession, MessageReceived, Sender
from listenctl.simulator.call_limits import CallLimits
from listenctl.simulator.call_snapshot import LatestLevels
from listenctl.simulator.injected_faults import InjectedFaults
from listenctl.simulator.plan import CallPlan, CallTime, DtmfPress
from listenctl.simulator.simulated_audio import CallFrame, SimulatedAudio
from listenctl.simulator.simulated_call_log import SimulatedCallLog


class CallSender:
    """
    Send the texts and the audio of one call.

    Args:
        first_text: what jambonz says about the call; it waits for the connection.
        elapsed: gives the seconds since the handshake was answered.
    """

    def __init__(
        self, fork: SendBuffer, troubles: InjectedFaults, first_text: bytes, elapsed: Callable[[], float]
    ) -> None:
        self._fork = fork
        self._troubles = troubles
        self._first_text = troubles.first_text(first_text)
        self._waits_for_first_text = self._first_text is not None
        self._elapsed = elapsed
        self._texts: list[bytes] = []
        self._connection: ClientConnection | None = None
        self.messages = 0
        """Binary messages that have left."""
        self.lost_samples = 0

    @property
    def waiting(self) -> int:
        """Bytes of audio that the server hasn't taken yet."""
        return self._fork.waiting_bytes + (self._connection.unsent if self._connection else 0)

    def open(self, connection: ClientConnection) -> None:
        """Let out what waits, and from now on everything."""
        self._connection = connection
        self.flush()

    def close(self) -> None:
        """Let nothing out any more; what waits is gone."""
        self._connection = None

    def text(self, text: str) -> None:
        """Send a text as soon as one can leave."""
        self._texts.append(text.encode())
        self.flush()

    def audio(self, frame: bytes) -> int:
        """Send a frame, at once if the server takes it; return the samples per channel that got lost instead."""
        lost = self._fork.add_frame(frame)
        self.lost_samples += lost
        self.flush()
        return lost

    def flush(self) -> None:
        """Send what can leave now."""
        if self._connection is None or not self._troubles.gate(self._elapsed()):
            return
        self._flush_texts(self._connection)
        self._flush_audio(self._connection)
        self._flush_texts(self._connection)

    def _flush_texts(self, connection: ClientConnection) -> None:
        if self._waits_for_first_text:
            if not self._troubles.first_text_is_due(self._elapsed(), audio_sent=self.messages > 0):
                return
            self._waits_for_first_text = False
            self._texts.insert(0, self._first_text or b"")
        texts, self._texts = self._texts, []
        for text in self._troubles.together(texts):
            connection.send_text(text)

    def _flush_audio(self, connection: ClientConnection) -> None:
        while connection.writable and (message := self._fork.take_message()):
            for chunk in self._troubles.cut(message):
                connection.send_audio(chunk)
            self.messages += 1


_RTP_UNITS_PER_MS = 8


class Exchange:
    """
    Obey the server of one call, and answer it.

    Attributes:
        playout: plays what the server sends, and makes the answers.
        received: bytes of all messages of the server.
    """

    def __init__(self, plan: CallPlan, *, outlet: CallSender, log: SimulatedCallLog, time: CallTime) -> None:
        self._profile = plan.profile
        self._outlet = outlet
        self._log = log
        self._time = time
        self._session = ListenSession(started_at=0.0, default_format=plan.audio_format)
        self.playout = Playout(
            plan.profile,
            plan.verb.bidirectional,
            call_rate=plan.call_rate,
            resampler=prompt_resampler,
            wav_reader=read_clip_wav,
        )
        self.received = 0

    def take_text(self, data: bytes, *, fragmented: bool) -> bool:
        """Obey a text; return whether it asks to disconnect."""
        self.received += len(data)
        disconnects = False
        for event in self._session.receive_message(Sender.APPLICATION, TextMessage(data), self._time.elapsed):
            if not isinstance(event, CommandSent):
                continue
            self._log.take_command(event.command)
            verdicts = (
                self.playout.take_text(data, fragmented=True)
                if fragmented
                else self.playout.take_command(event.command)
            )
            self._log.judge(verdicts, self._time.elapsed)
            disconnects |= isinstance(event.command, Disconnect)
        return disconnects

    def take_audio(self, data: bytes, *, fragmented: bool) -> None:
        """Play audio."""
        self.received += len(data)
        self._log.take_audio(len(data))
        self._log.judge(self.playout.take_audio(data, fragmented=fragmented), self._time.elapsed)

    def answer(self, tick: PlayoutTick) -> None:
        """Tell the server what was played."""
        for text in self._profile.serialize_messages(tick.messages):
            self._outlet.text(text)
        for message in tick.messages:
            text = message.serialize()
            answered = self._session.receive_message(Sender.JAMBONZ, TextMessage(text.encode()), self._time.elapsed)
            trips = [event.round_trip for event in answered if isinstance(event, MessageReceived)]
            self._log.answer(message, self._time.elapsed, trips[0] if trips else None)
        self._log.judge(tick.verdicts, self._time.elapsed)

    def tell_digit(self, digit: str, duration: float) -> None:
        """Tell the server that a key was pressed, for so many seconds (protocol.md 4)."""
        milliseconds = round(duration * 1000)
        numbers = self._profile.play_done is not PlayDoneForm.STRINGS
        message = Dtmf(digit, milliseconds if numbers else str(milliseconds * _RTP_UNITS_PER_MS))
        self._outlet.text(message.serialize())
        self._log.dtmf(message, self._time.elapsed)

    def finish(self) -> None:
        """Report what becomes of what hasn't been played when the call ends."""
        self._log.judge(self.playout.end_listen(), self._time.elapsed)


class Talk:
    """
    Let a call take its course, frame by frame.

    Attributes:
        connection: what frames are sent on; None before the server is connected to.
        over: whether no further frame is to be made.
        limit: which limit of the plan has ended it, empty for none.
        sent, heard: levels of what goes to the server, and of what the caller hears.
    """

    def __init__(
        self,
        plan: CallPlan,
        *,
        exchange: Exchange,
        outlet: CallSender,
        troubles: InjectedFaults,
        log: SimulatedCallLog,
        time: CallTime,
    ) -> None:
        self._plan = plan
        self._exchange = exchange
        self._outlet = outlet
        self._troubles = troubles
        self._log = log
        self._time = time
        self._limits = CallLimits(plan)
        self.connection: ClientConnection | None = None
        self.over = False
        self.limit = ""
        self.sent, self.heard = LatestLevels(plan.audio_format), LatestLevels(AudioFormat(plan.verb.sample_rate, 1))

    async def run(self, audio: SimulatedAudio, clock: Clock, press: Callable[[str, float], None]) -> None:
        """
        Make a frame whenever one is due until the call is over, or there is nothing more to say.

        Args:
            press: presses a key of the plan, for so many seconds.
        """
        plan = self._plan
        rate = plan.verb.sample_rate
        pacer = Pacer(rate, clock)
        keys = sorted(plan.dtmf_presses, key=lambda key: key.time)
        position = 0
        for number in count(1):
            samples = int(number * plan.ptime * rate + 1e-6) - position
            lateness = await pacer.wait_for_chunk(samples)
            time = position / rate
            position += samples
            keys = _press_due(keys, time, press)
            self.limit = self._limits.passed(time)
            if self.over or self.limit:
                break
            frame = await audio.next(samples)
            if frame.over and plan.duration is None and not keys:
                break
            self._send(frame, lateness)

    def _send(self, frame: CallFrame, lateness: float) -> None:
        elapsed = self._time.connected_for
        connected = self.connection is not None
        for note in self._troubles.notes(elapsed) if connected else ():
            self._log.fault(note)
        for tick in frame.ticks:
            self._exchange.answer(tick)
        self._throttle_reading(elapsed)
        self._limits.hear(frame.caller)
        self.sent.feed(frame.fork)
        self.heard.feed(frame.heard)
        if connected and not self._troubles.captures(elapsed):
            return
        lost = self._outlet.audio(self._troubles.skew(frame.fork))
        self._log.frame(self._plan.audio_format.samples(len(frame.fork)), lateness, lost)

    def _throttle_reading(self, elapsed: float) -> None:
        if self.connection is None or self._troubles.read_rate is None:
            return
        if self._troubles.reads(elapsed, self._exchange.received):
            self.connection.resume_reading()
        else:
            self.connection.pause_reading()


def _press_due(keys: list[DtmfPress], time: float, press: Callable[[str, float], None]) -> list[DtmfPress]:
    """Press the keys whose time has come; return the others."""
    for key in keys:
        if key.time > time:
            break
        press(key.digit, key.duration)
    return [key for key in keys if key.time > time]
