"""
Find speech that is played too slowly by its pitch, which is then far below that of any voice.

Deep voices have a median of 70 Hz or more; a voice at half or a third of its speed has 25 to 55 Hz. Bass notes are as
low, but keep their pitch until the next note, while that of a voice glides.
"""

from collections.abc import Iterator

import numpy as np

from listenctl.media.sound_checks.correlation import Floats, Samples
from listenctl.media.sound_checks.sound_fault import SoundFault

_RATE = 2000
_WINDOW = 0.12
_LOUD = 300.0
_HIGHEST, _LOWEST = 400, 25
_PERIODIC = 0.7
# Of the highest peak; the first one so high is the period, later ones are its multiples.
_FIRST_PEAK = 0.9
_TOO_LOW = 60.0
_MIN_WINDOWS = 25
_GLIDE = (0.007, 0.2)
_MIN_GLIDES = 0.35
# A minute of sound is enough.
_MAX_WINDOWS = 1000


class SpeechPitch:
    def __init__(self, sample_rate: int, name: str) -> None:
        self._rate = sample_rate
        self._name = name
        self._step = max(1, sample_rate // _RATE)
        self._size = round(_WINDOW * sample_rate / self._step) * self._step
        self._rest = np.zeros(0, np.int16)
        self._pitches: list[float] = []  # of each window in Hz; 0 where it is quiet or not periodic

    def add_samples(self, samples: Samples) -> None:
        if len(self._pitches) >= _MAX_WINDOWS:
            return
        samples = np.concatenate((self._rest, samples))
        whole = len(samples) // self._size * self._size
        self._rest = samples[whole:]
        for window in samples[:whole].reshape(-1, self._size):
            averaged = window.reshape(-1, self._step).mean(axis=1, dtype=np.float32)
            self._pitches.append(_pitch(averaged - averaged.mean(), self._rate / self._step))

    def check(self) -> Iterator[SoundFault]:
        pitches = np.array(self._pitches)
        voiced = pitches[pitches > 0]
        if len(voiced) < _MIN_WINDOWS or (median := float(np.median(voiced))) >= _TOO_LOW:
            return
        before, after = pitches[:-1], pitches[1:]
        both = (before > 0) & (after > 0)
        change = np.abs(after[both] - before[both]) / before[both]
        if np.count_nonzero((change > _GLIDE[0]) & (change < _GLIDE[1])) < _MIN_GLIDES * len(change):
            return
        why = f"has a pitch of {median:.0f} Hz, lower than any voice"
        sentence = f"{self._name} {why}: it plays too slowly, its own sample rate is higher than {self._rate} Hz"
        yield SoundFault("audio-other-rate", sentence, 0.8, 1)


def _pitch(window: Floats, rate: float) -> float:
    """Return the frequency at which a window repeats itself; 0 if it doesn't, or is quiet."""
    if float(np.square(window).mean()) < _LOUD**2:
        return 0.0
    lags = range(int(rate / _HIGHEST), min(int(rate / _LOWEST), len(window) * 2 // 3))
    likeness = np.array([_likeness(window[:-lag], window[lag:]) for lag in lags])
    highest = float(likeness.max())
    if highest < _PERIODIC:
        return 0.0
    inner = likeness[1:-1]
    peaks = np.flatnonzero((inner >= _FIRST_PEAK * highest) & (inner >= likeness[:-2]) & (inner >= likeness[2:])) + 1
    if not len(peaks):
        return 0.0
    left, centre, right = (float(one) for one in likeness[peaks[0] - 1 : peaks[0] + 2])
    curve = left - 2 * centre + right
    between = 0.5 * (left - right) / curve if curve else 0.0
    return rate / (lags[int(peaks[0])] + between)


def _likeness(one: Floats, other: Floats) -> float:
    energy = float(np.dot(one, one) + np.dot(other, other))
    return 2 * float(np.dot(one, other)) / energy if energy else 0.0
