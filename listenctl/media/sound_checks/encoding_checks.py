"""
Find audio whose bytes are misread: read another way, they may sound right.
The energy of the differences between samples, relative to that of the samples, is about 2 for noise and far less for
sound. Floats have one row for each channel: a mean over columns takes fifteen times as long.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from listenctl.media.sound_checks.correlation import Floats, Samples, energy, spectra
from listenctl.media.sound_checks.sound_fault import SoundFault

# How much smoother another encoding must be than the given one. In real calls and misread speech, the right one is
# below 0.45 in nearly all blocks; in correct audio, every other one is above 1.
_SMOOTHER = 0.55
_SMOOTH = 1.0
_LOUD = 300.0
# Pairs of G.711 bytes are loud, whatever they contain.
_LOUD_G711 = 6000.0
# A high tone changes quickly, too, but its energy is in a few frequencies.
_MIN_FLATNESS = 0.05
# Tones whose periods fit the sample rate can look like interleaved samples, but have hardly any energy between them.
_TONES_FLATNESS = 2e-4
_SPECTRUM = 512
_MAX_WINDOWS = 8
_MAX_SAMPLES = 8000
"""Samples of a block that are analysed, enough at any sample rate."""
# Two sounds that take turns sample by sample are about as rough as noise; a high hiss, which decimation would make
# smooth, is rougher.
_AS_NOISE = (1.3, 2.3)
_LOUD_NOISE = 10_000.0
_LEVELS_DIFFER = 0.1
_EQUAL_PAIR = 0.1
_MAX_EQUAL = 0.9
# Floats of full scale 1 that are sound; those that samples of 16 bits look like are far smaller or larger.
_FLOAT_RANGE = (1e-7, 4.0)
_MIN_FLOATS, _MIN_SOUNDING = 500, 0.9
BLOCKS = 4
"""Blocks of a stretch; one that is loud enough is analysed, and all if that one is misread."""

_MIN_BLOCKS = 2
_MANY_BLOCKS = 10
_MIN_SHARE = 0.1


class SampleEncoding(StrEnum):
    """What the bytes really are."""

    AS_IS = "as-is"
    SWAPPED = "big-endian"
    SHIFTED = "shifted by a byte"
    MU_LAW = "µ-law"
    A_LAW = "A-law"
    WIDE_MU_LAW = "µ-law, a byte in each sample"
    FLOAT = "32-bit floats"
    WIDE = "24 or 32 bits"
    STEREO = "stereo"


_FAULTS = {
    SampleEncoding.SWAPPED: (
        "audio-byte-order",
        "is noise, but sounds right when its samples are read as big-endian",
    ),
    SampleEncoding.SHIFTED: (
        "audio-half-sample-shift",
        "is noise, but sounds right when it is read one byte later: an odd byte was dropped",
    ),
    SampleEncoding.MU_LAW: (
        "audio-mu-law",
        "is µ-law instead of 16-bit samples",
    ),
    SampleEncoding.A_LAW: (
        "audio-a-law",
        "is A-law instead of 16-bit samples",
    ),
    SampleEncoding.WIDE_MU_LAW: (
        "audio-mu-law",
        "is µ-law with one byte in each sample",
    ),
    SampleEncoding.FLOAT: (
        "audio-float",
        "is noise, but sounds right when it is read as 32-bit floats",
    ),
    SampleEncoding.WIDE: (
        "audio-wide-samples",
        "is noise, but sounds right when it is read as samples of 24 or 32 bits",
    ),
    SampleEncoding.STEREO: (
        "audio-stereo",
        "sounds right when only every second sample is read: it is stereo, or has samples of 32 bits",
    ),
}


class EncodingChecks:
    def __init__(self) -> None:
        self._blocks: Counter[SampleEncoding] = Counter()
        self._first_wrong: int | None = None

    @property
    def mostly_misread(self) -> bool:
        """Whether one wrong encoding makes up half of the audio."""
        wrong = self._most_frequent_wrong
        return wrong is not None and self._blocks[wrong] * 2 >= self._blocks.total()

    @property
    def is_certain(self) -> bool:
        """Whether there will be a fault, whatever audio follows."""
        return self._wrong_blocks >= _MANY_BLOCKS

    def add_stretch(self, position: int, frames: Samples, block: int) -> None:
        """Analyse a stretch, shaped (samples, channels), that begins at ``position``; ``block`` counts samples."""
        starts, size = range(0, len(frames), block), min(block, _MAX_SAMPLES)
        if self._most_frequent_wrong is None:
            # A fault in any block is still there in the last one.
            for left in range(len(starts), 0, -1):
                start = starts[left - 1]
                encoding = detect_encoding(frames[start : start + size])
                if encoding is SampleEncoding.AS_IS:
                    self._blocks[encoding] += left
                    return
                if encoding is not None:
                    break
            else:
                return
        for start in starts:
            if encoding := detect_encoding(frames[start : start + size]):
                self._blocks[encoding] += 1
                if encoding is not SampleEncoding.AS_IS and self._first_wrong is None:
                    self._first_wrong = position + start

    def check(self, sample_rate: int, name: str) -> Iterator[SoundFault]:
        encoding, first = self._most_frequent_wrong, self._first_wrong
        if encoding is None or first is None:
            return
        total, wrong = self._blocks.total(), self._wrong_blocks
        share = wrong / total
        if wrong < min(_MIN_BLOCKS, total) or (wrong < _MANY_BLOCKS and share < _MIN_SHARE):
            return
        rule, what = _FAULTS[encoding]
        where = name if share > 0.9 else f"{share:.0%} of {name}, from {first / sample_rate:.1f} s on,"
        yield SoundFault(rule, f"{where} {what}", min(1.0, 0.5 + wrong / 10), position=first)

    @property
    def _wrong_blocks(self) -> int:
        return self._blocks.total() - self._blocks[SampleEncoding.AS_IS]

    @property
    def _most_frequent_wrong(self) -> SampleEncoding | None:
        wrong = ((encoding, count) for encoding, count in self._blocks.items() if encoding is not SampleEncoding.AS_IS)
        return max(wrong, key=lambda one: one[1], default=(None, 0))[0]


def detect_encoding(frames: Samples) -> SampleEncoding | None:
    """Return the encoding of a block of shape (samples, channels); None if it is too quiet."""
    floats = _rows(frames)
    if _has_byte_values(frames):
        is_mu_law = _roughness(_mu_law_table()[frames.T]) < _SMOOTHER * _roughness(floats)
        return SampleEncoding.WIDE_MU_LAW if is_mu_law else None
    floats -= floats.mean(axis=1, keepdims=True)
    loudness = (energy(floats) / floats.size) ** 0.5
    if loudness < _LOUD:
        return None
    roughness = _roughness(floats)
    interleaved = _detect_interleaved(frames, floats, roughness) if frames.shape[1] == 1 else None
    flatness = _flatness(floats)
    if interleaved and flatness > _TONES_FLATNESS:
        return interleaved
    if flatness < _MIN_FLATNESS:
        return SampleEncoding.AS_IS
    decoders = _DECODERS | _G711_DECODERS if loudness > _LOUD_G711 else _DECODERS
    found = {encoding: _roughness(decode(frames)) for encoding, decode in decoders.items()}
    best = min(found, key=found.__getitem__)
    if found[best] < min(_SMOOTH, _SMOOTHER * roughness):
        return best
    # The pauses of misread audio are noise, which says nothing.
    return None if loudness > _LOUD_NOISE and roughness > _AS_NOISE[0] else SampleEncoding.AS_IS


def _detect_interleaved(frames: Samples, floats: Floats, roughness: float) -> SampleEncoding | None:
    """Return what one channel consists of if its samples are parts of longer ones, or those of two channels."""
    if _holds_floats(frames):
        return SampleEncoding.FLOAT
    noisy = _AS_NOISE[0] < roughness < _AS_NOISE[1]
    if _roughness(_decode_stereo(frames)) < (_SMOOTHER * roughness if noisy else _SMOOTH):
        if noisy or _differs_by_place(floats[0]):
            return SampleEncoding.STEREO
        return None
    if noisy and _roughness(_decode_wide(frames)) < min(_SMOOTH, _SMOOTHER * roughness):
        return SampleEncoding.WIDE
    return None


def _differs_by_place(samples: NDArray[np.float32]) -> bool:
    """Return whether samples at even and odd places differ in level, or come in pairs that are nearly equal."""
    whole = samples[: len(samples) // 2 * 2]
    if np.count_nonzero(whole[::2] == whole[1::2]) > _MAX_EQUAL * len(whole) / 2:
        return False  # They may be a low rate that was raised; ``check_channel`` reports that.
    even, odd = (float(np.square(whole[place::2]).sum()) for place in (0, 1))
    # Medians, because a few jumps may be at even places only.
    steps = np.abs(np.diff(samples))
    within, between = _median(steps[::2]), _median(steps[1::2])
    return abs(even - odd) > _LEVELS_DIFFER * (even + odd) or min(within, between) < _EQUAL_PAIR * max(within, between)


def _median(values: NDArray[np.float32]) -> float:
    """Return the upper median; ``np.median`` would import ``numpy.ma``, which slows down the start of ``inspect``."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle]) if len(values) else 0.0


def _has_byte_values(frames: Samples) -> bool:
    """Return whether all samples are 0 to 255; a maximum below 128 is a quiet sound that happens to be above 0."""
    return int(frames.min()) >= 0 and 127 < int(frames.max()) <= 255


def _roughness(floats: Floats) -> float:
    """Return the energy of the differences relative to that of the samples; 2 without samples, as for noise."""
    if not floats.size:
        return 2.0
    whole = energy(floats - floats.mean(axis=1, keepdims=True))
    return energy(floats[:, 1:] - floats[:, :-1]) / whole if whole else 2.0


def _flatness(floats: Floats) -> float:
    """Return the spectral flatness, 1 for white noise."""
    windows = floats.shape[1] // _SPECTRUM
    if not windows:
        return 0.0
    rows = floats[0, : windows * _SPECTRUM].reshape(windows, _SPECTRUM)
    rows = rows[:: -(-windows // _MAX_WINDOWS)]
    power = np.square(np.abs(spectra(rows))).mean(axis=0)[1:-1] + 1e-3
    return float(np.exp(np.log(power).mean()) / power.mean())


def _rows(frames: Samples) -> Floats:
    return frames.T.astype(np.float32, order="C")


def _decode_shifted(frames: Samples) -> Floats:
    values = frames.size - frames.shape[1]
    return _rows(np.frombuffer(frames.tobytes(), "<i2", values, offset=1).reshape(-1, frames.shape[1]))


def _decode_wide_mu_law(frames: Samples) -> Floats:
    if (frames & 0xFF).any():
        return np.zeros((1, 0), np.float32)
    wide: Floats = _mu_law_table()[(frames.T >> 8) & 0xFF]
    return wide


def _holds_floats(frames: Samples) -> bool:
    data = frames.tobytes()
    return any(_are_floats(data, start, order) for start in (0, 2) for order in "<>")


def _are_floats(data: bytes, start: int, order: str) -> bool:
    """Return whether nearly all values are in a range that 16-bit samples, read as floats, hardly ever have."""
    values = np.abs(np.frombuffer(data, f"{order}f4", offset=start, count=(len(data) - start) // 4))
    used = int(np.count_nonzero(values))
    with np.errstate(invalid="ignore"):
        sounding = int(np.count_nonzero((values > _FLOAT_RANGE[0]) & (values < _FLOAT_RANGE[1])))
    return used > _MIN_FLOATS and sounding > _MIN_SOUNDING * used


def _decode_wide(frames: Samples) -> Floats:
    """Return the upper 16 bits of samples of 32 or 24 bits; their other bits are noise."""
    data = frames.tobytes()
    parts = [_upper_bits(data, start, size) for size, starts in ((4, (0, 2)), (3, (0, 1, 2))) for start in starts]
    return min(parts, key=_roughness)


def _upper_bits(data: bytes, start: int, size: int) -> Floats:
    whole = (len(data) - start) // size * size
    columns = np.frombuffer(data, np.uint8, offset=start, count=whole).reshape(-1, size)
    return _rows(columns[:, size - 2 :].copy().view("<i2"))


def _decode_stereo(frames: Samples) -> Floats:
    return _rows(frames[: len(frames) // 2 * 2].reshape(-1, 2))


def _decode_bytes(frames: Samples, table: Floats) -> Floats:
    return table[np.ascontiguousarray(np.frombuffer(frames.tobytes(), np.uint8).reshape(-1, frames.shape[1]).T)]


@cache
def _mu_law_table() -> Floats:
    """Return the sample of each byte (ITU-T G.711)."""
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code >> 4) & 7)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.float32)


@cache
def _a_law_table() -> Floats:
    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, (code & 0x0F) << 4
    magnitude = np.where(exponent > 0, mantissa + 0x108 << np.maximum(exponent - 1, 0), mantissa + 8)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.float32)


_DECODERS: dict[SampleEncoding, Callable[[Samples], Floats]] = {
    SampleEncoding.SWAPPED: lambda frames: _rows(frames.byteswap()),
    SampleEncoding.SHIFTED: _decode_shifted,
}
_G711_DECODERS: dict[SampleEncoding, Callable[[Samples], Floats]] = {
    SampleEncoding.MU_LAW: lambda frames: _decode_bytes(frames, _mu_law_table()),
    SampleEncoding.A_LAW: lambda frames: _decode_bytes(frames, _a_law_table()),
    SampleEncoding.WIDE_MU_LAW: _decode_wide_mu_law,
}
