"""A gap: where the audio of a call did not arrive regularly, and what that means."""

from dataclasses import dataclass
from enum import StrEnum


class GapKind(StrEnum):
    HOLE = "hole"  # jambonz threw audio away
    PAUSE = "pause"  # jambonz sent nothing, and nothing held back arrived later
    UNKNOWN = "unknown"  # nothing arrived while we didn't read, so that audio may have been lost
    REFUSED = "refused"  # audio arrived that we didn't take, in a message that is too long or incomplete
    BURST = "burst"  # audio arrived late and all at once; nothing is missing
    LATE_START = "late-start"  # the first audio arrived long after the connection
    UNCAPTURED = "uncaptured"  # audio arrived but was not captured


MISSING = (GapKind.HOLE, GapKind.PAUSE, GapKind.UNKNOWN, GapKind.REFUSED)


@dataclass(frozen=True, slots=True)
class Gap:
    """One irregularity of a call's audio."""

    kind: GapKind
    position: int  # samples per channel received before it
    length: float  # seconds missing, or how late the audio of a burst was
    resolution: float  # accuracy of ``length`` in seconds
    missing: int = 0
    """Samples per channel that the recording lacks; negative where a burst brought audio that was counted."""
    position_uncertainty: int = 0  # samples after ``position`` within which it may lie instead
    at_least: bool = False  # whether ``length`` is only a lower bound

    @property
    def leaves_out_audio(self) -> bool:
        """Whether real time passed without audio, so that silence can take its place."""
        return self.missing > 0 and self.kind in MISSING
