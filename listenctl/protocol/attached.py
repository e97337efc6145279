"""
What a server and a tool that is attached to one of its calls say to each other, beside the protocol of jambonz.

They are text messages with a ``type`` of their own, which never reach jambonz.
"""

from dataclasses import dataclass
from enum import StrEnum

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
