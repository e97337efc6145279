"""
The JSON texts that jambonz sends after the first one (listenctl-protocol(7) 4), of all three implementations.
Fields keep the type that they had on the wire: strings for CURRENT, numbers for NEXT.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from listenctl.protocol import peer_json
from listenctl.protocol.dtmf_digits import DTMF_KEYS, MASKED_DIGIT

Number = str | int | float

DTMF_DIGITS = frozenset(DTMF_KEYS + DTMF_KEYS.lower())
_DIGITS_IN_TEXTS = DTMF_DIGITS | {MASKED_DIGIT}  # a masked one is in stored calls
MAX_DOCUMENTS = 256
"""JSON documents read from one text; OLD glues a few together."""

_RTP_UNITS_PER_MS = 8

# CURRENT writes marks with exactly these spaces and doesn't escape the name, so that a quote or backslash in it breaks
# or changes the JSON (listenctl-protocol(7) 4). In this form the name is read literally, not as JSON.
_CURRENT_MARK = re.compile(
    r'\{"type": "mark", "data": \{"name":"(.{0,1024}?)", "event": "([a-z]{1,32})"\}\}', re.DOTALL
)
_SPACE = re.compile(r"\s*+")


@dataclass(frozen=True, slots=True)
class Dtmf:
    """A digit that the party on the tapped leg pressed; ``duration`` is as on the wire."""

    digit: str
    duration: Number | None = None

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds; a string is in RTP units at 8 kHz (CURRENT, OLD), a number in milliseconds (NEXT)."""
        duration = peer_json.parse_number(self.duration)
        if duration is None or duration < 0:
            return None
        return duration / _RTP_UNITS_PER_MS if isinstance(self.duration, str) else duration

    def serialize(self) -> str:
        return peer_json.encode(_present({"event": "dtmf", "dtmf": self.digit, "duration": self.duration}))


@dataclass(frozen=True, slots=True)
class PlayDone:
    """The end of a ``playAudio``; numbers are strings in CURRENT, and only NEXT gives a ``reason``."""

    id: object = None
    reason: str | None = None
    playback_seconds: Number | None = None
    playback_milliseconds: Number | None = None
    last_offset: Number | None = None

    @classmethod
    def parse(cls, data: object) -> Self:
        if not isinstance(data, dict):
            return cls()
        reason = data.get("reason")
        return cls(
            id=data.get("id"),
            reason=reason if isinstance(reason, str) else None,
            playback_seconds=_number_as_sent(data.get("playbackSeconds")),
            playback_milliseconds=_number_as_sent(data.get("playbackMilliseconds")),
            last_offset=_number_as_sent(data.get("playbackLastOffsetPos")),
        )

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds played, None if unknown; wrong after a killAudio (listenctl-protocol(7) 13)."""
        return peer_json.parse_number(self.playback_milliseconds)

    def serialize(self) -> str:
        data = _present(
            {
                "id": self.id,
                "reason": self.reason,
                "playbackSeconds": self.playback_seconds,
                "playbackMilliseconds": self.playback_milliseconds,
                "playbackLastOffsetPos": self.last_offset,
            }
        )
        return peer_json.encode({"type": "playDone", "data": data} if data else {"type": "playDone"})


@dataclass(frozen=True, slots=True)
class Mark:
    """The answer to a mark: ``event`` is ``playout`` if playout reached it, ``cleared`` if killAudio dropped it."""

    name: str
    event: str

    def serialize(self) -> str:
        """Return the text as CURRENT sends it: a name with quotes or backslashes makes it invalid JSON."""
        return f'{{"type": "mark", "data": {{"name":"{self.name}", "event": "{self.event}"}}}}'


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """What NEXT's cloud recorder sends once near the end."""

    data: Mapping[str, object]

    def serialize(self) -> str:
        return peer_json.encode({"type": "session:summary", "data": self.data})


@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """Any other text; ``value`` is its JSON, None if it is not JSON."""

    type: str | None
    text: str
    value: object = None

    def serialize(self) -> str:
        return self.text


JambonzMessage = Dtmf | PlayDone | Mark | SessionSummary | UnknownMessage


def parse_texts(raw: bytes) -> tuple[JambonzMessage, ...]:
    """Read every JSON document of one text message; returns at least one message and never raises."""
    text = peer_json.read_text(raw)
    messages: list[JambonzMessage] = []
    at = 0
    while len(messages) < MAX_DOCUMENTS and (found := _read_document(text, at)):
        message, at = found
        messages.append(message)
    # An apostrophe in a clip's id leaves a stray one after the message (listenctl-protocol(7) 2.6, 4).
    rest = text[at:].strip().removeprefix("'") if messages else text
    if rest or not messages:
        messages.append(UnknownMessage(None, rest, _json_value(rest)))
    return tuple(messages)


def _read_document(text: str, at: int) -> tuple[JambonzMessage, int] | None:
    space = _SPACE.match(text, at)
    start = space.end() if space else at
    if mark := _CURRENT_MARK.match(text, start):
        return Mark(mark[1], mark[2]), mark.end()
    value, end = peer_json.decode(text, start) or (None, start)
    return (_message(value, text[start:end]), end) if isinstance(value, dict) else None


def _message(value: dict[str, object], text: str) -> JambonzMessage:
    match value:
        case {"event": "dtmf", "dtmf": str(digit)} | {"type": "dtmf", "dtmf": str(digit)} if digit in _DIGITS_IN_TEXTS:
            return Dtmf(digit, _number_as_sent(value.get("duration")))
        case {"type": "playDone"}:
            return PlayDone.parse(value.get("data"))
        case {"type": "mark", "data": {"name": str(name), "event": str(event)}}:
            return Mark(name, event)
        case {"type": "session:summary", "data": dict(data)}:
            return SessionSummary(data)
    kind = value.get("type")
    return UnknownMessage(kind if isinstance(kind, str) else None, text, value)


def _json_value(text: str) -> object:
    value, end = peer_json.decode(text.strip()) or (None, 0)
    return value if end == len(text.strip()) else None


def _number_as_sent(value: object) -> Number | None:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _present(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
