"""
Find a stream of another sample rate than agreed by its pace, where the sender keeps time.

Most applications send each piece of audio when it is due, so the samples per second are those of the real rate. To
hurry is no fault. A steady pace of a higher rate is one only if the audio also sounds slowed down.
"""

from collections.abc import Iterator

from listenctl.media.sound_checks.channel_checks import ChannelMeasurements
from listenctl.media.sound_checks.sound_fault import SoundFault

_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_TOLERANCE = 0.02
# Between two messages of an utterance; a longer gap begins another one.
_GAP = 0.25
_WINDOW = 0.5
_MIN_WINDOWS = 6
_UNSTEADY = 0.15
# Slowed down to half its speed, speech has little above this, relative to the sample rate.
_DULL_FROM = 0.25
_DULL = 0.02


class StreamPace:
    def __init__(self, sample_rate: int, name: str) -> None:
        self._rate = sample_rate
        self._name = name
        self._last = float("-inf")
        self._window_began = 0.0
        self._window_samples = 0
        self._utterance: list[float] = []  # samples per second of each window
        self._paces: list[float] = []  # of each steady utterance

    def add_message(self, time: float, samples: int) -> None:
        if time - self._last > _GAP:
            self._end_utterance()
            self._window_began, self._window_samples = time, 0
        elif time - self._window_began >= _WINDOW:
            self._utterance.append(self._window_samples / (time - self._window_began))
            self._window_began, self._window_samples = time, 0
        self._last = time
        # What this message brings lasts until the next one.
        self._window_samples += samples

    def check(self, channel: ChannelMeasurements) -> Iterator[SoundFault]:
        """Yield the fault, if there is one; ``channel`` is the audio that was sent."""
        self._end_utterance()
        found = {_known_rate(pace) for pace in self._paces}
        if len(found) != 1:
            return
        rate = found.pop()
        if rate is None or rate == self._rate:
            return
        if rate > self._rate and not self._sounds_slowed_down(channel, rate / self._rate):
            return
        sentence = f"{self._name} comes at {rate} samples a second, the pace of {rate} Hz, but plays at {self._rate} Hz"
        yield SoundFault("audio-other-rate", sentence, 0.8, 1)

    def _sounds_slowed_down(self, channel: ChannelMeasurements, factor: float) -> bool:
        limit = _DULL_FROM * self._rate * min(1.0, 2 / factor)
        return channel.spectrum is not None and channel.energy_above(limit) <= _DULL

    def _end_utterance(self) -> None:
        # The first window has what was sent ahead.
        steady = self._utterance[1:]
        self._utterance = []
        if len(steady) < _MIN_WINDOWS:
            return
        pace = sum(steady) / len(steady)
        if all(abs(one - pace) <= _UNSTEADY * pace for one in steady):
            self._paces.append(pace)


def _known_rate(pace: float) -> int | None:
    return next((rate for rate in _RATES if abs(pace - rate) <= _TOLERANCE * rate), None)
