"""Find what the application plays in what jambonz sends: an echo of the caller's phone, or swapped channels."""

from collections.abc import Iterator

import numpy as np

from listenctl.inspection.call_observers import AudioRun
from listenctl.inspection.sample_times import SampleTimes
from listenctl.media.sound_checks.correlation import BLOCK, Correlator, Samples
from listenctl.media.sound_checks.sound_fault import SoundFault
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap import Gap

# Audio of the application may become known so much later: the mode of the call decides how it is played.
_MAX_DELAY = 12.0
# An application that returns the caller's audio is later than this.
_MAX_LEAD = 0.002
# From the application to the caller and back takes longer; the place of a clip is known to about 20 ms.
_MIN_ECHO_DELAY = 0.06


class EchoChecks:
    """Compare both sides of one call in time."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._times = SampleTimes(audio_format)
        self._received = [_AudioBlocks(audio_format.sample_rate) for _ in range(audio_format.channels)]
        self._played: _AudioBlocks | None = None
        self._correlators: list[Correlator] = []
        self._done = False
        self.application_plays = False  # the application plays something, so received audio must be kept

    def take_received_audio(self, at: float, position: int, data: bytes) -> None:
        self._times.add_audio(at, self._format.samples_in(len(data)))
        if not self.application_plays or self._done:
            return
        frames = np.frombuffer(data, "<i2").reshape(-1, self._format.channels)
        begins = self._times.time_of(position)
        for channel, blocks in enumerate(self._received):
            blocks.put_samples(begins, frames[:, channel])
        self._compare_until(at - _MAX_DELAY)

    def take_audio_run(self, audio: AudioRun) -> None:
        if not self.application_plays or self._done:
            self._times.add_messages(audio.times, audio.samples)
            return
        for at, position, data in audio.messages():
            self.take_received_audio(at, position, data)

    def take_gap(self, gap: Gap) -> None:
        self._times.add_gap(gap)

    def take_played_audio(self, at: float, sample_rate: int, data: bytes) -> None:
        if self._played is None:
            self._played = _AudioBlocks(sample_rate)
            self._correlators = [Correlator(sample_rate, self._format.sample_rate) for _ in self._received]
        if not self._done:
            self._played.put_samples(at, np.frombuffer(data, "<i2"))

    def finish(self, *, plays_clips: bool, mixed: bool) -> Iterator[SoundFault]:
        """
        Yield the fault in the audio from jambonz. Clips belong into the right channel, unlike a stream
        (listenctl-protocol(7) 3.1); ``mixed`` audio has a single channel, which contains clips.
        """
        # Where a call ends, both sounds break off at once, which looks like an echo without a delay.
        self._compare_until(self._times.end)
        found = [correlator.result() for correlator in self._correlators]
        if not found or (left := found[0]) is None or (mixed and plays_clips):
            return
        only_left = len(found) == 2 and found[1] is None
        if plays_clips and only_left and abs(left.delay) < _MIN_ECHO_DELAY:
            sentence = "the channels are swapped: clips of the application are in the left one instead of the right"
            yield SoundFault("audio-swapped", sentence, left.strength)
        elif left.delay >= -_MAX_LEAD:
            delay_ms = left.delay * 1000
            sentence = f"echo: the caller's side returns what the application plays, {delay_ms:.0f} ms later"
            yield SoundFault("audio-echo", sentence, left.strength, 1)

    def _compare_until(self, until: float) -> None:
        for number in self._received[0].ended(until):
            played = self._played.take_block(number) if self._played else None
            for channel, blocks in enumerate(self._received):
                received = blocks.take_block(number)
                if played is not None and received is not None:
                    self._correlators[channel].add_block(played.astype(np.float32), received.astype(np.float32))
        self._done = bool(self._correlators) and all(correlator.done for correlator in self._correlators)


class _AudioBlocks:
    """Audio in blocks of ``BLOCK`` seconds, with silence in gaps."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._size = round(BLOCK * sample_rate)
        self._blocks: dict[int, Samples] = {}
        self._taken = -1

    def put_samples(self, at: float, samples: Samples) -> None:
        """Put samples where they belong; those of earlier blocks are discarded."""
        begin = round(at * self._rate)
        while len(samples):
            number, offset = divmod(begin, self._size)
            part = samples[: self._size - offset]
            if number > self._taken:
                block = self._blocks.setdefault(number, np.zeros(self._size, np.int16))
                block[offset : offset + len(part)] = part
            begin, samples = begin + len(part), samples[len(part) :]

    def ended(self, until: float) -> list[int]:
        """Return the numbers of the blocks that end by then."""
        return sorted(number for number in self._blocks if (number + 1) * BLOCK <= until)

    def take_block(self, number: int) -> Samples | None:
        """Remove and return a block, None if it is empty; earlier blocks are discarded."""
        block = self._blocks.pop(number, None)
        self._taken = number
        for before in [other for other in self._blocks if other < number]:
            del self._blocks[before]
        return block
