"""
The JSON texts that an application sends to jambonz (listenctl-protocol(7) 5). Parsing accepts what CURRENT accepts, and
keeps JSON types, because jambonz's reaction to a wrong one depends on it; serialising gives the form that works.
"""

import base64
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from listenctl.protocol import peer_json

_PLAY_AUDIO_NAMES = ("audioContent", "audioContentType", "sampleRate", "queuePlay", "id", "textContent")


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """Play a clip; the fields are as on the wire, of any type (listenctl-protocol(7) 5.1), None where absent."""

    type: ClassVar[str] = "playAudio"
    audio_content: object
    audio_content_type: object
    sample_rate: object = None
    queue_play: object = None
    id: object = None
    text_content: object = None

    @classmethod
    def encode(
        cls,
        audio: bytes,
        content_type: Literal["raw", "wav"],
        *,
        sample_rate: int | None = None,
        queue_play: bool | None = None,
        clip_id: str | int | None = None,
    ) -> Self:
        """Return the command that plays ``audio``; raw samples play correctly only at 8000 and 16000 Hz."""
        return cls(base64.b64encode(audio).decode(), content_type, sample_rate, queue_play, clip_id)

    @classmethod
    def parse(cls, data: object) -> Self:
        return cls(*(_member(data, name) for name in _PLAY_AUDIO_NAMES))

    def serialize(self) -> str:
        values = (self.audio_content, self.audio_content_type, self.sample_rate, self.queue_play, self.id)
        fields = zip(_PLAY_AUDIO_NAMES, (*values, self.text_content), strict=True)
        data = {name: value for name, value in fields if value is not None}
        return peer_json.encode({"type": self.type, "data": data})


@dataclass(frozen=True, slots=True)
class PlainCommand:
    type: ClassVar[str]

    def serialize(self) -> str:
        return peer_json.encode({"type": self.type})


@dataclass(frozen=True, slots=True)
class KillAudio(PlainCommand):
    """Stop what plays and clear the playout buffer."""

    type: ClassVar[str] = "killAudio"


@dataclass(frozen=True, slots=True)
class MarkCommand:
    """Mark this point of the stream; jambonz answers when playout reaches it."""

    type: ClassVar[str] = "mark"
    name: str

    def serialize(self) -> str:
        return peer_json.encode({"type": self.type, "data": {"name": self.name}})


@dataclass(frozen=True, slots=True)
class ClearMarks(PlainCommand):
    """Forget all marks without answering them."""

    type: ClassVar[str] = "clearMarks"


@dataclass(frozen=True, slots=True)
class Disconnect(PlainCommand):
    """End the listen; jambonz closes with code 1000."""

    type: ClassVar[str] = "disconnect"


@dataclass(frozen=True, slots=True)
class UnknownCommand:
    """A text that is no valid command; ``type`` is None where it isn't JSON, ``json`` without a string ``type``."""

    type: str | None
    text: str
    value: object = None

    def serialize(self) -> str:
        return self.text


Command = PlayAudio | KillAudio | MarkCommand | ClearMarks | Disconnect | UnknownCommand


def parse_command(raw: bytes) -> Command:
    """Read one text message of an application; never raises."""
    text = peer_json.read_text(raw)
    decoded = peer_json.decode(text, len(text) - len(text.lstrip()))
    if decoded is None:
        return UnknownCommand(None, text)
    value, _ = decoded
    kind = _member(value, "type")
    kind = kind if isinstance(kind, str) else "json"
    return _command(kind, _member(value, "data")) or UnknownCommand(kind, text, value)


def mark_name_is_safe(name: str) -> bool:
    """Return whether jambonz can echo ``name``: it escapes no quotes, backslashes or control characters."""
    return not any(char in '"\\' or char < " " or "\ud800" <= char <= "\udfff" for char in name)


def _command(kind: str, data: object) -> Command | None:
    match kind, data:
        case "playAudio", dict():
            return PlayAudio.parse(data)
        case "mark", dict() if isinstance(name := _member(data, "name"), str):
            return MarkCommand(name)
        case "killAudio", _:
            return KillAudio()
        case "clearMarks", _:
            return ClearMarks()
        case "disconnect", _:
            return Disconnect()
    return None


def _member(value: object, name: str) -> object:
    if not isinstance(value, dict):
        return None
    return next((found for key, found in value.items() if key.lower() == name.lower()), None)
