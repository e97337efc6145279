"""What to do about a message of a shared call."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from listenctl.protocol.application_commands import Command
from listenctl.protocol.call_sharing.tool_messages import ToolRefusal


@dataclass(frozen=True, slots=True)
class TextToJambonz:
    """Send a text message to jambonz; ``command`` is the text parsed, if that has been done."""

    text: bytes
    command: Command | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AudioToJambonz:
    data: bytes


@dataclass(frozen=True, slots=True)
class TextToTool:
    tool: int
    text: bytes


@dataclass(frozen=True, slots=True)
class TextToEveryone:
    """Send a text from jambonz to every attached tool, and to the application if there is one."""

    text: bytes


@dataclass(frozen=True, slots=True)
class RefuseTool:
    tool: int
    refusal: ToolRefusal


Action = TextToJambonz | AudioToJambonz | TextToTool | TextToEveryone | RefuseTool
Actions = Sequence[Action]
