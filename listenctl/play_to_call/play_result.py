"""What became of a sound, and how that is known."""

from dataclasses import dataclass
from enum import StrEnum


class PlayOutcome(StrEnum):
    """How it ended; ``SENT`` if nobody waited for the end."""

    PLAYED = "played"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"
    SENT = "sent"


class PlayEvidence(StrEnum):
    """What says so: an answer of jambonz, or the clock alone."""

    PLAY_DONE = "play-done"
    MARK = "mark"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class PlayResult:
    """
    The end of a sound.

    Attributes:
        evidence: None where there is none.
        seconds: that the caller has heard; of what was only sent, how long it is.
        detail: a sentence for people, empty if there is nothing to add.
    """

    outcome: PlayOutcome
    evidence: PlayEvidence | None
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PlayProgress:
    """
    How far a sound is.

    Attributes:
        state: what is being done, in a word or two.
        sent, heard: seconds; heard by the clock.
        total: seconds of all of it, None if unknown.
        lead: seconds of a stream that were sent and that the clock hasn't reached.
    """

    state: str
    sent: float = 0.0
    heard: float = 0.0
    total: float | None = None
    lead: float | None = None
