"""
At which rate jambonz plays the binary audio of a call, or that it plays clips: nothing on the wire says so.

The first text doesn't have the verb's ``bidirectionalAudio`` (protocol.md 2.2), so it is pieced together from what verb
authors put into their metadata, what a tool has found out, and what the server was told at its start.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from listenctl.protocol import peer_json
from listenctl.protocol.jambonz_model.clip_decoder import MIN_RATE

KEY = "streamRate"
"""In the verb's ``metadata``: the rate in Hz, or 0 where the call plays clips."""
CLIPS = 0
MAX_RATE = 384_000
_VALUE_IN_COMPLAINT = 40


@dataclass(frozen=True, slots=True)
class StreamRate:
    """What is known: ``hertz`` is 0 where the call plays clips and None if nothing is; ``source`` is who says so."""

    hertz: int | None = None
    source: str | None = None


class StreamRates:
    """
    The rates that a call is said to have.

    Attributes:
        metadata: what the call's metadata say.
        tool: what the tool said that asked for the stream last.
    """

    def __init__(self, server: int | None = None) -> None:
        self.metadata: int | None = None
        self.tool: int | None = None
        self._server = server

    @property
    def believed(self) -> StreamRate:
        """What the next tool should go by."""
        said = (("metadata", self.metadata), ("tool", self.tool), ("server", self._server))
        return next((StreamRate(hertz, source) for source, hertz in said if hertz is not None), StreamRate())

    @property
    def playing(self) -> int | None:
        """The rate to take what is streamed now for; its sender knows best. None if it is unknown or not played."""
        return self.tool or self.believed.hertz or None


def rate_in(fields: Mapping[str, object]) -> int | None:
    """Return what metadata say of the rate, None if nothing that can be used."""
    return stream_rate(fields.get(KEY))


def rate_complaint(fields: Mapping[str, object]) -> str:
    """Return a sentence about what is wrong with the rate in metadata, empty if it is right or there is none."""
    value = fields.get(KEY)
    rate = stream_rate(value)
    if value is None or (rate is not None and not isinstance(value, str)):
        return ""
    told = peer_json.encode(value)[:_VALUE_IN_COMPLAINT]
    if rate is not None:
        return f"{KEY} in the metadata is the text {told}; taken for the number {rate}"
    return f"{KEY} {told} in the metadata is ignored; it takes a rate in Hz such as 8000, or {CLIPS} for clips"


def stream_rate(value: object) -> int | None:
    """Return what JSON says of a rate, also as a text of digits: ``CLIPS``, Hz, or None if it is neither."""
    number = peer_json.number(value)
    if number is None or number % 1:
        return None
    rate = int(number)
    return rate if rate == CLIPS or MIN_RATE <= rate <= MAX_RATE else None
