"""How much slower than ours the clock of a sender runs, seen from how its audio shifts."""

from math import inf

# Jitter moves the origin by some 20 ms, which over this long is small against the drift of bad clocks.
DRIFT_AFTER = 300.0
# How long the origin takes to find its place among the jitter.
FINDING_ORIGIN = 10.0


class ClockDrift:
    """Add up the shifts of one call that nothing else explains; times are seconds."""

    def __init__(self) -> None:
        self._shifted = 0.0
        self._watched = 0.0
        self._trusted_from = inf

    @property
    def ratio(self) -> float | None:
        """How much slower the sender's clock is, as a ratio; None before it can be told."""
        return self._shifted / self._watched if self._watched >= DRIFT_AFTER else None

    def shift(self, seconds: float, at: float) -> None:
        """Take notice that audio begins to come later by ``seconds``."""
        if at >= self._trusted_from:
            self._shifted += seconds

    def watch(self, seconds: float, at: float) -> None:
        """Take notice that the ``seconds`` before ``at`` have been watched."""
        if at >= self._trusted_from:
            self._watched += seconds

    def distrust(self, at: float) -> None:
        """Ignore what shifts for a while, because something else than the clock has moved the audio."""
        self._trusted_from = at + FINDING_ORIGIN
