"""
What a server and a tool that is attached to one of its calls say to each other, beside the protocol of jambonz.

They are text messages with a ``type`` of their own, which never reach jambonz.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from listenctl.protocol import wire_json

PREFIX = "listenctl:"


class ControlType(StrEnum):
    """
    The ``type`` of a control message.

    A tool sends ``ACQUIRE`` to stream audio as soon as nobody else does and ``RELEASE`` when it is done; the server
    answers with ``GRANTED`` when it is the tool's turn, and sends ``ERROR`` about what it didn't pass on. ``SYNC`` is
    answered with ``SYNCED`` when all that the tool sent before has been passed on or refused.
    """

    ACQUIRE = f"{PREFIX}acquire"
    RELEASE = f"{PREFIX}release"
    GRANTED = f"{PREFIX}granted"
    SYNC = f"{PREFIX}sync"
    SYNCED = f"{PREFIX}synced"
    ERROR = f"{PREFIX}error"

    def serialize(self) -> str:
        """Return the message without data."""
        return wire_json.encode({"type": self})


class RefusalReason(StrEnum):
    """Why something of a tool wasn't passed on, as a word for scripts."""

    STREAM_BUSY = "stream-busy"
    TOO_MANY_OUTSTANDING = "too-many-outstanding"
    NAME_TOO_LONG = "name-too-long"
    UNKNOWN_CONTROL = "unknown-control"
    JAMBONZ_BUSY = "jambonz-busy"
    TOO_SLOW = "too-slow"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server passes something on to nobody; ``detail`` is a sentence that says what to do."""

    reason: RefusalReason
    detail: str

    def serialize(self) -> str:
        """Return the text to send to the tool."""
        return wire_json.encode({"type": ControlType.ERROR, "data": {"reason": self.reason, "detail": self.detail}})


@dataclass(frozen=True, slots=True)
class ServerWord:
    """What the server itself says to an attached tool, not jambonz."""

    type: ControlType
    data: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, message: str | bytes) -> Self | None:
        """Read a message; None if it is jambonz's."""
        if isinstance(message, bytes) or PREFIX not in message:
            return None
        decoded = wire_json.decode(message)
        value = decoded[0] if decoded else None
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(value, dict) or kind not in list(ControlType):
            return None
        data = value.get("data")
        return cls(ControlType(kind), data if isinstance(data, dict) else {})

    @property
    def complaint(self) -> str | None:
        """What the server didn't pass on and why, in a sentence; None if it is no ``ERROR``."""
        if self.type is not ControlType.ERROR:
            return None
        return str(self.data.get("detail") or self.data.get("reason") or "the server refused it")
