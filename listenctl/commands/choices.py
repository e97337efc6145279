"""Words that options take."""

from enum import StrEnum


class MixType(StrEnum):
    """The words of the `listen` verb."""

    MONO = "mono"
    STEREO = "stereo"
    MIXED = "mixed"


class Pauses(StrEnum):
    """What becomes of the time in which jambonz sent nothing."""

    CUT = "cut"
    FILL = "fill"


class Channels(StrEnum):
    """How the channels of a stereo call are laid out."""

    AS_IS = "as-is"
    SPLIT = "split"
    LEFT = "left"
    RIGHT = "right"
    MIX = "mix"
