"""
Simulate playout: what an application sent, with its original timing, played as jambonz would.

Playout ticks with the audio from jambonz, which the same clock drives. There are no ticks while nothing is played or
left to be answered, so a long call in which the application sends little costs little.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from listenctl.inspection.message_checks.stream_or_clips import CallMode
from listenctl.inspection.rule_violations import MessagePlace
from listenctl.media.files.libsndfile import read_clip_wav
from listenctl.media.resampling import PromptResampler
from listenctl.protocol.application_commands import Command, KillAudio
from listenctl.protocol.audio import SAMPLE_BYTES, unpack_samples
from listenctl.protocol.jambonz_model.command_verdicts import Verdict
from listenctl.protocol.jambonz_model.playout import TICKS_PER_SECOND, Playout
from listenctl.protocol.jambonz_model.profiles import Profile
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio

TICK = 1 / TICKS_PER_SECOND
_CLIP_CALL_RATE = 8000
_MAX_UNDERRUN = 0.5
"""Seconds; a longer pause in a stream is intended."""

# Inaudible: -55 dB.
_SILENCE = 58
# Nothing changes after that: one tick answers one mark, and at most thirty are outstanding.
_QUIET_TICKS = 50
_MAX_BUFFERED = 1800.0
_MAX_PLACES = 4096
# The maximum that jambonz holds in its pre-buffer: 64 kHz into a call of 8 kHz.
_MAX_TAIL = SAMPLE_BYTES * 1280 * 8


@dataclass(slots=True)
class StreamStatistics:
    ahead: float = 0.0  # maximum of buffered audio, in seconds
    first_underrun: float | None = None
    underruns: int = 0  # number of underruns, ``underrun_seconds`` in total
    underrun_seconds: float = 0.0
    left: float = 0.0  # seconds not yet played at the end


class InspectedPlayout:
    """Simulate the playout of one call, whose own sample rate, ``call_rate``, no capture shows."""

    def __init__(
        self,
        mode: CallMode,
        profile: Profile,
        *,
        call_rate: int | None,
        phase: float,
        on_verdict: Callable[[float, MessagePlace, Verdict], None],
        on_played_audio: Callable[[float, int, bytes], None],
    ) -> None:
        option = BidirectionalAudio(streaming=mode.streams, sample_rate=mode.stream_rate or None)
        # By default assume no resampling, whose faults would not be certain.
        rate = call_rate or mode.stream_rate or _CLIP_CALL_RATE
        self._playout = Playout(profile, option, call_rate=rate, resampler=PromptResampler, wav_reader=read_clip_wav)
        self._on_verdict = on_verdict  # takes the time of a verdict, the message it is about, and the verdict
        self._on_played_audio = on_played_audio  # takes what the caller hears: time, sample rate, 16-bit samples
        self._due = phase  # time of any tick
        self._quiet = _QUIET_TICKS
        self._places: OrderedDict[int, MessagePlace] = OrderedDict()
        self._rate = mode.stream_rate or _CLIP_CALL_RATE
        self.last_audio: MessagePlace | None = None  # place of the last binary message
        self._tail = bytearray()
        self._empty_since: float | None = None
        self._complete = True
        self._killed = False
        self.stream = StreamStatistics()

    def take_command(self, place: MessagePlace, command: Command) -> None:
        self.advance_to(place.at)
        self._quiet = 0
        self._killed = self._killed or isinstance(command, KillAudio)
        verdicts = self._playout.take_command(command)
        self._places[self._playout.message_number] = place
        if len(self._places) > _MAX_PLACES:
            self._places.popitem(last=False)
        self._pass_verdicts(place.at, verdicts)

    def take_audio(self, place: MessagePlace, data: bytes) -> None:
        self.advance_to(place.at)
        if not data or self._playout.buffered > _MAX_BUFFERED:
            return
        self.last_audio = place
        self._tail += data[-_MAX_TAIL:]
        if len(self._tail) > 4 * _MAX_TAIL:
            del self._tail[:-_MAX_TAIL]
        self._quiet = 0
        self._pass_verdicts(place.at, self._playout.take_audio(data))
        self.stream.ahead = max(self.stream.ahead, self._playout.buffered)

    def ignore_underruns(self) -> None:
        """Count no underruns from now on, because messages may be missing from the capture."""
        self._complete = False

    def held_tail(self) -> float:
        """Return the seconds of sound that the pre-buffer holds back; 0 if it holds silence."""
        samples = round(self._playout.held * self._rate)
        tail = unpack_samples(bytes(self._tail[-samples * SAMPLE_BYTES :])) if samples else ()
        sound = next((index for index in range(len(tail), 0, -1) if abs(tail[index - 1]) > _SILENCE), 0)
        return sound / self._rate

    def advance_to(self, at: float) -> None:
        while self._due <= at:
            if self._quiet >= _QUIET_TICKS:
                self._due += TICK * (int((at - self._due) / TICK) + 1)
                return
            self._tick()

    def end_call(self, at: float) -> None:
        self.advance_to(at)
        self.stream.left = self._playout.buffered + self._playout.held
        self._pass_verdicts(at, self._playout.end_listen())

    def _tick(self) -> None:
        playing = self._playout.buffered > 0
        tick = self._playout.play_tick()
        self._pass_verdicts(self._due, tick.verdicts)
        if playing:
            self._end_underrun()
            self._quiet = 0
            self._on_played_audio(self._due, self._playout.call_rate, tick.audio)
            empty = not self._playout.buffered and not self._killed
            self._empty_since = self._due + TICK if empty else None
        else:
            self._quiet += 1
        self._killed = False
        self._due += TICK

    def _end_underrun(self) -> None:
        if self._empty_since is None or not self._playout.streams or not self._complete:
            return
        since, self._empty_since = self._empty_since, None
        seconds = self._due - since
        if TICK / 2 < seconds <= _MAX_UNDERRUN:
            if self.stream.first_underrun is None:
                self.stream.first_underrun = since
            self.stream.underruns += 1
            self.stream.underrun_seconds += seconds

    def _pass_verdicts(self, at: float, verdicts: tuple[Verdict, ...]) -> None:
        for verdict in verdicts:
            place = self._places.get(verdict.command) or self.last_audio or MessagePlace(at)
            self._on_verdict(at, place, verdict)
