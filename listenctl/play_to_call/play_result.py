"""The result of playing a sound, its evidence, and its progress."""

from dataclasses import dataclass
from enum import StrEnum


class PlayOutcome(StrEnum):
    """How playback ended; ``SENT`` if the end was not waited for."""

    PLAYED = "played"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"
    SENT = "sent"


class PlayEvidence(StrEnum):
    """What proves the end: an answer from jambonz, or only the clock."""

    PLAY_DONE = "play-done"
    MARK = "mark"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class PlayResult:
    """The result of playing a sound."""

    outcome: PlayOutcome
    evidence: PlayEvidence | None
    seconds: float  # that the caller has heard; the length of a sound that was only sent
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PlayProgress:
    """How far playback is, in seconds; what was heard is computed from the clock."""

    state: str
    sent: float = 0.0
    heard: float = 0.0
    total: float | None = None
    lead: float | None = None  # seconds of a stream that were sent and are not played yet
