"""How the two channels of a call compare: whether they are the same, and whether one repeats the other."""

from typing import TYPE_CHECKING, TypeAlias

from listenctl.inspection.sound_checks.correlation import Correlator, Similarity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.int16]

# Idle values of codecs, which are alike by chance.
_NOTHING = 8


class ChannelPairComparison:
    """Compare two channels that are fed together."""

    def __init__(self, sample_rate: int) -> None:
        self._correlator = Correlator(sample_rate, sample_rate)
        self._size = self._correlator.sizes[0]
        self._held: list[tuple[Samples, Samples]] = []
        self._held_samples = 0
        self._same = self._compared = 0

    @property
    def identical(self) -> float | None:
        """The share of samples that are the same, of those that aren't silent; None without any."""
        return self._same / self._compared if self._compared else None

    def add(self, left: "Samples", right: "Samples") -> None:
        """Take the same span of both."""
        import numpy as np

        same = left[left == right]
        silent = int(np.count_nonzero((same <= _NOTHING) & (same >= -_NOTHING)))
        self._compared += len(left) - silent
        self._same += len(same) - silent
        if self._correlator.done:
            return
        self._held.append((left, right))
        self._held_samples += len(left)
        if self._held_samples >= self._size:
            self._compare()

    def similarity(self) -> Similarity | None:
        """Return how much one repeats the other; None if it doesn't."""
        return self._correlator.result()

    def _compare(self) -> None:
        import numpy as np

        left, right = (np.concatenate(side) for side in zip(*self._held, strict=True))
        whole = len(left) - len(left) % self._size
        for at in range(0, whole, self._size):
            self._correlator.compare(left[at : at + self._size], right[at : at + self._size])
        self._held, self._held_samples = [(left[whole:], right[whole:])], len(left) - whole
