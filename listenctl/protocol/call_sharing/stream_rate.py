"""The rate of a call's binary audio, or that it plays clips; the first text doesn't say (listenctl-protocol(7) 2.2)."""

from collections.abc import Mapping
from dataclasses import dataclass

from listenctl.protocol import peer_json
from listenctl.protocol.audio import MAX_RATE, MIN_RATE

STREAM_RATE_KEY = "streamRate"
"""Key in the verb's ``metadata``: the rate in Hz, or 0 if the call plays clips."""
PLAYS_CLIPS = 0
_VALUE_IN_COMPLAINT = 40


@dataclass(frozen=True, slots=True)
class StreamRate:
    """A rate and its source; ``hertz`` is 0 if the call plays clips and None if nothing is known."""

    hertz: int | None = None
    source: str | None = None


class StreamRates:
    """The rate of one call according to each source."""

    def __init__(self, server: int | None = None) -> None:
        self.metadata: int | None = None
        self.probed: int | None = None
        self.tool: int | None = None  # what the tool that asked for the stream last says, without having probed it
        self._server = server

    @property
    def best(self) -> StreamRate:
        sources = (
            ("metadata", self.metadata),
            ("probe", self.probed),
            ("tool", self.tool),
            ("server", self._server),
        )
        return next((StreamRate(hertz, source) for source, hertz in sources if hertz is not None), StreamRate())

    @property
    def streaming(self) -> int | None:
        """The rate of the audio streamed now, best known to its sender; None if it is unknown or not played."""
        return self.tool or self.best.hertz or None

    def take_tool_rate(self, rate: int, *, probed: bool) -> None:
        self.probed, self.tool = (rate, None) if probed else (self.probed, rate)


def metadata_stream_rate(fields: Mapping[str, object]) -> int | None:
    return stream_rate(fields.get(STREAM_RATE_KEY))


def stream_rate_problem(fields: Mapping[str, object]) -> str:
    value = fields.get(STREAM_RATE_KEY)
    rate = stream_rate(value)
    if value is None or (rate is not None and not isinstance(value, str)):
        return ""
    shown = peer_json.encode(value)[:_VALUE_IN_COMPLAINT]
    if rate is not None:
        return f"{STREAM_RATE_KEY} in the metadata is the text {shown}; assuming the number {rate}"
    remedy = f"give a rate in Hz such as 8000, or {PLAYS_CLIPS} for clips"
    return f"{STREAM_RATE_KEY} {shown} in the metadata is ignored; {remedy}"


def stream_rate(value: object) -> int | None:
    """Return a rate from a JSON number or string of digits: ``PLAYS_CLIPS``, Hz, or None if it is neither."""
    number = peer_json.parse_number(value)
    if number is None or number % 1:
        return None
    rate = int(number)
    return rate if rate == PLAYS_CLIPS or MIN_RATE <= rate <= MAX_RATE else None
