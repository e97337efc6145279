"""
The JSON texts that an application sends to jambonz (protocol.md 5).

Parsing takes what CURRENT takes: keys in any case, values in exact case, anything behind the object. Fields keep the
type that they had, because what jambonz makes of a wrong one depends on it. Serialising gives the form that works.
"""

import base64
from dataclasses import dataclass
from typing import Literal, Self

from listenctl.protocol import peer_json


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """
    Play a clip; refused in streaming mode.

    The fields are those of the wire, None where absent: ``audio_content`` is base64 text, which jambonz reads up to the
    first foreign character; ``sample_rate`` other than a number is taken as 16000; ``audio_content_type`` other than a
    string crashes the media server. Build one to send with ``PlayAudio.encode``.
    """

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
        """
        Return the command that plays ``audio``.

        Args:
            sample_rate: of raw samples; only 8000 and 16000 are played right (protocol.md 5.1).
            queue_play: True waits for the clips before it; otherwise it plays at once, on top of them.
            clip_id: comes back in ``PlayDone.id``.
        """
        return cls(base64.b64encode(audio).decode(), content_type, sample_rate, queue_play, clip_id)

    @classmethod
    def parse(cls, data: object) -> Self:
        """Read ``data`` of the command."""
        return cls(
            audio_content=_member(data, "audioContent"),
            audio_content_type=_member(data, "audioContentType"),
            sample_rate=_member(data, "sampleRate"),
            queue_play=_member(data, "queuePlay"),
            id=_member(data, "id"),
            text_content=_member(data, "textContent"),
        )

    def serialize(self) -> str:
        """Return the text to send."""
        data = {
            "audioContent": self.audio_content,
            "audioContentType": self.audio_content_type,
            "sampleRate": self.sample_rate,
            "queuePlay": self.queue_play,
            "id": self.id,
            "textContent": self.text_content,
        }
        present = {name: value for name, value in data.items() if value is not None}
        return peer_json.encode({"type": "playAudio", "data": present})


@dataclass(frozen=True, slots=True)
class KillAudio:
    """Stop what is playing and clear the playout buffer."""

    def serialize(self) -> str:
        """Return the text to send."""
        return '{"type":"killAudio"}'


@dataclass(frozen=True, slots=True)
class MarkCommand:
    """Ask to be told when playout reaches this point of the stream."""

    name: str

    def serialize(self) -> str:
        """Return the text to send."""
        return peer_json.encode({"type": "mark", "data": {"name": self.name}})


@dataclass(frozen=True, slots=True)
class ClearMarks:
    """Forget all marks; none is answered."""

    def serialize(self) -> str:
        """Return the text to send."""
        return '{"type":"clearMarks"}'


@dataclass(frozen=True, slots=True)
class Disconnect:
    """End the listen; jambonz closes with 1000."""

    def serialize(self) -> str:
        """Return the text to send."""
        return '{"type":"disconnect"}'


@dataclass(frozen=True, slots=True)
class UnknownCommand:
    """
    A text that commands nothing.

    ``type`` is None where the text is no JSON, and ``json`` where jambonz takes it for that: JSON without a string
    ``type``. A known command whose data can't be used keeps its type.
    """

    type: str | None
    text: str
    value: object = None

    def serialize(self) -> str:
        """Return the text as it was received."""
        return self.text


Command = PlayAudio | KillAudio | MarkCommand | ClearMarks | Disconnect | UnknownCommand


def parse_command(raw: bytes) -> Command:
    """Read one text message of an application; nothing raises."""
    text = peer_json.read_text(raw)
    decoded = peer_json.decode(text, len(text) - len(text.lstrip()))
    if decoded is None:
        return UnknownCommand(None, text)
    value, _ = decoded
    kind = _member(value, "type")
    kind = kind if isinstance(kind, str) else "json"
    return _command(kind, _member(value, "data")) or UnknownCommand(kind, text, value)


def mark_name_is_safe(name: str) -> bool:
    """Tell whether jambonz can echo the name: it escapes neither quotes nor backslashes nor control characters."""
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
