"""What is to be done about a message of a call that several tools share."""

from collections.abc import Sequence
from dataclasses import dataclass

from listenctl.protocol.call_sharing.tool_messages import Refusal


@dataclass(frozen=True, slots=True)
class TextToJambonz:
    """Send a text message to jambonz."""

    text: bytes


@dataclass(frozen=True, slots=True)
class AudioToJambonz:
    """Send a binary message to jambonz."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ToTool:
    """Send a text message to one tool: an answer, or that it may stream."""

    tool: int
    text: bytes


@dataclass(frozen=True, slots=True)
class ToEveryone:
    """Send a text of jambonz to every attached tool, and to the application if there is one beside them."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell a tool, with ``refusal.serialize()``, that something of it was not passed on."""

    tool: int
    refusal: Refusal


Action = TextToJambonz | AudioToJambonz | ToTool | ToEveryone | Refuse
Actions = Sequence[Action]
