"""Audio that comes early, while it isn't known yet why."""

from dataclasses import dataclass


@dataclass(slots=True)
class Rush:
    """Audio that comes earlier than it did so far, while it isn't known yet whether a clock or a burst brings it."""

    position: int
    since: float  # beginning of the window
    early: float = 0.0  # seconds in this window
    length: float = 0.0  # seconds before it
