"""
How much one sound is found in another, and how much later: the same sound twice, or an echo.

Each frequency counts alike, however loud it is (the phase transform), so that the result is a peak at the delay, 1 high
where one sound is nothing but the other. Sounds that have nothing to do with each other leave noise that shrinks with
time, and tones of the same frequency leave nothing, because they are few frequencies of many.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.int16]
    Floats: TypeAlias = NDArray[np.float32]

BLOCK = 2.0
"""Seconds that are compared at once."""
LONGEST_DELAY = 0.6
# Above, phone calls have nothing that is worth the time.
_HIGHEST = 4000
# Sound of higher rates is thinned out to this or more, so that what is above _HIGHEST stays out of the way.
_THINNED = 16_000
_QUIET = 60.0
# A peak has to be this far above what chance makes of as many values.
_SIGMAS = 8.0
_LEAST = 0.08
_SHARP = 1.8
_NEIGHBOURHOOD = 0.004
# Blocks, of a minute in which both sound; chance is far below what counts by then.
_ENOUGH = 30


@dataclass(frozen=True, slots=True)
class Similarity:
    """``delay`` is how many seconds the second sound is later than the first; ``strength`` is 0 to 1."""

    delay: float
    strength: float


class Correlator:
    """Compare two sounds, block by block, each at a rate of its own."""

    def __init__(self, first_rate: int, second_rate: int) -> None:
        self.sizes = tuple(round(BLOCK * rate) for rate in (first_rate, second_rate))
        self._steps = tuple(_step(size) for size in self.sizes)
        self._bins = int(BLOCK * min(_HIGHEST, first_rate // 2, second_rate // 2))
        self._sum: NDArray[np.complex128] | None = None
        self._blocks = 0

    @property
    def done(self) -> bool:
        """Whether enough has been compared for a result; more only takes time."""
        return self._blocks >= _ENOUGH

    def compare(self, first: "Samples", second: "Samples") -> None:
        """Take ``BLOCK`` seconds of each, from the same time on; what is quiet is left out."""
        import numpy as np

        if min(_energy(first), _energy(second)) < _QUIET**2:
            return
        thinned = [_thin(samples, step) for samples, step in zip((first, second), self._steps, strict=True)]
        one, other = (np.fft.rfft(samples * _window(len(samples)))[: self._bins + 1] for samples in thinned)
        product = np.conj(one) * other
        # What is below the steps of 16 bits has no phase.
        product /= np.abs(product) + max(map(len, thinned)) / 12
        product[0] = product[-1] = 0
        self._blocks += 1
        self._sum = product if self._sum is None else self._sum + product

    def result(self) -> Similarity | None:
        """Return where one is found in the other; None if it isn't."""
        import numpy as np

        if self._sum is None:
            return None
        size = 2 * self._bins
        values = np.abs(np.fft.irfft(self._sum / self._blocks, n=size))
        reach = round(LONGEST_DELAY / BLOCK * size)
        near = np.concatenate((values[-reach:], values[: reach + 1]))
        peak = int(near.argmax())
        strength = float(near[peak])
        margin = round(_NEIGHBOURHOOD / BLOCK * size)
        rest = np.delete(near, np.s_[max(0, peak - margin) : peak + margin + 1])
        chance = _SIGMAS / (size * self._blocks) ** 0.5
        if strength < max(_LEAST, chance, _SHARP * float(rest.max())):
            return None
        return Similarity((peak - reach) * BLOCK / size, min(1.0, strength))


def _step(size: int) -> int:
    """Return how many samples of so many in a block may become one."""
    return next(step for step in range(max(1, int(size / BLOCK / _THINNED)), 0, -1) if size % step == 0)


def _thin(samples: "Samples", step: int) -> "Samples | Floats":
    """Return the mean of every ``step`` samples."""
    import numpy as np

    if step == 1:
        return samples
    total = samples[::step].astype(np.float32)
    for offset in range(1, step):
        total += samples[offset::step]
    return total / np.float32(step)


@lru_cache(maxsize=8)
def _window(size: int) -> "Floats":
    import numpy as np

    return np.hanning(size).astype(np.float32)


def _energy(samples: "Samples") -> float:
    import numpy as np

    return float(np.square(samples, dtype=np.float32).mean())
