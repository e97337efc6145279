"""Messages between a server and an attached tool: their ``type`` begins with ``listenctl:``, none reaches jambonz."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from listenctl.protocol import peer_json

PREFIX = "listenctl:"
MAX_TOOL_MESSAGE = 32 * 1024 * 1024
"""Bytes of one message of a tool: 12 minutes of audio in a clip (listenctl-control(5))."""


class ToolMessageType(StrEnum):
    """The ``type`` of a message (`listenctl-control(5)`)."""

    ACQUIRE = f"{PREFIX}acquire"
    RELEASE = f"{PREFIX}release"
    GRANTED = f"{PREFIX}granted"
    SYNC = f"{PREFIX}sync"
    SYNCED = f"{PREFIX}synced"
    WITHDRAW = f"{PREFIX}withdraw"
    ERROR = f"{PREFIX}error"

    def serialize(self) -> str:
        return peer_json.encode({"type": self})


class RefusalReason(StrEnum):
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
    """A message of a tool that the server didn't pass on."""

    reason: RefusalReason
    detail: str
    id: object = None  # of the clip, as the tool calls it; None if there is none

    def serialize(self) -> str:
        data: dict[str, object] = {"reason": self.reason, "detail": self.detail}
        if self.id is not None:
            data["id"] = self.id
        return peer_json.encode({"type": ToolMessageType.ERROR, "data": data})


@dataclass(frozen=True, slots=True)
class Synced:
    """The state of a call's playout."""

    stream_rate: int | None = None  # of the audio that jambonz plays; 0 if it plays clips, None if unknown
    stream_rate_from: str | None = None  # its source: ``metadata``, ``probe``, ``tool`` or ``server``
    playout: float | None = None  # how long the streamed audio still plays, by the clock; None if the rate is unknown
    waiting_clips: int = 0
    clip_seconds: float | None = None
    """How long all clips, waiting ones too, still play, by the clock; None if a length is unknown."""
    stopping: bool = False
    mark_answered: bool = False  # whether jambonz has answered a mark of this call, which it does only if it streams
    marks_may_be_lost: bool = False
    """Whether jambonz may never answer the tool's last mark, whatever the rate (listenctl-protocol(7) 6.4)."""

    @classmethod
    def parse(cls, data: Mapping[str, object]) -> Self:
        """Read the member ``data`` of a message; what is missing is unknown."""
        rate, source, playout = (
            data.get("streamRate"),
            data.get("streamRateFrom"),
            peer_json.parse_number(data.get("playout")),
        )
        waiting = peer_json.parse_number(data.get("waitingClips"))
        return cls(
            stream_rate=rate if isinstance(rate, int) and not isinstance(rate, bool) else None,
            stream_rate_from=source if isinstance(source, str) else None,
            playout=playout,
            waiting_clips=int(waiting or 0),
            clip_seconds=peer_json.parse_number(data.get("clipSeconds")),
            stopping=data.get("stopping") is True,
            mark_answered=data.get("markAnswered") is True,
            marks_may_be_lost=data.get("marksMayBeLost") is True,
        )

    def serialize(self) -> str:
        data = {
            "streamRate": self.stream_rate,
            "streamRateFrom": self.stream_rate_from,
            "playout": _rounded(self.playout),
            "waitingClips": self.waiting_clips,
            "clipSeconds": _rounded(self.clip_seconds),
            "stopping": self.stopping,
            "markAnswered": self.mark_answered,
            "marksMayBeLost": self.marks_may_be_lost,
        }
        return peer_json.encode({"type": ToolMessageType.SYNCED, "data": data})


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


@dataclass(frozen=True, slots=True)
class ServerNotice:
    type: ToolMessageType
    data: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, message: str | bytes) -> Self | None:
        """Return the notice in a message, None if the message is from jambonz."""
        if isinstance(message, bytes) or PREFIX not in message:
            return None
        decoded = peer_json.decode(message)
        value = decoded[0] if decoded else None
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(value, dict) or kind not in list(ToolMessageType):
            return None
        return cls(ToolMessageType(kind), peer_json.object_in(value, "data"))

    @property
    def error_detail(self) -> str | None:
        if self.type is not ToolMessageType.ERROR:
            return None
        return str(self.data.get("detail") or self.data.get("reason") or "the server refused it")
