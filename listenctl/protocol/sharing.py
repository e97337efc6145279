"""
One call that several attached tools talk to at once, none of which sees the others' marks and clips.

Told what a tool or jambonz sent, it says what goes where. Marks and clips get names of its own on the wire, and each
answer returns to its sender under the sender's name; everything else of jambonz goes to everyone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from listenctl.protocol import wire_json
from listenctl.protocol.attached import PREFIX, ControlType, Refusal, RefusalReason
from listenctl.protocol.commands import (
    ClearMarks,
    Command,
    KillAudio,
    MarkCommand,
    PlayAudio,
    UnknownCommand,
    mark_name_is_safe,
    parse_command,
)
from listenctl.protocol.messages import JambonzMessage, Mark, PlayDone, parse_texts
from listenctl.protocol.splitter import Audio, Text
from listenctl.protocol.stream_turns import StreamTurns
from listenctl.protocol.wire_names import MAX_OUTSTANDING, Asked, ClipOrder, WireNames

MAX_NAME = 1024
"""Characters of a mark's name or a clip's id as JSON; it is kept until the answer comes."""


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


class SharedCall:
    """
    Share one call among tools.

    Args:
        prefix: begins the names on the wire. Where the application of a call is behind us and may be another listenctl,
            it has to be one that the application doesn't use; letters, digits and hyphens are safe.
    """

    def __init__(self, *, prefix: str = "lc-") -> None:
        self._attached = 0
        self._tools: set[int] = set()
        self._marks = WireNames[str](f"{prefix}m")
        self._clips = WireNames[object](f"{prefix}c")
        self._order = ClipOrder()
        self._turns = StreamTurns()
        # Those that know already why their audio is dropped.
        self._refused: set[int] = set()

    @property
    def tools(self) -> frozenset[int]:
        """The tools that are attached."""
        return frozenset(self._tools)

    @property
    def streamer(self) -> int | None:
        """The tool whose audio is streamed, None if the stream is free."""
        return self._turns.holder

    def attach(self) -> int:
        """Return the number of a new tool; none is ever used again."""
        self._attached += 1
        self._tools.add(self._attached)
        return self._attached

    def detach(self, tool: int) -> Actions:
        """Let a tool go: its turn ends, and nothing that it asked is answered any more."""
        self._tools.remove(tool)
        self._marks.forget(tool)
        self._clips.forget(tool)
        return self._release(tool)

    def from_tool(self, tool: int, message: Text | Audio) -> Actions:
        """Take a message of an attached tool."""
        if tool not in self._tools:
            raise ValueError(f"no tool {tool} is attached")
        if isinstance(message, Audio):
            return self._stream(tool, message.data)
        command = parse_command(message.data)
        if isinstance(command, UnknownCommand) and command.type and command.type.startswith(PREFIX):
            return self._control(tool, command.type)
        if isinstance(command, MarkCommand | PlayAudio):
            return self._named(tool, command)
        self._notice(command)
        return (TextToJambonz(message.data),)

    def from_application(self, text: bytes) -> Actions:
        """Take a text of an application beside the tools, whose names stay as they are."""
        command = parse_command(text)
        self._notice(command)
        if isinstance(command, PlayAudio):
            # From here on a playDone without an id may be the application's.
            self._order.stop()
        return (TextToJambonz(text),)

    def from_jambonz(self, text: bytes) -> Actions:
        """Take a text of jambonz; what doesn't answer a tool goes to everyone, byte by byte if it came alone."""
        messages = parse_texts(text)
        answers = [self._answer(message) for message in messages]
        if all(answer is None for answer in answers):
            return (ToEveryone(text),)
        return [
            action
            for message, answer in zip(messages, answers, strict=True)
            for action in ([ToEveryone(message.serialize().encode())] if answer is None else answer)
        ]

    def _notice(self, command: Command) -> None:
        match command:
            case ClearMarks():
                # None of them is answered (protocol.md 6.4).
                self._marks.forget_all()
            case KillAudio():
                self._order.kill()

    def _named(self, tool: int, command: MarkCommand | PlayAudio) -> Actions:
        own = command.name if isinstance(command, MarkCommand) else command.id
        if refusal := self._why_no_name(tool, own):
            return (Refuse(tool, refusal),)
        if isinstance(command, MarkCommand):
            renamed: Command = MarkCommand(self._marks.give(tool, command.name))
        else:
            name = self._clips.give(tool, command.id)
            self._order.add(name)
            renamed = replace(command, id=name)
        return (TextToJambonz(renamed.serialize().encode()),)

    def _why_no_name(self, tool: int, own: object) -> Refusal | None:
        if self._marks.count(tool) + self._clips.count(tool) >= MAX_OUTSTANDING:
            detail = f"not sent: {MAX_OUTSTANDING} marks and clips are unanswered; wait for answers, or attach anew"
            return Refusal(RefusalReason.TOO_MANY_OUTSTANDING, detail)
        if (length := len(wire_json.encode(own))) > MAX_NAME:
            detail = f"not sent: its name has {length} characters as JSON; use at most {MAX_NAME}"
            return Refusal(RefusalReason.NAME_TOO_LONG, detail)
        return None

    def _answer(self, message: JambonzMessage) -> Iterable[Action] | None:
        """Return what goes to the sender of what is answered, or None if no tool asked for it."""
        match message:
            case Mark(name=name) if self._marks.has_given(name):
                mark = self._marks.take(name)
                return [ToTool(mark.tool, _mark_text(mark, message.event))] if mark else ()
            case PlayDone(id=str(name)) if self._clips.has_given(name):
                self._order.stop()
                return self._clip_answer(name, message)
            case PlayDone(id=None) if names := self._order.take():
                for dropped in names[1:]:
                    self._clips.take(dropped)
                return self._clip_answer(names[0], message)
        return None

    def _clip_answer(self, name: str, message: PlayDone) -> Iterable[Action]:
        clip = self._clips.take(name)
        return [ToTool(clip.tool, replace(message, id=clip.own).serialize().encode())] if clip else ()

    def _control(self, tool: int, kind: str) -> Actions:
        match kind:
            case ControlType.ACQUIRE:
                return (_granted(tool),) if self._turns.ask(tool) else ()
            case ControlType.RELEASE:
                return self._release(tool)
            case ControlType.SYNC:
                return (ToTool(tool, ControlType.SYNCED.serialize().encode()),)
        known = f"{ControlType.ACQUIRE}, {ControlType.RELEASE} and {ControlType.SYNC}"
        detail = f"nothing is known by the type {kind[:40]!r}; send {known}, or what jambonz understands"
        return (Refuse(tool, Refusal(RefusalReason.UNKNOWN_CONTROL, detail)),)

    def _stream(self, tool: int, data: bytes) -> Actions:
        # Empty messages are nothing to jambonz (protocol.md 6.1).
        if not data:
            return ()
        passed = self._turns.audio(tool, data)
        if passed is not None:
            return (AudioToJambonz(passed),) if passed else ()
        if tool in self._refused:
            return ()
        self._refused.add(tool)
        detail = (
            f"another tool streams to this call; audio is dropped until it's done, send {ControlType.ACQUIRE} to wait"
        )
        return (Refuse(tool, Refusal(RefusalReason.STREAM_BUSY, detail)),)

    def _release(self, tool: int) -> Actions:
        if self._turns.holder == tool:
            self._refused.clear()
        self._refused.discard(tool)
        end = self._turns.leave(tool)
        padding = [AudioToJambonz(end.padding)] if end.padding else []
        return [*padding, *([] if end.next is None else [_granted(end.next)])]


def _granted(tool: int) -> ToTool:
    return ToTool(tool, ControlType.GRANTED.serialize().encode())


def _mark_text(mark: Asked[str], event: str) -> bytes:
    """Return the answer in jambonz's own form, or as proper JSON where that would break it (protocol.md 4)."""
    if mark_name_is_safe(mark.own + event):
        return Mark(mark.own, event).serialize().encode()
    return wire_json.encode({"type": "mark", "data": {"name": mark.own, "event": event}}).encode()
