"""
What a server and a tool that is attached to one of its calls say to each other, beside the protocol of jambonz.

They are text messages with a ``type`` of their own, which never reach jambonz.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from listenctl.protocol import peer_json

PREFIX = "listenctl:"


class ToolMessageType(StrEnum):
    """
    The ``type`` of a control message.

    A tool sends ``ACQUIRE`` to stream audio as soon as nobody else does and ``RELEASE`` when it is done; the server
    answers with ``GRANTED`` when it is the tool's turn, and sends ``ERROR`` about what it didn't pass on. ``SYNC`` is
    answered with ``SYNCED`` when all that the tool sent before has been passed on or refused, and with how the call's
    playing stands. ``WITHDRAW`` takes a clip back.
    """

    ACQUIRE = f"{PREFIX}acquire"
    RELEASE = f"{PREFIX}release"
    GRANTED = f"{PREFIX}granted"
    SYNC = f"{PREFIX}sync"
    SYNCED = f"{PREFIX}synced"
    WITHDRAW = f"{PREFIX}withdraw"
    ERROR = f"{PREFIX}error"

    def serialize(self) -> str:
        """Return the message without data."""
        return peer_json.encode({"type": self})


class RefusalReason(StrEnum):
    """Why something of a tool wasn't passed on, as a word for scripts."""

    STREAM_BUSY = "stream-busy"
    TOO_MANY_OUTSTANDING = "too-many-outstanding"
    NAME_TOO_LONG = "name-too-long"
    UNKNOWN_CONTROL = "unknown-control"
    JAMBONZ_BUSY = "jambonz-busy"
    TOO_SLOW = "too-slow"
    QUEUE_FULL = "queue-full"
    KILLED = "killed"
    CALL_ENDING = "call-ending"


@dataclass(frozen=True, slots=True)
class ToolRefusal:
    """
    The server passes something on to nobody.

    Attributes:
        detail: a sentence that says what to do.
        id: that of the clip, as the tool calls it; None if it has none.
    """

    reason: RefusalReason
    detail: str
    id: object = None

    def serialize(self) -> str:
        """Return the text to send to the tool."""
        data: dict[str, object] = {"reason": self.reason, "detail": self.detail}
        if self.id is not None:
            data["id"] = self.id
        return peer_json.encode({"type": ToolMessageType.ERROR, "data": data})


@dataclass(frozen=True, slots=True)
class Synced:
    """
    How the playing of a call stands.

    Attributes:
        stream_rate: of the audio that jambonz plays; 0 where it plays clips, None where nobody knows.
        stream_rate_from: who says so: ``metadata``, ``tool`` or ``server``.
        playout: seconds of streamed audio that are still to be played, by the clock; None where the rate is unknown.
        waiting_clips: how many clips of all tools haven't been passed on.
        clip_seconds: that the clips of all tools still play, those that wait too, by the clock; None where a length is
            unknown.
        stopping: clips are being stopped by a killAudio or a withdrawal, and jambonz hasn't answered yet.
        mark_answered: jambonz has answered a mark of this call, as it does where it streams only.
    """

    stream_rate: int | None = None
    stream_rate_from: str | None = None
    playout: float | None = None
    waiting_clips: int = 0
    clip_seconds: float | None = None
    stopping: bool = False
    mark_answered: bool = False

    @classmethod
    def parse(cls, data: Mapping[str, object]) -> Self:
        """Read ``data`` of the message; what it doesn't say is unknown."""
        rate, source, playout = (
            data.get("streamRate"),
            data.get("streamRateFrom"),
            peer_json.number(data.get("playout")),
        )
        waiting = peer_json.number(data.get("waitingClips"))
        return cls(
            stream_rate=rate if isinstance(rate, int) and not isinstance(rate, bool) else None,
            stream_rate_from=source if isinstance(source, str) else None,
            playout=playout,
            waiting_clips=int(waiting or 0),
            clip_seconds=peer_json.number(data.get("clipSeconds")),
            stopping=data.get("stopping") is True,
            mark_answered=data.get("markAnswered") is True,
        )

    def serialize(self) -> str:
        """Return the text to send to the tool."""
        data = {
            "streamRate": self.stream_rate,
            "streamRateFrom": self.stream_rate_from,
            "playout": _rounded(self.playout),
            "waitingClips": self.waiting_clips,
            "clipSeconds": _rounded(self.clip_seconds),
            "stopping": self.stopping,
            "markAnswered": self.mark_answered,
        }
        return peer_json.encode({"type": ToolMessageType.SYNCED, "data": data})


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


@dataclass(frozen=True, slots=True)
class ServerNotice:
    """What the server itself says to an attached tool, not jambonz."""

    type: ToolMessageType
    data: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, message: str | bytes) -> Self | None:
        """Read a message; None if it is jambonz's."""
        if isinstance(message, bytes) or PREFIX not in message:
            return None
        decoded = peer_json.decode(message)
        value = decoded[0] if decoded else None
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(value, dict) or kind not in list(ToolMessageType):
            return None
        data = value.get("data")
        return cls(ToolMessageType(kind), data if isinstance(data, dict) else {})

    @property
    def error_detail(self) -> str | None:
        """What the server didn't pass on and why, in a sentence; None if it is no ``ERROR``."""
        if self.type is not ToolMessageType.ERROR:
            return None
        return str(self.data.get("detail") or self.data.get("reason") or "the server refused it")
