"""Late or early audio, while it is undecided whether it is lost, a burst, or a difference between two clocks."""

from dataclasses import dataclass
from math import inf

from listenctl.protocol.gaps.loss_thresholds import LATE_AFTER, LOST_AFTER, STEADY_WITHIN

# Jitter moves the origin by some 20 ms, which over this long is small against the drift of bad clocks.
DRIFT_KNOWN_AFTER = 300.0
# How long the origin takes to settle among the jitter.
SETTLING_TIME = 10.0


@dataclass(slots=True)
class Stall:
    """Audio that is late."""

    position: int  # samples per channel received before it
    uncertainty: int  # samples after ``position`` within which it may begin instead
    window_from: float  # start of the current window of ``LOST_AFTER`` seconds
    latest: float  # the greatest lateness, in seconds
    lowest: float  # the least lateness after that
    low: float  # the least lateness in the window
    sudden: bool  # whether lateness jumped; audio lost bit by bit lets it grow
    dry: bool  # whether nothing at all arrived for a while
    previous_low: float = 0.0
    caught_up_until: int = 0  # position up to which late audio arrived in a burst, 0 without one

    @property
    def caught_up(self) -> bool:
        return self.latest - self.lowest > LATE_AFTER

    def add_lateness(self, late: float, position: int) -> None:
        if late >= self.latest:
            self.latest = self.lowest = late
        elif late < self.lowest - STEADY_WITHIN:
            self.lowest, self.caught_up_until = late, position
        self.low = min(self.low, late)

    def begin_at(self, position: int) -> None:
        """Record that nothing arrived after ``position``, so that the stall began there."""
        if not self.dry:
            self.dry, self.position, self.uncertainty = True, position, 0

    def is_settled(self, at: float) -> bool:
        """Return whether the lateness, now ``low``, won't shrink any more."""
        if at - self.window_from < LOST_AFTER:
            return False
        if abs(self.low - self.previous_low) <= STEADY_WITHIN:
            return True
        self.previous_low, self.low, self.window_from = self.low, inf, at
        return False

    def least_missing(self, late: float, interval: float) -> float:
        """Return the seconds that are missing for certain at the end of the call, checked ``interval`` before."""
        # Nobody knows when in that interval the audio ended; that is no gap.
        return max(late - interval, min(self.low, self.previous_low))


@dataclass(slots=True)
class EarlyAudio:
    position: int
    window_from: float
    seconds: float = 0.0  # how much earlier it became in this window
    seconds_before: float = 0.0  # and in the windows before


@dataclass(frozen=True, slots=True)
class UncapturedAudio:
    """Audio that arrived after ``after`` bytes but isn't in the capture; ``samples`` is None if unknown."""

    after: int
    samples: int | None

    def joined_to(self, before: "UncapturedAudio | None") -> "UncapturedAudio":
        """Return both as one if no audio arrived between them."""
        if before is None or before.after != self.after:
            return self
        known = self.samples is not None and before.samples is not None
        return UncapturedAudio(self.after, (self.samples or 0) + (before.samples or 0) if known else None)


class ClockDrift:
    """Measure how much slower the sender's clock is, by the shifts of a call's audio that nothing else explains."""

    def __init__(self) -> None:
        self._shifted = 0.0
        self._observed = 0.0
        self._reliable_from = inf

    @property
    def ratio(self) -> float | None:
        return self._shifted / self._observed if self._observed >= DRIFT_KNOWN_AFTER else None

    def add_shift(self, seconds: float, at: float) -> None:
        """Record that audio arrives later by ``seconds`` from now on."""
        if at >= self._reliable_from:
            self._shifted += seconds

    def add_observed(self, seconds: float, at: float) -> None:
        if at >= self._reliable_from:
            self._observed += seconds

    def ignore_shifts(self, at: float) -> None:
        """Ignore shifts for a while, because something other than the clock moved the audio at ``at``."""
        self._reliable_from = at + SETTLING_TIME
