"""
Play what an application sent at the times at which it sent it, as jambonz would have played it.

Ticks are those of the audio from jambonz, since the same clock drives both; while nothing plays and nothing is to be
answered there are none, so that a long call of which the application says little costs little.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from listenctl.inspection.message_checks.mark_and_clip_records import MessagePlace
from listenctl.inspection.message_checks.stream_or_clips import CallMode
from listenctl.media.files.read_clip_wav import read_clip_wav
from listenctl.media.resampling import prompt_resampler
from listenctl.protocol.application_commands import Command, KillAudio
from listenctl.protocol.audio import SAMPLE_BYTES, unpack
from listenctl.protocol.jambonz_model.command_verdicts import Verdict
from listenctl.protocol.jambonz_model.playout import TICKS_PER_SECOND, BidirectionalAudio, Playout
from listenctl.protocol.jambonz_model.profiles import Profile

TICK = 1 / TICKS_PER_SECOND
CLIP_CALL_RATE = 8000
LONGEST_UNDERRUN = 0.5
"""Seconds; a longer pause in a stream was meant."""

# What nobody misses: -55 dB.
_SILENCE = 58
# Nothing changes any more: one tick answers one mark, and of those there are at most thirty.
_QUIET_TICKS = 50
_MOST_BUFFERED = 1800.0
_MOST_PLACES = 4096
# The most that jambonz keeps in its pre-buffer, at 64 kHz into a call of 8.
_LONGEST_TAIL = SAMPLE_BYTES * 1280 * 8


@dataclass(frozen=True, slots=True)
class TimedVerdict:
    """A verdict that was reached ``at``, on what was sent at ``place``."""

    at: float
    place: MessagePlace
    verdict: Verdict


@dataclass(slots=True)
class StreamStatistics:
    """
    How the stream of a call went.

    Attributes:
        ahead: the most seconds that were waiting to be played.
        underruns: how often it ran dry in the middle, for ``underrun_seconds`` in all.
        left: seconds that were still to be played at the end.
    """

    ahead: float = 0.0
    first_underrun: float | None = None
    underruns: int = 0
    underrun_seconds: float = 0.0
    left: float = 0.0


class InspectedPlayout:
    """
    Play one call.

    Attributes:
        last_audio: where the last binary message was.

    Args:
        call_rate: of the call itself, which the capture doesn't tell.
        phase: time of any tick.
        judge: takes verdicts.
        hear: takes what the caller hears: time, sample rate, 16-bit samples.
    """

    def __init__(
        self,
        mode: CallMode,
        profile: Profile,
        *,
        call_rate: int | None,
        phase: float,
        judge: Callable[[TimedVerdict], None],
        hear: Callable[[float, int, bytes], None],
    ) -> None:
        option = BidirectionalAudio(streaming=mode.streams, sample_rate=mode.stream_rate or None)
        # Without a word on it, the benefit of the doubt: no resampling, whose faults wouldn't be certain.
        rate = call_rate or mode.stream_rate or CLIP_CALL_RATE
        self._playout = Playout(profile, option, call_rate=rate, resampler=prompt_resampler, wav_reader=read_clip_wav)
        self._judge = judge
        self._hear = hear
        self._due = phase
        self._quiet = _QUIET_TICKS
        self._places: OrderedDict[int, MessagePlace] = OrderedDict()
        self._rate = mode.stream_rate or CLIP_CALL_RATE
        self.last_audio: MessagePlace | None = None
        self._tail = bytearray()
        self._ran_dry: float | None = None
        self._sure = True
        self._killed = False
        self.stream = StreamStatistics()

    @property
    def streams(self) -> bool:
        """Whether binary audio is played."""
        return self._playout.streams

    def command(self, place: MessagePlace, command: Command) -> None:
        """Take a text."""
        self.advance(place.at)
        self._quiet = 0
        self._killed = self._killed or isinstance(command, KillAudio)
        verdicts = self._playout.take_command(command)
        self._places[self._playout.message_number] = place
        if len(self._places) > _MOST_PLACES:
            self._places.popitem(last=False)
        self._tell(place.at, verdicts)

    def audio(self, place: MessagePlace, data: bytes) -> None:
        """Take a binary message."""
        self.advance(place.at)
        if not data or self._playout.buffered > _MOST_BUFFERED:
            return
        self.last_audio = place
        self._tail += data[-_LONGEST_TAIL:]
        if len(self._tail) > 4 * _LONGEST_TAIL:
            del self._tail[:-_LONGEST_TAIL]
        self._quiet = 0
        self._tell(place.at, self._playout.take_audio(data))
        self.stream.ahead = max(self.stream.ahead, self._playout.buffered)

    def doubt(self) -> None:
        """Take notice that something may have been sent that isn't told: where it runs dry from now on says nothing."""
        self._sure = False

    def held_tail(self) -> float:
        """Return the seconds of sound that wait for more, 0 where it is silence that does."""
        samples = round(self._playout.held * self._rate)
        tail = unpack(bytes(self._tail[-samples * SAMPLE_BYTES :])) if samples else ()
        sound = next((index for index in range(len(tail), 0, -1) if abs(tail[index - 1]) > _SILENCE), 0)
        return sound / self._rate

    def advance(self, at: float) -> None:
        """Play up to ``at``."""
        while self._due <= at:
            if self._quiet >= _QUIET_TICKS:
                self._due += TICK * (int((at - self._due) / TICK) + 1)
                return
            self._tick()

    def finish(self, at: float) -> None:
        """Play to the end, and say what that cuts off."""
        self.advance(at)
        self.stream.left = self._playout.buffered + self._playout.held
        self._tell(at, self._playout.end_listen())

    def _tick(self) -> None:
        playing = self._playout.buffered > 0
        tick = self._playout.play_tick()
        self._tell(self._due, tick.verdicts)
        if playing:
            self._end_underrun()
            self._quiet = 0
            self._hear(self._due, self._playout.call_rate, tick.audio)
            ends = not self._playout.buffered and not self._killed
            self._ran_dry = self._due + TICK if ends else None
        else:
            self._quiet += 1
        self._killed = False
        self._due += TICK

    def _end_underrun(self) -> None:
        if self._ran_dry is None or not self.streams or not self._sure:
            return
        since, self._ran_dry = self._ran_dry, None
        seconds = self._due - since
        if TICK / 2 < seconds <= LONGEST_UNDERRUN:
            if self.stream.first_underrun is None:
                self.stream.first_underrun = since
            self.stream.underruns += 1
            self.stream.underrun_seconds += seconds

    def _tell(self, at: float, verdicts: tuple[Verdict, ...]) -> None:
        for verdict in verdicts:
            place = self._places.get(verdict.command) or self.last_audio or MessagePlace(at)
            self._judge(TimedVerdict(at, place, verdict))
