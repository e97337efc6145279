"""
In which way a call takes sound, as clips or as a stream and at which rate, and how that is known.

The first text of a call doesn't say it (protocol.md 2.2), and jambonz answers to neither what it ignores nor at a wrong
rate. So somebody has to say it; where nobody does, a mark finds out.
"""

from dataclasses import dataclass
from enum import StrEnum

from listenctl.errors import UsageError
from listenctl.protocol.call_sharing.stream_rate import CLIPS, KEY


class Delivery(StrEnum):
    """The two ways."""

    CLIP = "clip"
    STREAM = "stream"


class ModeChoice(StrEnum):
    """What the user wants."""

    AUTO = "auto"
    CLIP = "clip"
    STREAM = "stream"


class KnownBy(StrEnum):
    """How the way is known, as a word for scripts."""

    OPTION = "option"
    METADATA = "metadata"
    TOOL = "tool"
    SERVER = "server"
    PROBE = "probe"
    GUESS = "guess"


_WORDS = {
    KnownBy.OPTION: "as the options say",
    KnownBy.METADATA: f"as {KEY} in the call's metadata says",
    KnownBy.TOOL: "as another tool said",
    KnownBy.SERVER: "as the server's --stream-rate says",
    KnownBy.PROBE: "as a probe found",
    KnownBy.GUESS: "which is a guess",
}
_WHO_SAYS = {
    KnownBy.METADATA: "the call's metadata say",
    KnownBy.TOOL: "another tool said of this call",
    KnownBy.SERVER: "the server's --stream-rate says",
}


@dataclass(frozen=True, slots=True)
class PlayMode:
    """
    One way, and how it is known.

    Attributes:
        sample_rate: of the stream in Hz; 0 for clips, which have rates of their own.
    """

    delivery: Delivery
    sample_rate: int
    known_by: KnownBy

    @classmethod
    def at_rate(cls, rate: int, known_by: KnownBy) -> "PlayMode":
        """Return the way that a rate stands for."""
        return cls(Delivery.STREAM if rate else Delivery.CLIP, rate, known_by)

    @property
    def sentence(self) -> str:
        """How the call takes sound, and who says so."""
        what = f"streams at {self.sample_rate} Hz" if self.delivery is Delivery.STREAM else "takes clips"
        if self.known_by is KnownBy.PROBE and self.delivery is Delivery.CLIP:
            return f"{what}, since it doesn't answer a mark"
        return f"{what}, {_WORDS[self.known_by]}"


@dataclass(frozen=True, slots=True)
class ModeHints:
    """
    What is known of a call before anything is tried; rates as in the metadata, None where nobody said any.

    Attributes:
        server: what the server says, and ``server_from`` from whom it has it.
    """

    metadata: int | None = None
    server: int | None = None
    server_from: KnownBy = KnownBy.SERVER


def check_mode_options(choice: ModeChoice, rate: int | None) -> None:
    """
    See that two options don't contradict each other.

    Raises:
        UsageError: they do.
    """
    if choice is ModeChoice.CLIP and rate:
        raise UsageError("--mode clip has no --stream-rate; leave one of them out")
    if choice is ModeChoice.STREAM and rate == CLIPS:
        raise UsageError("--stream-rate 0 means clips; leave out --mode stream")


def explain_probe(choice: ModeChoice, hints: ModeHints) -> str:
    """Return a sentence that says why the way has to be found out by trying."""
    said = ((hints.metadata, KnownBy.METADATA), (hints.server, hints.server_from))
    who = next((_WHO_SAYS[known_by] for found, known_by in said if found == CLIPS), None)
    if who is None or choice is not ModeChoice.STREAM:
        return "nobody says how this call takes sound, so it is tried out"
    return f"{who} that it takes clips, not a stream; for --mode stream the rate is tried out all the same"


def choose_mode(choice: ModeChoice, rate: int | None, hints: ModeHints) -> PlayMode | None:
    """
    Return the way that somebody has said, None if it has to be found out.

    The order: the options, the metadata, and what the server knows.
    """
    if rate is not None:
        return PlayMode.at_rate(rate, KnownBy.OPTION)
    if choice is ModeChoice.CLIP:
        return PlayMode.at_rate(CLIPS, KnownBy.OPTION)
    said = ((hints.metadata, KnownBy.METADATA), (hints.server, hints.server_from))
    for found, known_by in said:
        # Who insists on a stream has only its rate from elsewhere.
        if found is not None and (found or choice is ModeChoice.AUTO):
            return PlayMode.at_rate(found, known_by)
    return None
