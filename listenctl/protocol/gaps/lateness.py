"""
Audio that is late, while it isn't known yet whether it will come.

Lateness jumps when audio stops, shrinks while it comes late, and stays when it won't come any more.
"""

from dataclasses import dataclass
from math import inf


@dataclass(slots=True)
class EarlyAudio:
    """Audio that comes earlier than it did so far, while it isn't known yet whether a clock or a burst brings it."""

    position: int
    since: float  # beginning of the window
    early: float = 0.0  # seconds in this window
    length: float = 0.0  # seconds before it


@dataclass(frozen=True, slots=True)
class UncapturedAudio:
    """Audio that came after so many bytes: ``samples`` per channel of it, None where that isn't known."""

    after: int
    samples: int | None

    def after_all(self, before: "UncapturedAudio | None") -> "UncapturedAudio":
        """Return both together, if nothing came between them."""
        if before is None or before.after != self.after:
            return self
        known = self.samples is not None and before.samples is not None
        return UncapturedAudio(self.after, (self.samples or 0) + (before.samples or 0) if known else None)


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


# A call runs late by up to one frame (60 ms at most) and some jitter; what is later than this has a cause.
LATE = 0.12
# Lateness that stays within STEADY from one window to the next won't shrink any more.
WINDOW = 1.0
STEADY = 0.06


@dataclass(slots=True)
class Stall:
    """
    Follow one stall.

    Attributes:
        position: samples per channel received before it.
        uncertainty: samples after ``position`` within which it may begin instead.
        window_from: when the window began that is being watched.
        latest: the most lateness seen, in seconds.
        lowest: the least lateness after that.
        low: the least lateness in the window.
        sudden: whether lateness jumped, where audio lost little by little lets it grow.
        dry: whether nothing at all came for a while.
        caught_up_until: position up to which late audio came in a burst, 0 without one.
    """

    position: int
    uncertainty: int
    window_from: float
    latest: float
    lowest: float
    low: float
    sudden: bool
    dry: bool
    previous_low: float = 0.0
    caught_up_until: int = 0

    @property
    def caught_up(self) -> bool:
        """Whether some of the late audio has come."""
        return self.latest - self.lowest > LATE

    def follow(self, late: float, position: int) -> None:
        """Take in the lateness with all audio before ``position`` received."""
        if late >= self.latest:
            self.latest = self.lowest = late
        elif late < self.lowest - STEADY:
            self.lowest, self.caught_up_until = late, position
        self.low = min(self.low, late)

    def run_dry(self, position: int) -> None:
        """Take notice that nothing came after ``position``: the stall began just there."""
        if not self.dry:
            self.dry, self.position, self.uncertainty = True, position, 0

    def is_over(self, at: float) -> bool:
        """Tell whether lateness, which is ``low``, won't shrink any more."""
        if at - self.window_from < WINDOW:
            return False
        if abs(self.low - self.previous_low) <= STEADY:
            return True
        self.previous_low, self.low, self.window_from = self.low, inf, at
        return False

    def least_missing(self, late: float, interval: float) -> float:
        """Return the seconds that are missing when the call ended ``late`` and was last looked at ``interval`` ago."""
        # Nobody knows when in that interval the audio ended; that is no gap.
        return max(late - interval, min(self.low, self.previous_low))
