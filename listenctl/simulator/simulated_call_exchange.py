"""
The exchange between a simulated call and its server: frames out on time, commands and audio in, answers out.
Audio made before the connection waits in jambonz's send buffer, and leaves in one message (listenctl-protocol(7) 3.3).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from listenctl.errors import ListenctlError
from listenctl.media.files.libsndfile import read_clip_wav
from listenctl.media.measure_levels import LevelMeasurer, Levels, measure_levels
from listenctl.media.pacing import Pacer
from listenctl.media.resampling import PromptResampler
from listenctl.net.client_connection import ClientConnection
from listenctl.protocol.application_commands import Disconnect
from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat
from listenctl.protocol.frames.websocket_messages import TextMessage
from listenctl.protocol.jambonz_messages import Dtmf
from listenctl.protocol.jambonz_model.command_verdicts import Verdict, VerdictReason
from listenctl.protocol.jambonz_model.playout import TICKS_PER_SECOND, Playout, PlayoutTick
from listenctl.protocol.jambonz_model.profiles import PlayDoneForm
from listenctl.protocol.jambonz_model.send_buffer import SendBuffer
from listenctl.protocol.jambonz_model.stream_playout import SENDING_TICKS
from listenctl.protocol.listen_session import CommandSent, ListenSession, MessageReceived, Sender
from listenctl.simulator.answer_watch import AnswerWatch, is_loud
from listenctl.simulator.call_limits import CallLimits
from listenctl.simulator.injected_faults import InjectedFaults
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_audio import CallFrame, SimulatedAudio
from listenctl.simulator.simulated_call_log import SimulatedCallLog

if TYPE_CHECKING:
    from listenctl.simulator.streamed_sound import StreamedSound

_RTP_UNITS_PER_MS = 8
_TICK = 1 / TICKS_PER_SECOND
_HASTE = frozenset(
    (
        VerdictReason.TOO_SOON,
        VerdictReason.TAIL_HELD,
        VerdictReason.UNANSWERED,
        VerdictReason.LATE_ANSWER,
        VerdictReason.NO_ANSWER,
        VerdictReason.OTHER_RATE,
    )
)
"""Verdicts on when messages arrived; they accuse nobody where we took them late."""


class CallTime:
    """The seconds since a call started and since it was connected; they stand still once the call has ended."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started_at: float | None = None
        self._connected_at: float | None = None
        self._ended_at: float | None = None

    @property
    def elapsed(self) -> float:
        return self._since(self._started_at)

    @property
    def connected_for(self) -> float:
        return self._since(self._connected_at)

    def start_call(self) -> None:
        self._started_at = self._clock()

    def connect_call(self) -> None:
        self._connected_at = self._clock()

    def end_call(self) -> None:
        self._ended_at = self._now()

    def _since(self, begin: float | None) -> float:
        return 0.0 if begin is None else self._now() - begin

    def _now(self) -> float:
        return self._clock() if self._ended_at is None else self._ended_at


class CallSender:
    def __init__(self, buffer: SendBuffer, faults: InjectedFaults, first_text: bytes, time: CallTime) -> None:
        self.buffer = buffer
        self._faults = faults
        self._first_text = faults.first_text(first_text)
        self._texts: list[bytes] = []
        self._time = time
        self._connection: ClientConnection | None = None
        self._audio_sent = False

    @property
    def unsent_bytes(self) -> int:
        return self.buffer.waiting_bytes + (self._connection.unsent if self._connection else 0)

    def open_connection(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.flush()

    def close_connection(self) -> None:
        """Send nothing more; what waits is dropped."""
        self._connection = None

    def send_text(self, text: str) -> None:
        self._texts.append(text.encode())
        self.flush()

    def send_frame(self, frame: bytes) -> int:
        """Send a frame, at once if the server takes it; return the samples per channel that were lost instead."""
        lost = self.buffer.add_frame(frame)
        self.flush()
        return lost

    def flush(self) -> None:
        if self._connection is None or not self._faults.allows_sending(self._time.connected_for):
            return
        self._flush_texts(self._connection)
        self._flush_audio(self._connection)
        self._flush_texts(self._connection)

    def _flush_texts(self, connection: ClientConnection) -> None:
        if self._first_text is not None:
            if not self._faults.first_text_is_due(self._time.connected_for, audio_sent=self._audio_sent):
                return
            self._texts.insert(0, self._first_text)
            self._first_text = None
        texts, self._texts = self._texts, []
        for text in self._faults.join_texts(texts):
            connection.send_text(text)

    def _flush_audio(self, connection: ClientConnection) -> None:
        while connection.writable and (message := self.buffer.take_message()):
            for chunk in self._faults.split_message(message):
                connection.send_audio(chunk)
            self._audio_sent = True


class CallExchange:
    """Send the frames of one call, execute the server's commands, and answer them."""

    def __init__(
        self, plan: CallPlan, *, sender: CallSender, faults: InjectedFaults, log: SimulatedCallLog, time: CallTime
    ) -> None:
        self._plan = plan
        self._sender = sender
        self._faults = faults
        self._log = log
        self._time = time
        self._session = ListenSession(started_at=0.0, default_format=plan.audio_format)
        self._limits = CallLimits(plan)
        self._sent_meter = LevelMeasurer(plan.audio_format)
        self._heard_meter = LevelMeasurer(AudioFormat(plan.verb.sample_rate, 1))
        self._answers = AnswerWatch(plan.answer_within)
        self._sound: StreamedSound | None = None
        self._received_bytes = 0
        self._lateness = 0.0  # of the latest frame, in seconds
        self.connection: ClientConnection | None = None
        self.over = False  # set it to make no further frame
        self.exceeded_limit = ""
        self.sent_levels: Levels | None = None  # latest levels of the audio sent to the server
        self.heard_levels: Levels | None = None  # the same of what the caller hears
        self.playout = Playout(
            plan.profile,
            plan.verb.bidirectional,
            call_rate=plan.call_rate,
            resampler=PromptResampler,
            wav_reader=read_clip_wav,
        )

    def warm_up(self) -> None:
        """Import what measures levels and judges sound, so that no frame has to wait for it."""
        from listenctl.simulator.streamed_sound import StreamedSound

        measure_levels(bytes(self._plan.audio_format.frame_bytes), self._plan.audio_format.channels, 1)
        rate = self._plan.verb.bidirectional.sample_rate or self._plan.call_rate
        name, rate = ("the stream", rate) if self.playout.streams else ("the sound of the clips", self._plan.call_rate)
        self._sound = StreamedSound(rate, name=name)

    async def run(self, audio: SimulatedAudio, press_digit: Callable[[str, float], None]) -> ListenctlError | None:
        """Make each frame when it is due, until the call or its audio ends; return why the audio failed, if it did."""
        plan = self._plan
        rate = plan.verb.sample_rate
        pacer = Pacer(rate)
        presses = sorted(plan.dtmf_presses, key=lambda press: press.time)
        position = 0
        for number in count(1):
            samples = int(number * plan.ptime * rate + 1e-6) - position
            lateness = await pacer.wait_for_chunk(samples)
            time = position / rate
            position += samples
            while presses and presses[0].time <= time:
                press = presses.pop(0)
                press_digit(press.digit, press.duration)
            self.exceeded_limit = self._limits.exceeded(time, self._time.elapsed)
            if self.over or self.exceeded_limit:
                break
            try:
                frame = await audio.next_frame(samples)
            except ListenctlError as exc:
                return exc
            if frame.over and plan.duration is None and not presses:
                break
            self._take_frame(frame, lateness)
        return None

    def take_text(self, data: bytes, *, fragments: Sequence[int]) -> bool:
        """Execute a text of the server; return whether it asks to disconnect."""
        self._received_bytes += len(data)
        disconnects = False
        for event in self._session.receive_message(Sender.APPLICATION, TextMessage(data), self._time.elapsed):
            if not isinstance(event, CommandSent):
                continue
            if fragments:
                verdicts = self.playout.take_text(data, fragments=fragments)
            else:
                verdicts = self.playout.take_command(event.command)
            self._log.add_command(self.playout.message_number, event.command)
            self._log.report_verdicts(verdicts, self._time.elapsed)
            disconnects |= isinstance(event.command, Disconnect)
        return disconnects

    def take_audio(self, data: bytes, *, fragments: Sequence[int]) -> None:
        self._received_bytes += len(data)
        self._log.add_received_audio(len(data))
        self._log.report_verdicts(self.playout.take_audio(data, fragments=fragments), self._time.elapsed)
        if self._sound and self.playout.streams:
            number = self.playout.message_number
            self._log.report_verdicts(self._sound.take_message(number, data, self._time.elapsed), self._time.elapsed)

    def send_digit(self, digit: str, duration: float) -> None:
        milliseconds = round(duration * 1000)
        numbers = self._plan.profile.play_done is not PlayDoneForm.STRINGS
        message = Dtmf(digit, milliseconds if numbers else str(milliseconds * _RTP_UNITS_PER_MS))
        self._sender.send_text(message.serialize())
        self._log.report_dtmf(message, self._time.elapsed)

    def end_playout(self) -> None:
        verdicts = [
            *self.playout.end_listen(),
            *self._answers.end_call(self._time.connected_for, streams=self.playout.streams),
            *(self._sound.end_call(caller_talked=self._answers.caller_talked) if self._sound else ()),
        ]
        late = self._lateness > SENDING_TICKS * _TICK
        self._log.report_verdicts(self._excuse(verdicts, late=late), self._time.elapsed)

    def _take_frame(self, frame: CallFrame, lateness: float) -> None:
        elapsed = self._time.connected_for
        connected = self.connection is not None
        for fault in self._faults.begun_faults(elapsed) if connected else ():
            self._log.report_fault(fault)
        self._lateness = lateness
        for tick in frame.ticks:
            self._answer(tick)
        self._judge(frame, elapsed)
        self._throttle_reading(elapsed)
        self._limits.add_caller_audio(frame.caller)
        self._measure(frame)
        if connected and not self._faults.captures_audio(elapsed):
            return
        lost = self._sender.send_frame(self._faults.delay_right_channel(frame.sent))
        stalled = connected and not self._faults.allows_sending(elapsed)
        self._log.add_frame(self._plan.audio_format.samples_in(len(frame.sent)), lateness, lost, stalled=stalled)

    def _judge(self, frame: CallFrame, elapsed: float) -> None:
        """Judge what the caller hears of the application, and when."""
        played = b"".join(tick.audio for tick in frame.ticks)
        seconds = len(frame.caller) / SAMPLE_BYTES / self._plan.verb.sample_rate
        verdicts = self._answers.add_frame(elapsed, seconds, caller=is_loud(frame.caller), application=is_loud(played))
        if self._sound and not self.playout.streams and played.strip(b"\0"):
            verdicts += self._sound.take_audio(0, played, elapsed)
        self._log.report_verdicts(self._excuse(verdicts, late=self._lateness > _TICK), self._time.elapsed)

    def _answer(self, tick: PlayoutTick) -> None:
        for text in self._plan.profile.serialize_messages(tick.messages):
            self._sender.send_text(text)
        for message in tick.messages:
            sent = TextMessage(message.serialize().encode())
            answered = self._session.receive_message(Sender.JAMBONZ, sent, self._time.elapsed)
            round_trips = [event.round_trip for event in answered if isinstance(event, MessageReceived)]
            self._log.report_answer(message, self._time.elapsed, round_trips[0] if round_trips else None)
        verdicts = self._excuse(tick.verdicts, late=self._lateness > _TICK)
        self._log.report_verdicts(verdicts, self._time.elapsed)

    def _excuse(self, verdicts: Sequence[Verdict], *, late: bool) -> Sequence[Verdict]:
        """Return the verdicts, without those against the server that our own lateness may have caused."""
        why = "this machine was late" if late else "" if self._faults.read_rate is None else "slow-reader read it late"
        if not why:
            return verdicts
        return [
            replace(verdict, wrong=False, sentence=f"{verdict.sentence}; perhaps only because {why}")
            if verdict.wrong and verdict.reason in _HASTE
            else verdict
            for verdict in verdicts
        ]

    def _throttle_reading(self, elapsed: float) -> None:
        if self.connection is None or self._faults.read_rate is None:
            return
        if self._faults.allows_reading(elapsed, self._received_bytes):
            self.connection.resume_reading()
        else:
            self.connection.pause_reading()

    def _measure(self, frame: CallFrame) -> None:
        if windows := self._sent_meter.feed(frame.sent):
            self.sent_levels = windows[-1]
        if windows := self._heard_meter.feed(frame.heard):
            self.heard_levels = windows[-1]
