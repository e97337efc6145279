"""
Windows of audio that show a DTMF digit (ITU-T Q.23).

Each window of 20 ms, one every 5 ms, is correlated with the eight frequencies. A window shows a digit if nearly all of
its power is in two of them, one of each group, with the right frequencies and the right ratio; speech hardly ever is.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from listenctl.media.sources.tones import DTMF_HIGH_HZ, DTMF_LOW_HZ, DTMF_PAD

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DTMF_HERTZ = (*DTMF_LOW_HZ, *DTMF_HIGH_HZ)
HOP = 0.005
WINDOW_HOPS = 4
# Share of a digit's power that is measured before its frequency deviation is known, for the highest tone at the limit.
_SEEN_BEFORE_DEVIATION = 0.375


@dataclass(frozen=True, slots=True)
class DigitLimits:
    """What a window must be like to show a digit."""

    max_deviation: float  # of each frequency, relative
    twist_db: tuple[float, float]  # level of the high tone relative to the low one
    min_level_db: float  # of one tone, relative to full scale
    min_share: float  # of the window's power in the two tones


class DtmfWindows:
    def __init__(self, sample_rate: int, hop: int, limits: DigitLimits) -> None:
        import numpy as np

        self._limits = limits
        length = WINDOW_HOPS * hop
        self._hop = hop
        self._seconds = length / sample_rate
        self._hop_seconds = hop / sample_rate
        at = np.arange(length)
        # A Hann window: its side lobes are low enough to keep the two groups apart.
        window = np.sin(np.pi * (at + 0.5) / length) ** 2
        self._hertz = np.array(DTMF_HERTZ, np.float32)
        turns = np.exp(-2j * np.pi * np.outer(at, DTMF_HERTZ) / sample_rate)
        # The result is an amplitude, 1 for full scale. Real and imaginary parts are separate columns, because a product
        # with complex numbers would first convert the audio to complex.
        tuned = turns * (window / window.sum() * 2 / 32768)[:, None]
        self._tuned = tuned.astype(np.complex64).view(np.float32)
        self._power = (window**2 / (window**2).sum() * 2 / 32768**2).astype(np.float32)
        self._advance = np.exp(-2j * np.pi * hop * self._hertz / sample_rate).astype(np.complex64)

    def apply(self, block: "NDArray[np.int16]") -> "tuple[NDArray[np.complex64], NDArray[np.float32]]":
        """Return the amplitudes (windows x frequencies) of a block, and the total power of each window."""
        import numpy as np

        audio = block.astype(np.float32)
        bytes_per_sample = audio.itemsize
        shape = (len(block) // self._hop - WINDOW_HOPS + 1, WINDOW_HOPS * self._hop)
        view = np.ndarray(shape, np.float32, audio, strides=(self._hop * bytes_per_sample, bytes_per_sample))
        # A copy, because the fast product doesn't work on overlapping rows.
        windows = view.copy()
        return (windows @ self._tuned).view(np.complex64), np.square(windows, out=windows) @ self._power

    def may_show_digit(self, spectrum: "NDArray[np.complex64]", power: "NDArray[np.float32]") -> bool:
        """Return whether a window may show a digit: a cheap test that rejects most audio."""
        levels = (spectrum.real**2 + spectrum.imag**2).reshape(-1, 2, 4).max(axis=2)
        loud = levels.min(axis=1) > _power(self._limits.min_level_db - 4)
        share = self._limits.min_share * _SEEN_BEFORE_DEVIATION
        return bool((loud & (levels.sum(axis=1) > share * power)).any())

    def find_digits(self, rows: "NDArray[np.complex64]", power: "NDArray[np.float32]") -> list[str]:
        """
        Return the digit that each window shows, or none.

        Args:
            rows: amplitudes of these windows, and of one or more before them.
            power: of these windows.
        """
        import numpy as np

        now, before = rows[-len(power) :], rows[-len(power) - 1 : -1]
        picked = np.add(np.abs(now).reshape(-1, 2, 4).argmax(axis=2), (0, 4))
        deviation = self._deviation(now, before, picked)
        # Beside the nominal frequency, the amplitude is attenuated by the slope of the window's main lobe.
        bins = deviation * self._seconds
        seen = np.sinc(bins) / np.maximum(1 - bins**2, 0.1)
        levels = np.square(np.abs(np.take_along_axis(now, picked, axis=1)) / np.maximum(seen, 0.1))
        low, high = levels.T
        limits = self._limits
        right = (
            (np.abs(deviation) <= limits.max_deviation * self._hertz[picked]).all(axis=1)
            & (levels.min(axis=1) >= _power(limits.min_level_db))
            & (high >= low * _power(limits.twist_db[0]))
            & (high <= low * _power(limits.twist_db[1]))
            & (low + high >= limits.min_share * power)
        )
        found = zip(right.tolist(), picked.tolist(), strict=True)
        return [DTMF_PAD[row][column - 4] if is_right else "" for is_right, (row, column) in found]

    def _deviation(
        self, now: "NDArray[np.complex64]", before: "NDArray[np.complex64]", picked: "NDArray[np.int64]"
    ) -> "NDArray[np.float32]":
        """Return the frequency deviation in Hz, from the phase change since the previous window."""
        import numpy as np

        moved = np.take_along_axis(now * before.conj() * self._advance, picked, axis=1)
        deviation: NDArray[np.float32] = np.angle(moved) / (2 * np.pi * self._hop_seconds)
        return deviation


def _power(level_db: float) -> float:
    return math.pow(10, level_db / 10)
