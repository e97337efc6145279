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


class Ear(StrEnum):
    """What is heard of the channels of a stereo call."""

    BOTH = "both"
    LEFT = "left"
    RIGHT = "right"
    MIX = "mix"


class Kind(StrEnum):
    """What a simulated call is to jambonz; the first text differs."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    DIAL = "dial"
    CONFIG = "config"
    RECORD = "record"
    ROOM = "room"


class ProfileName(StrEnum):
    """Whose way of playing what it is sent is simulated."""

    IDEAL = "ideal"
    CURRENT = "current"
    OLD = "old"
    NEXT = "next"


class Worst(StrEnum):
    """From which severity on a broken rule fails the command."""

    ERROR = "error"
    WARNING = "warning"
