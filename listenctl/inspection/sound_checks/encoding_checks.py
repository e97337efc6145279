"""
Bytes that aren't what they are taken for: other readings of the same bytes, of which one may be sound.

Sound hardly changes from one sample to the next, and bytes that are read in the wrong way jump about like noise. So of
each block the energy of the differences is held against that of the samples, in every reading: 2 for noise, far below
for sound.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from listenctl.inspection.sound_checks.channel_checks import hann_window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.int16]
    Floats: TypeAlias = NDArray[np.float32]

# How much smoother another reading has to be than the one at hand. Of real calls and speech, misread, the right one is
# below 0.45 on nearly all blocks; of those that are as they should be, every other one is above 1.
_SMOOTHER = 0.55
_SMOOTH = 1.0
_LOUD = 300.0
# Bytes of G.711 in pairs are loud, whatever they say.
_LOUD_G711 = 6000.0
# A high tone jumps too, but all of it is in a few frequencies.
_FLAT = 0.05
_SPECTRUM = 512
_MOST_WINDOWS = 8
_MOST_SAMPLES = 8000
"""Of a block, which are enough at any rate."""
BLOCKS = 4
"""In a stretch, of which one that is loud enough is looked at, and all if that is wrong."""


class SampleEncoding(StrEnum):
    """What the bytes are."""

    AS_IS = "as-is"
    SWAPPED = "big-endian"
    SHIFTED = "shifted by a byte"
    MU_LAW = "µ-law"
    A_LAW = "A-law"
    WIDE_MU_LAW = "µ-law, a byte in each sample"


@dataclass(slots=True)
class EncodingCounts:
    """
    How the blocks of a call turned out; ``first`` is the position at which each reading was seen first.

    Attributes:
        looked_at: blocks that are loud enough to tell; those around one that is right are taken for the same.
    """

    looked_at: int = 0
    blocks: dict[SampleEncoding, int] = field(default_factory=dict)
    first: dict[SampleEncoding, int] = field(default_factory=dict)

    def add(self, position: int, frames: "Samples", block: int) -> None:
        """Take a stretch, (samples, channels), that begins at ``position``, in blocks of so many samples."""
        starts, looked_at = range(0, len(frames), block), min(block, _MOST_SAMPLES)
        if self.worst is None:
            # The last block shows what went wrong in any before it.
            for left in range(len(starts), 0, -1):
                start = starts[left - 1]
                reading = detect_encoding(frames[start : start + looked_at])
                if reading is SampleEncoding.AS_IS:
                    self._count(reading, position, left)
                    return
                if reading is not None:
                    break
            else:
                return
        for start in starts:
            if reading := detect_encoding(frames[start : start + looked_at]):
                self._count(reading, position + start, 1)

    def _count(self, reading: SampleEncoding, position: int, blocks: int) -> None:
        self.looked_at += blocks
        self.blocks[reading] = self.blocks.get(reading, 0) + blocks
        self.first.setdefault(reading, position)

    @property
    def worst(self) -> SampleEncoding | None:
        """The wrong reading of most blocks; None without one."""
        wrong = {reading: count for reading, count in self.blocks.items() if reading is not SampleEncoding.AS_IS}
        return max(wrong, key=wrong.__getitem__) if wrong else None


def detect_encoding(frames: "Samples") -> SampleEncoding | None:
    """Return what a block of (samples, channels) is; None where it is too quiet to tell."""
    import numpy as np

    if _is_wide(frames):
        wide = _mu_law_table()[frames]
        return (
            SampleEncoding.WIDE_MU_LAW if _roughness(wide) < _SMOOTHER * _roughness(frames.astype(np.float32)) else None
        )
    floats = frames.astype(np.float32)
    floats -= floats.mean(axis=0)
    loudness = float(np.square(floats).mean()) ** 0.5
    if loudness < _LOUD:
        return None
    if _flatness(floats) < _FLAT:
        return SampleEncoding.AS_IS
    others = _OTHERS | _G711 if loudness > _LOUD_G711 else _OTHERS
    found = {reading: _roughness(other(frames)) for reading, other in others.items()}
    best = min(found, key=found.__getitem__)
    return best if found[best] < min(_SMOOTH, _SMOOTHER * _roughness(floats)) else SampleEncoding.AS_IS


def _is_wide(frames: "Samples") -> bool:
    """Tell whether all samples are bytes, and those not of a quiet sound that happens to be above 0."""
    return int(frames.min()) >= 0 and 127 < int(frames.max()) <= 255


def _roughness(floats: "Floats") -> float:
    """Return the energy of the differences, relative to that of the samples; 2 of nothing, which is no sound."""
    import numpy as np

    if not len(floats):
        return 2.0
    centred = floats - floats.mean(axis=0)
    energy = float(np.square(centred).sum())
    return float(np.square(np.diff(centred, axis=0)).sum()) / energy if energy else 2.0


def _flatness(floats: "Floats") -> float:
    """Return how evenly the energy is spread over the frequencies, 1 for noise."""
    import numpy as np

    windows = len(floats) // _SPECTRUM
    if not windows:
        return 0.0
    rows = floats[: windows * _SPECTRUM, 0].reshape(windows, _SPECTRUM)
    rows = rows[:: -(-windows // _MOST_WINDOWS)] * hann_window(_SPECTRUM)
    power = np.square(np.abs(np.fft.rfft(rows))).mean(axis=0)[1:-1] + 1e-3
    return float(np.exp(np.log(power).mean()) / power.mean())


def _swapped(frames: "Samples") -> "Floats":
    import numpy as np

    return frames.byteswap().astype(np.float32)


def _shifted(frames: "Samples") -> "Floats":
    import numpy as np

    data = frames.tobytes()[1:]
    whole = len(data) - len(data) % (2 * frames.shape[1])
    return np.frombuffer(data[:whole], "<i2").reshape(-1, frames.shape[1]).astype(np.float32)


def _mu_law(frames: "Samples") -> "Floats":
    return _by_table(frames, _mu_law_table())


def _a_law(frames: "Samples") -> "Floats":
    return _by_table(frames, _a_law_table())


def _wide_mu_law(frames: "Samples") -> "Floats":
    import numpy as np

    if (frames & 0xFF).any():
        return np.zeros((0, 1), np.float32)
    wide: Floats = _mu_law_table()[(frames >> 8) & 0xFF]
    return wide


def _by_table(frames: "Samples", table: "Floats") -> "Floats":
    import numpy as np

    return table[np.frombuffer(frames.tobytes(), np.uint8)].reshape(-1, frames.shape[1])


@cache
def _mu_law_table() -> "Floats":
    """Return what each byte stands for (ITU-T G.711)."""
    import numpy as np

    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code >> 4) & 7)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.float32)


@cache
def _a_law_table() -> "Floats":
    import numpy as np

    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, (code & 0x0F) << 4
    magnitude = np.where(exponent > 0, mantissa + 0x108 << np.maximum(exponent - 1, 0), mantissa + 8)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.float32)


_OTHERS: "dict[SampleEncoding, Callable[[Samples], Floats]]" = {
    SampleEncoding.SWAPPED: _swapped,
    SampleEncoding.SHIFTED: _shifted,
}
_G711: "dict[SampleEncoding, Callable[[Samples], Floats]]" = {
    SampleEncoding.MU_LAW: _mu_law,
    SampleEncoding.A_LAW: _a_law,
    SampleEncoding.WIDE_MU_LAW: _wide_mu_law,
}
