"""What a simulated jambonz and the server say to each other: commands, the server's audio, answers and keys."""

from listenctl.client.call_log import CallLog
from listenctl.client.call_time import CallTime
from listenctl.client.outlet import Outlet
from listenctl.client.plan import CallPlan
from listenctl.media.resampling import soxr_resampler
from listenctl.media.wav_clips import soundfile_wav_reader
from listenctl.protocol.commands import Disconnect
from listenctl.protocol.messages import Dtmf
from listenctl.protocol.playout import Playout, Tick
from listenctl.protocol.profiles import PlayDoneForm
from listenctl.protocol.session import CommandSent, ListenSession, MessageReceived, Sender
from listenctl.protocol.splitter import Text

_RTP_UNITS_PER_MS = 8


class Exchange:
    """
    Obey the server of one call, and answer it.

    Attributes:
        playout: plays what the server sends, and makes the answers.
        received: bytes of all messages of the server.
    """

    def __init__(self, plan: CallPlan, *, outlet: Outlet, log: CallLog, time: CallTime) -> None:
        self._profile = plan.profile
        self._outlet = outlet
        self._log = log
        self._time = time
        self._session = ListenSession(started_at=0.0, default_format=plan.audio_format)
        self.playout = Playout(
            plan.profile,
            plan.verb.bidirectional,
            call_rate=plan.call_rate,
            resampler=soxr_resampler,
            wav_reader=soundfile_wav_reader,
        )
        self.received = 0

    def take_text(self, data: bytes, *, fragmented: bool) -> bool:
        """Obey a text; return whether it asks to disconnect."""
        self.received += len(data)
        disconnects = False
        for event in self._session.receive(Sender.APPLICATION, Text(data), self._time.elapsed):
            if not isinstance(event, CommandSent):
                continue
            self._log.take_command(event.command)
            verdicts = self.playout.text(data, fragmented=True) if fragmented else self.playout.command(event.command)
            self._log.judge(verdicts, self._time.elapsed)
            disconnects |= isinstance(event.command, Disconnect)
        return disconnects

    def take_audio(self, data: bytes, *, fragmented: bool) -> None:
        """Play audio."""
        self.received += len(data)
        self._log.take_audio(len(data))
        self._log.judge(self.playout.audio(data, fragmented=fragmented), self._time.elapsed)

    def answer(self, tick: Tick) -> None:
        """Tell the server what was played."""
        for text in self._profile.texts(tick.messages):
            self._outlet.text(text)
        for message in tick.messages:
            text = message.serialize()
            answered = self._session.receive(Sender.JAMBONZ, Text(text.encode()), self._time.elapsed)
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
        self._log.judge(self.playout.finish(), self._time.elapsed)
