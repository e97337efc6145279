"""Compute tones: sines, DTMF (ITU-T Q.23) and a beep, in dB of full scale, fading in and out within 5 ms."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from listenctl.errors import UsageError
from listenctl.protocol.dtmf_digits import GAP_MS, PAUSE, PAUSE_SECONDS, TONE_MS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DTMF_LOW_HZ = (697, 770, 852, 941)
DTMF_HIGH_HZ = (1209, 1336, 1477, 1633)
DTMF_PAD = ("123A", "456B", "789C", "*0#D")
"""Digits by row (low frequency) and column (high frequency), ITU-T Q.23."""
DTMF_DIGITS = "".join(DTMF_PAD)

_FADE = 0.005
_FULL_SCALE = 32768
# The high group is 2 dB above the low one, because lines attenuate high tones more (ITU-T Q.23, Q.24).
_LOW_DB = -9.0
_HIGH_DB = -7.0
_BEEP_HERTZ = 1500
_BEEP_SECONDS = 0.5
_BEEP_DB = -12.0


@dataclass(frozen=True, slots=True)
class SineTone:
    frequency: float
    sample_rate: int
    level_db: float

    def samples(self, start: int, count: int) -> bytes:
        """Return ``count`` samples from sample ``start`` on; the first ones fade in."""
        import numpy as np

        at = np.arange(start, start + count)
        wave = _sine(at, self.frequency, self.sample_rate, self.level_db)
        return _pcm(wave * np.minimum(1.0, at / (_FADE * self.sample_rate)))


def dtmf_tones(digits: str, sample_rate: int, *, tone: float = TONE_MS / 1000, gap: float = GAP_MS / 1000) -> bytes:
    silence = bytes(2 * round(gap * sample_rate))
    pause = bytes(2 * round(PAUSE_SECONDS * sample_rate))
    return b"".join(
        pause if digit == PAUSE else _digit_tone(digit, sample_rate, tone) + silence
        for digit in normalize_digits(digits)
    )


def beep(sample_rate: int) -> bytes:
    import numpy as np

    at = np.arange(round(_BEEP_SECONDS * sample_rate))
    return _pcm(_faded(_sine(at, _BEEP_HERTZ, sample_rate, _BEEP_DB), sample_rate))


def normalize_digits(text: str) -> str:
    digits = "".join(digit.upper() if digit in "abcd" else digit for digit in text)
    wrong = next((digit for digit in digits if digit not in DTMF_DIGITS + PAUSE), None)
    if wrong is not None:
        raise UsageError(f"digits {text[:40]!r}: {wrong!r} is not a digit; use 0-9, *, #, A-D, and w for half a second")
    return digits


def _digit_tone(digit: str, sample_rate: int, seconds: float) -> bytes:
    import numpy as np

    row, column = divmod(DTMF_DIGITS.index(digit), 4)
    at = np.arange(round(seconds * sample_rate))
    low = _sine(at, DTMF_LOW_HZ[row], sample_rate, _LOW_DB)
    high = _sine(at, DTMF_HIGH_HZ[column], sample_rate, _HIGH_DB)
    return _pcm(_faded(low + high, sample_rate))


def _sine(at: "NDArray[np.int64]", frequency: float, sample_rate: int, level_db: float) -> "NDArray[np.float64]":
    import numpy as np

    # Below full scale even at 0 dB, because +32768 doesn't fit into 16 bits.
    amplitude = (_FULL_SCALE - 1) * 10 ** (level_db / 20)
    return amplitude * np.sin(2 * np.pi * (at * frequency % sample_rate) / sample_rate)


def _faded(wave: "NDArray[np.float64]", sample_rate: int) -> "NDArray[np.float64]":
    import numpy as np

    at = np.arange(len(wave))
    edge = np.minimum(at, at[::-1])
    return wave * np.minimum(1.0, edge / (_FADE * sample_rate))


def _pcm(wave: "NDArray[np.float64]") -> bytes:
    import numpy as np

    return np.rint(wave).astype("<i2").tobytes()
