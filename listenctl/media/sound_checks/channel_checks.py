"""Check one channel: silence, clipping, offset, and a sample rate that is wrong or higher than necessary."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import log10

import numpy as np
from numpy.typing import NDArray

from listenctl.json_lines import JsonObject
from listenctl.media.measure_levels import CLIP_SAMPLE, FLOOR_DB, FULL_SCALE
from listenctl.media.sound_checks.correlation import Floats, energy, spectra
from listenctl.media.sound_checks.sound_fault import SIDES, SoundFault

_FRAME = 0.02
"""Seconds over which silence is measured."""
# -60 dB; the idle noise of lines and codecs is lower.
_QUIET = FULL_SCALE / 1000
# In quieter blocks, the spectrum shows the rounding to 16 bits.
_LOUD = FULL_SCALE / 100
# FreeSWITCH sends -1 for "no audio" (listenctl-protocol(7) 3.3), and A-law has no 0 but ±8.
_IDLE = 8
# A clipped peak has so many equal samples in a row.
_MIN_FLAT_RUN = 3
_BLOCK = 0.5
_MAX_WINDOWS = 16
"""Spectra that are computed of a block."""
_BANDS = 256
"""Bands of the spectrum, from 0 to half the sample rate."""
# Speech covers most of this range even when played too slowly or too fast; tones do not.
_SPEECH = (150, 1900)
_MIN_BAND_SHARE = 1e-4
_MIN_COVERAGE = 0.75

# Shorter silence is a pause, and shorter sound may be chance.
_MIN_SECONDS = 3.0
_MAX_CLIPPING = 0.001
_MAX_OFFSET = 0.01
_MAX_REPEATED = 0.9
# An unused upper half contains what the resampler leaves, -60 dB and less.
_UNUSED = 2e-6
_NARROW = 4200
_HALF_OF_NARROW = 2200
_RATES = (8000, 16000, 24000, 32000)


@dataclass(slots=True)
class ChannelMeasurements:
    sample_rate: int
    samples: int = 0
    frames: int = 0
    silent_frames: int = 0  # frames with idle values of a codec only
    quiet_frames: int = 0  # frames below -60 dB, including silent ones
    clipped: int = 0  # samples in clipped peaks
    pairs: int = 0
    equal_pairs: tuple[int, int] = (0, 0)
    peak: int = 0
    _sum: float = 0.0
    _squares: float = 0.0
    spectrum: NDArray[np.float64] | None = field(default=None, repr=False)
    """Energy by band; every stretch has the same weight, regardless of its level."""

    def add_samples(self, samples: Floats) -> None:
        self.samples += len(samples)
        self._sum += float(samples.sum())
        self._squares += energy(samples)
        peak = max(int(samples.max()), -int(samples.min()))
        self.peak = max(self.peak, peak)
        frame = max(1, round(_FRAME * self.sample_rate))
        rows = samples[: len(samples) - len(samples) % frame].reshape(-1, frame)
        self.frames += len(rows)
        if not len(rows):
            return
        if peak <= _IDLE:
            self.silent_frames += len(rows)
            self.quiet_frames += len(rows)
            return
        power = np.einsum("ij,ij->i", rows, rows) / frame
        quiet = power < _QUIET**2
        self.quiet_frames += int(quiet.sum())
        if quiet.any():
            self.silent_frames += int((np.abs(rows[quiet]).max(axis=1) <= _IDLE).sum())
        if peak >= CLIP_SAMPLE:
            self.clipped += _count_clipped(samples)
        self._add_loudest(samples, power, frame)

    @property
    def rms_db(self) -> float:
        return _db((self._squares / self.samples) ** 0.5 if self.samples else 0.0)

    @property
    def peak_db(self) -> float:
        return _db(self.peak)

    @property
    def offset(self) -> float:
        """Mean of all samples, relative to full scale."""
        return self._sum / self.samples / FULL_SCALE if self.samples else 0.0

    @property
    def silence(self) -> float:
        return self.quiet_frames / self.frames if self.frames else 1.0

    @property
    def sound_seconds(self) -> float:
        return (self.frames - self.quiet_frames) * _FRAME

    @property
    def is_silent(self) -> bool:
        return self.silent_frames == self.frames

    @property
    def clipping(self) -> float:
        """The clipped share of the sound, 0 to 1."""
        sound = self.sound_seconds * self.sample_rate
        return min(1.0, self.clipped / sound) if sound else 0.0

    @property
    def repeated(self) -> float:
        return max(self.equal_pairs) / self.pairs if self.pairs else 0.0

    @property
    def is_broad(self) -> bool:
        """Whether the spectrum covers the frequencies of speech; that of tones does not."""
        if self.spectrum is None:
            return False
        low, high = (round(frequency / (self.sample_rate / 2) * _BANDS) for frequency in _SPEECH)
        part = self.spectrum[low : high + 1]
        present = int(np.count_nonzero(part > _MIN_BAND_SHARE * float(self.spectrum.sum())))
        return present >= _MIN_COVERAGE * len(part)

    def energy_above(self, frequency: float) -> float:
        if self.spectrum is None:
            return 0.0
        band = min(_BANDS, round(frequency / (self.sample_rate / 2) * _BANDS))
        total = float(self.spectrum.sum())
        return float(self.spectrum[band:].sum()) / total if total else 0.0

    def to_json(self, number: int) -> JsonObject:
        return {
            "channel": number,
            "samples": self.samples,
            "rms_db": round(self.rms_db, 1),
            "peak_db": round(self.peak_db, 1),
            "clipping": round(self.clipping, 5),
            "offset": round(self.offset, 5),
            "silence": round(self.silence, 4),
            "sound_seconds": round(self.sound_seconds, 2),
        }

    def _add_loudest(self, samples: Floats, power: Floats, frame: int) -> None:
        block = round(_BLOCK / _FRAME)
        starts = np.arange(0, max(1, len(power) // block * block), block)
        sums = np.add.reduceat(power, starts)
        loudest = int(sums.argmax())
        if sums[loudest] > _LOUD**2 * min(block, len(power)):
            self._add_sound(samples[loudest * block * frame : (loudest + 1) * block * frame])

    def _add_sound(self, samples: Floats) -> None:
        even = len(samples) // 2 * 2
        one, other = samples[1:even], samples[: even - 1]
        # Pairs of zeros, as between clicks, say nothing.
        sounding = (one != 0) | (other != 0)
        equal = (one == other) & sounding
        # Pairs of equal samples begin at even or at odd positions, depending on where the block begins.
        first, second = self.equal_pairs
        self.equal_pairs = first + int(np.count_nonzero(equal[::2])), second + int(np.count_nonzero(equal[1::2]))
        self.pairs += max(int(np.count_nonzero(sounding[::2])), int(np.count_nonzero(sounding[1::2])))
        size = 2 * _BANDS
        if len(samples) < size:
            return
        rows = samples[: len(samples) - len(samples) % size].reshape(-1, size)
        rows = rows[:: -(-len(rows) // _MAX_WINDOWS)]
        power = np.square(np.abs(spectra(rows))).sum(axis=0, dtype=np.float64)[:_BANDS]
        power[:2] = 0.0
        if total := float(power.sum()):
            self.spectrum = power / total if self.spectrum is None else self.spectrum + power / total


def check_silence(channels: Sequence[ChannelMeasurements], name: str) -> Iterator[SoundFault]:
    seconds = channels[0].samples / channels[0].sample_rate
    silent = [number for number, channel in enumerate(channels) if channel.is_silent]
    if not silent or seconds < _MIN_SECONDS:
        return
    if len(silent) == len(channels):
        yield SoundFault("audio-silent", f"{name} is completely silent for {seconds:.1f} s", 1.0)
        return
    sound = channels[1 - silent[0]].sound_seconds
    if sound >= _MIN_SECONDS:
        side, other = SIDES[silent[0]], SIDES[1 - silent[0]]
        sentence = f"one-way: the {side} channel is silent, the {other} one has {sound:.1f} s of sound"
        yield SoundFault("audio-one-way", sentence, min(1.0, sound / 10), silent[0] + 1)


def check_channel(number: int, channel: ChannelMeasurements, name: str) -> Iterator[SoundFault]:
    """Yield the faults of a channel, which is counted from 1."""
    if channel.clipping > _MAX_CLIPPING:
        sentence = f"{name} is too loud: {channel.clipping:.1%} of its sound is clipped"
        yield SoundFault("audio-clipping", sentence, min(1.0, channel.clipping * 100), number)
    # The mean of a few words is not a constant.
    if abs(channel.offset) > _MAX_OFFSET and channel.samples >= channel.sample_rate:
        sentence = f"{name} has a constant offset of {channel.offset:+.1%} of full scale"
        yield SoundFault("audio-offset", sentence, min(1.0, abs(channel.offset) * 50), number)
    if channel.sound_seconds >= _MIN_SECONDS / 3:
        yield from _check_sample_rate(number, channel, name)


def _check_sample_rate(number: int, channel: ChannelMeasurements, name: str) -> Iterator[SoundFault]:
    rate = channel.sample_rate
    # A tone at a quarter of the rate may have equal pairs, too.
    if channel.repeated > _MAX_REPEATED and channel.is_broad:
        sentence = (
            f"{name} has each sample twice: it is stereo with two equal channels, or was converted from {rate // 2} Hz "
            "without a resampler"
        )
        yield SoundFault("audio-repeated-samples", sentence, channel.repeated, number)
    elif rate >= _RATES[0] and channel.is_broad and channel.energy_above(_HALF_OF_NARROW) < _UNUSED:
        sentence = f"{name} has nothing above {_HALF_OF_NARROW} Hz: its sample rate may be twice {rate} Hz"
        yield SoundFault("audio-slow", sentence, 0.7, number)
    elif channel.is_broad and (enough := _sufficient_rate(channel)):
        sentence = f"{name} has nothing above {enough // 2} Hz: {enough} Hz would be enough"
        yield SoundFault("audio-narrow", sentence, 0.8, number)


def _sufficient_rate(channel: ChannelMeasurements) -> int | None:
    lower = (rate for rate in _RATES if rate < channel.sample_rate)
    return next((rate for rate in lower if channel.energy_above(rate / 2 * (_NARROW / 4000)) < _UNUSED), None)


def _count_clipped(samples: Floats) -> int:
    """Return the number of samples in runs of one extreme value."""
    # These are few, and only they need the rest of the work.
    loud = np.flatnonzero(np.abs(samples) >= CLIP_SAMPLE)
    values = samples[loud]
    flat = (values[1:] == values[:-1]) & (loud[1:] - loud[:-1] == 1)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flat, [False])).astype(np.int8)))
    # n equal samples have n - 1 equal neighbours.
    lengths = edges[1::2] - edges[::2] + 1
    return int(lengths[lengths >= _MIN_FLAT_RUN].sum())


def _db(amplitude: float) -> float:
    return max(FLOOR_DB, 20 * log10(max(amplitude, 1.0) / FULL_SCALE))
