"""How a call takes sound, as clips or a stream of which rate, and how that is known (listenctl-protocol(7) 2.2)."""

from dataclasses import dataclass
from enum import StrEnum

from listenctl.errors import UsageError
from listenctl.protocol.call_sharing.stream_rate import PLAYS_CLIPS, STREAM_RATE_KEY


class Delivery(StrEnum):
    CLIP = "clip"
    STREAM = "stream"


class ModeChoice(StrEnum):
    """What the user asks for with ``--mode``."""

    AUTO = "auto"
    CLIP = "clip"
    STREAM = "stream"


class KnownBy(StrEnum):
    OPTION = "option"
    METADATA = "metadata"
    TOOL = "tool"
    CLAIM = "claim"
    SERVER = "server"
    PROBE = "probe"

    @property
    def is_claim(self) -> bool:
        """Whether somebody only says so, apart from the application, which sets the rate in its verb."""
        return self in (KnownBy.OPTION, KnownBy.CLAIM, KnownBy.SERVER)

    @property
    def is_probed(self) -> bool:
        return self in (KnownBy.PROBE, KnownBy.TOOL)


_WORDS = {
    KnownBy.OPTION: "according to the options",
    KnownBy.METADATA: f"according to {STREAM_RATE_KEY} in the call's metadata",
    KnownBy.TOOL: "according to a probe by another tool",
    KnownBy.CLAIM: "as another tool assumes",
    KnownBy.SERVER: "according to the server's --stream-rate",
    KnownBy.PROBE: "according to a probe",
}
_WHO_SAYS = {
    KnownBy.METADATA: "the call's metadata says",
    KnownBy.TOOL: "a probe by another tool says",
    KnownBy.CLAIM: "another tool says",
    KnownBy.SERVER: "the server's --stream-rate says",
}


@dataclass(frozen=True, slots=True)
class PlayMode:
    """How a call takes sound; ``sample_rate`` is that of the stream, 0 for clips."""

    sample_rate: int
    known_by: KnownBy

    @property
    def delivery(self) -> Delivery:
        return Delivery.STREAM if self.sample_rate else Delivery.CLIP

    @property
    def sentence(self) -> str:
        what = f"streams at {self.sample_rate} Hz" if self.delivery is Delivery.STREAM else "takes clips"
        if self.known_by is KnownBy.PROBE and self.delivery is Delivery.CLIP:
            return f"{what}, because it doesn't answer a mark"
        return f"{what}, {_WORDS[self.known_by]}"


@dataclass(frozen=True, slots=True)
class ModeHints:
    """What is known about a call before it is probed: rates as in the metadata, None where unknown."""

    metadata: int | None = None
    server: int | None = None  # the rate that the server knows, and ``server_from`` its origin
    server_from: KnownBy = KnownBy.SERVER


def check_mode_options(choice: ModeChoice, rate: int | None) -> None:
    if choice is ModeChoice.CLIP and rate:
        raise UsageError("--mode clip has no --stream-rate; remove one of them")
    if choice is ModeChoice.STREAM and rate == PLAYS_CLIPS:
        raise UsageError("--stream-rate 0 means clips; remove --mode stream")


def explain_probe(choice: ModeChoice, hints: ModeHints) -> str:
    said = ((hints.metadata, KnownBy.METADATA), (hints.server, hints.server_from))
    who = next((_WHO_SAYS[known_by] for found, known_by in said if found == PLAYS_CLIPS), None)
    if who is None or choice is not ModeChoice.STREAM:
        return "nothing says how this call takes sound, so it is probed"
    return f"{who} that this call takes clips, not a stream; its rate is probed because of --mode stream"


def choose_mode(choice: ModeChoice, rate: int | None, hints: ModeHints) -> PlayMode | None:
    """Return the mode that the options, the metadata or the server say, in this order; None if it must be probed."""
    if rate is not None:
        return PlayMode(rate, KnownBy.OPTION)
    if choice is ModeChoice.CLIP:
        return PlayMode(PLAYS_CLIPS, KnownBy.OPTION)
    said = ((hints.metadata, KnownBy.METADATA), (hints.server, hints.server_from))
    for found, known_by in said:
        # If the user insists on a stream, only its rate is taken from elsewhere.
        if found is not None and (found or choice is ModeChoice.AUTO):
            return PlayMode(found, known_by)
    return None
