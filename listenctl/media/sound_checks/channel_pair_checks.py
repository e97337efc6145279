"""Check the two channels of a call against each other: identical, mixed, or one an echo of the other."""

from collections.abc import Iterator

import numpy as np

from listenctl.media.sound_checks.correlation import Correlator, Floats, Similarity
from listenctl.media.sound_checks.sound_fault import SIDES, SoundFault

# Idle values of codecs, which are equal by chance.
_IDLE = 8
_MIN_IDENTICAL = 0.99
_MAX_MIX_DELAY = 0.002
_CERTAIN_SECONDS = 3.0


class ChannelPairChecks:
    def __init__(self, sample_rate: int) -> None:
        self._correlator = Correlator(sample_rate, sample_rate)
        self._size = self._correlator.sizes[0]
        self._held: list[Floats] = []  # rows of both channels
        self._held_samples = 0
        self._equal = self._compared = 0

    def add_samples(self, channels: Floats) -> None:
        """Compare the two rows of ``channels``."""
        left, right = channels
        equal = left[left == right]
        idle = int(np.count_nonzero(np.abs(equal) <= _IDLE))
        self._compared += len(left) - idle
        self._equal += len(equal) - idle
        if self._correlator.done:
            return
        self._held.append(channels)
        self._held_samples += len(left)
        if self._held_samples >= self._size:
            self._correlate()

    def check(self, sound_seconds: float) -> Iterator[SoundFault]:
        """Yield the fault that the channels have together (listenctl-protocol(7) 3.1), given the sound in both."""
        if self._compared and self._equal / self._compared >= _MIN_IDENTICAL and sound_seconds:
            sentence = "both channels are identical; they should be the two directions of the call"
            yield SoundFault("audio-identical", sentence, min(1.0, sound_seconds / _CERTAIN_SECONDS))
        elif similarity := self._correlator.result():
            yield _fault_of(similarity)

    def _correlate(self) -> None:
        held = self._held[0] if len(self._held) == 1 else np.concatenate(self._held, axis=1)
        whole = self._held_samples - self._held_samples % self._size
        for at in range(0, whole, self._size):
            self._correlator.add_block(*held[:, at : at + self._size])
        self._held_samples -= whole
        self._held = [held[:, whole:]] if self._held_samples else []


def _fault_of(similarity: Similarity) -> SoundFault:
    delay = abs(similarity.delay)
    if delay < _MAX_MIX_DELAY:
        sentence = "both channels contain the same sound, but not identically; the directions of the call are mixed"
        return SoundFault("audio-crosstalk", sentence, similarity.strength)
    first, second = SIDES if similarity.delay > 0 else reversed(SIDES)
    sentence = f"echo: the {second} channel repeats the {first} one {delay * 1000:.0f} ms later"
    return SoundFault("audio-echo", sentence, similarity.strength)
