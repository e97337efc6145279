"""Late or early audio, while it is undecided whether it is lost, a burst, or a difference between two clocks."""

from dataclasses import dataclass, field
from math import inf

from listenctl.protocol.gaps.gap import Gap, GapKind
from listenctl.protocol.gaps.loss_thresholds import FLOWS_AFTER, HELD_UP, LATE_AFTER, LOST_AFTER, STEADY_WITHIN

# Jitter moves the origin by some 20 ms, which over this long is small against the drift of bad clocks.
DRIFT_KNOWN_AFTER = 300.0
# How long the origin takes to settle among the jitter.
SETTLING_TIME = 10.0


@dataclass(slots=True)
class Stall:
    """Audio that is late; a second stall can begin while the first is still undecided."""

    position: int  # samples per channel received before it
    uncertainty: int  # samples after ``position`` within which it may begin instead
    latest: float  # the greatest lateness, in seconds
    sudden: bool  # whether lateness jumped; audio lost bit by bit lets it grow
    located: bool  # whether nothing arrived for a while after ``position``
    unobserved: float = 0.0  # seconds in which we didn't read
    low: float = inf  # the least lateness in the current window
    previous_low: float = inf  # and in the window before
    lowest: float = inf  # the least lateness since it was greatest
    caught_up_until: int = 0  # position up to which late audio arrived in a burst, 0 without one
    window_from: float = inf  # start of the current window of ``LOST_AFTER`` seconds
    flowing_from: float = inf  # time since which audio has arrived at its own pace,
    flowing_late: float = inf  # and its lateness then
    flows: bool = False
    kind: GapKind | None = None  # once another stall has begun
    bursts: list[Gap] = field(default_factory=list)  # stalls that ended within this one

    @property
    def caught_up(self) -> bool:
        """Whether much late audio arrived in a burst, but not all of it."""
        return self.latest - self.lowest > HELD_UP

    @property
    def level(self) -> float:
        """The lateness that is left between the moments of jitter."""
        level = min(self.low, self.previous_low)
        return self.latest if level == inf else level

    def add_lateness(self, late: float, position: int, at: float) -> None:
        if late >= self.latest:
            self.latest = self.lowest = late
        elif late < self.lowest - STEADY_WITHIN:
            self.lowest, self.caught_up_until = late, position
        if self.window_from == inf:
            self.window_from = at
        self.low = min(self.low, late)
        if not self.flows:
            if late < self.flowing_late - STEADY_WITHIN:
                self.flowing_from, self.flowing_late = at, late
            self.flows = at - self.flowing_from >= FLOWS_AFTER

    def begin_again(self, position: int, uncertainty: int, late: float) -> None:
        """Record that audio stopped after ``position``, before it had begun to flow."""
        self.position, self.uncertainty, self.located = position, uncertainty, True
        self.latest = max(self.latest, late)
        self.low = self.previous_low = self.window_from = self.flowing_from = self.flowing_late = inf
        self.lowest, self.caught_up_until = self.latest, 0

    def lower_by(self, seconds: float) -> None:
        """Count lateness from an origin that has moved by ``seconds``."""
        self.latest -= seconds
        self.low -= seconds
        self.previous_low -= seconds
        self.lowest -= seconds
        self.flowing_late -= seconds

    def is_end(self, at: float, interval: float) -> bool:
        """Return whether only audio that arrived in the ``interval`` before ``at`` was late, as the last audio is."""
        return self.window_from == at and (not self.located or self.low - interval <= LATE_AFTER)

    def is_settled(self, at: float) -> bool:
        """Return whether the lateness, now ``low``, won't shrink any more."""
        if at - self.window_from < LOST_AFTER:
            return False
        if abs(self.low - self.previous_low) <= STEADY_WITHIN:
            return True
        self.previous_low, self.low, self.window_from = self.low, inf, at
        return False


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
