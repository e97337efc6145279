"""One channel's sound in numbers that add up: level, clipping, offset, silence, and where its energy is."""

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from listenctl.media.measure_levels import CLIP_SAMPLE, FLOOR_DB, FULL_SCALE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.int16]

FRAME = 0.02
"""Seconds over which silence is told."""
# -60 dB, below which the idle noise of lines and codecs is.
_QUIET = FULL_SCALE / 1000
# Of what is quieter, the rounding to 16 bits would count as sound.
_LOUD = FULL_SCALE / 100
# FreeSWITCH says "no audio" by -1 (protocol.md 3.3), and A-law has no 0 but ±8.
_NOTHING = 8
# So many samples in a row have the same extreme value where a peak was cut off.
_FLAT_RUN = 3
_BLOCK = 0.5
_MOST_WINDOWS = 16
"""Of a block, whose spectra are taken."""
BANDS = 256
"""Of the spectrum, from 0 to half the sample rate."""
# Speech leaves few frequencies of this range out, be it spoken too slowly or too fast; keys and other tones most.
_SPEECH = (150, 1900)
_PRESENT = 1e-4
_MOSTLY = 0.75


@dataclass(slots=True)
class ChannelMeasurements:
    """
    Measure one channel.

    Attributes:
        silent_frames: those that hold nothing, at most the idle values of a codec.
        quiet_frames: those below -60 dB, the silent ones included.
        cut: samples that stand in the flat top of a peak.
        spectrum: energy by band, of the loudest half second of each stretch; all count alike, however loud they are.
    """

    sample_rate: int
    samples: int = 0
    frames: int = 0
    silent_frames: int = 0
    quiet_frames: int = 0
    cut: int = 0
    pairs: int = 0
    equal_pairs: tuple[int, int] = (0, 0)
    peak: int = 0
    _sum: float = 0.0
    _squares: float = 0.0
    spectrum: "NDArray[np.float64] | None" = field(default=None, repr=False)

    def add(self, samples: "Samples") -> None:
        """Take a stretch of sound; its spectrum is that of its loudest half second."""
        import numpy as np

        floats = samples.astype(np.float32)
        self.samples += len(samples)
        self._sum += float(floats.sum())
        self._squares += float(np.dot(floats, floats))
        peak = max(int(samples.max()), -int(samples.min()))
        self.peak = max(self.peak, peak)
        frame = max(1, round(FRAME * self.sample_rate))
        rows = floats[: len(floats) - len(floats) % frame].reshape(-1, frame)
        self.frames += len(rows)
        if not len(rows):
            return
        if peak <= _NOTHING:
            self.silent_frames += len(rows)
            self.quiet_frames += len(rows)
            return
        power = np.einsum("ij,ij->i", rows, rows) / frame
        quiet = power < _QUIET**2
        self.quiet_frames += int(quiet.sum())
        if quiet.any():
            self.silent_frames += int((np.abs(rows[quiet]).max(axis=1) <= _NOTHING).sum())
        if peak >= CLIP_SAMPLE:
            self.cut += _count_cut(samples)
        self._add_loudest(samples, floats, power, frame)

    @property
    def rms_db(self) -> float:
        """Level over all, in dB relative to full scale."""
        return _db((self._squares / self.samples) ** 0.5 if self.samples else 0.0)

    @property
    def peak_db(self) -> float:
        """Level of the loudest sample."""
        return _db(self.peak)

    @property
    def offset(self) -> float:
        """The mean of all samples, 1 for full scale."""
        return self._sum / self.samples / FULL_SCALE if self.samples else 0.0

    @property
    def silence(self) -> float:
        """The share that is quiet, 0 to 1."""
        return self.quiet_frames / self.frames if self.frames else 1.0

    @property
    def sound(self) -> float:
        """Seconds that aren't quiet."""
        return (self.frames - self.quiet_frames) * FRAME

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing at all."""
        return self.silent_frames == self.frames

    @property
    def clipping(self) -> float:
        """The share of the sound that is cut off, 0 to 1."""
        sound = self.sound * self.sample_rate
        return min(1.0, self.cut / sound) if sound else 0.0

    @property
    def repeated(self) -> float:
        """The share of samples that only repeat the one before, every second being looked at."""
        return max(self.equal_pairs) / self.pairs if self.pairs else 0.0

    @property
    def is_broad(self) -> bool:
        """Whether there is energy at most frequencies of speech, as tones don't have it."""
        import numpy as np

        if self.spectrum is None:
            return False
        low, high = (round(frequency / (self.sample_rate / 2) * BANDS) for frequency in _SPEECH)
        part = self.spectrum[low : high + 1]
        present = int(np.count_nonzero(part > _PRESENT * float(self.spectrum.sum())))
        return present >= _MOSTLY * len(part)

    def energy_above(self, frequency: float) -> float:
        """Return the share of the energy that is above a frequency."""
        if self.spectrum is None:
            return 0.0
        band = min(BANDS, round(frequency / (self.sample_rate / 2) * BANDS))
        total = float(self.spectrum.sum())
        return float(self.spectrum[band:].sum()) / total if total else 0.0

    def _add_loudest(
        self, samples: "Samples", floats: "NDArray[np.float32]", power: "NDArray[np.float32]", frame: int
    ) -> None:
        """Take the block with the most power, which is there for each frame."""
        import numpy as np

        block = round(_BLOCK / FRAME)
        starts = np.arange(0, max(1, len(power) // block * block), block)
        sums = np.add.reduceat(power, starts)
        loudest = int(sums.argmax())
        if sums[loudest] > _LOUD**2 * min(block, len(power)):
            part = slice(loudest * block * frame, (loudest + 1) * block * frame)
            self._add_sound(samples[part], floats[part])

    def _add_sound(self, samples: "Samples", floats: "NDArray[np.float32]") -> None:
        import numpy as np

        even = len(samples) // 2 * 2
        equal = samples[1:even] == samples[: even - 1]
        # Which of two neighbours repeats the other depends on where the block begins.
        first, second = self.equal_pairs
        self.equal_pairs = first + int(equal[::2].sum()), second + int(equal[1::2].sum())
        self.pairs += even // 2
        size = 2 * BANDS
        if len(floats) < size:
            return
        rows = floats[: len(floats) - len(floats) % size].reshape(-1, size)
        rows = rows[:: -(-len(rows) // _MOST_WINDOWS)] * hann_window(size)
        power = np.square(np.abs(np.fft.rfft(rows))).sum(axis=0, dtype=np.float64)[:BANDS]
        power[:2] = 0.0
        if total := float(power.sum()):
            self.spectrum = power / total if self.spectrum is None else self.spectrum + power / total


def _count_cut(samples: "Samples") -> int:
    """Return how many samples stand in runs of one extreme value."""
    import numpy as np

    # Mostly few samples, of which all that follows is done.
    loud = np.flatnonzero((samples >= CLIP_SAMPLE) | (samples <= -CLIP_SAMPLE))
    values = samples[loud]
    flat = (values[1:] == values[:-1]) & (loud[1:] - loud[:-1] == 1)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flat, [False])).astype(np.int8)))
    # A run of n equal samples has n - 1 equal neighbours.
    lengths = edges[1::2] - edges[::2] + 1
    return int(lengths[lengths >= _FLAT_RUN].sum())


@cache
def hann_window(size: int) -> "NDArray[np.float32]":
    """Return the weights of samples before their spectrum is taken."""
    import numpy as np

    return np.hanning(size).astype(np.float32)


def _db(amplitude: float) -> float:
    from math import log10

    return max(FLOOR_DB, 20 * log10(max(amplitude, 1.0) / FULL_SCALE))
