"""The tools that are attached to one live call: what each says goes to jambonz, and what jambonz says to them."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from listenctl.protocol.attached import PREFIX, Refusal, RefusalReason
from listenctl.protocol.commands import UnknownCommand, parse_command
from listenctl.protocol.sharing import (
    Action,
    AudioToJambonz,
    Refuse,
    SharedCall,
    TextToJambonz,
    ToEveryone,
    ToTool,
)
from listenctl.protocol.splitter import Audio, Text

MAX_UNSENT = 4 * 1024 * 1024
"""Bytes that may wait for jambonz to read them; what tools send beyond that waits in turn, or is refused."""
PATIENCE = 2.0
POLL_EVERY = 0.02
CALL_ENDED = "call ended"

_NORMAL_CLOSURE = 1000
_BUSY = Refusal(
    RefusalReason.JAMBONZ_BUSY, "not sent: jambonz hasn't read what it was sent before; audio is dropped until it does"
)


class Line(Protocol):
    """What tools need of the call's connection to jambonz."""

    @property
    def unsent(self) -> int:
        """Bytes that jambonz hasn't read."""

    def send(self, message: Text | Audio, /) -> None:
        """Send a message, unless the connection is closing."""

    def watch(self, watched: bool, /) -> None:
        """Read the connection as soon as something comes, or in batches."""


class Outlet(Protocol):
    """The way to a tool; nothing here waits."""

    def text(self, data: bytes) -> None:
        """Send a text."""

    def audio(self, data: bytes, samples: int) -> None:
        """Send audio of so many samples per channel."""

    def close(self, code: int, reason: str) -> None:
        """Send what waits, and close."""


class Attachments:
    """Join one call and its tools."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._shared = SharedCall()
        self._outlets: dict[int, Outlet] = {}
        self._listeners: dict[int, Outlet] = {}
        # Those that know already that jambonz is busy.
        self._held_up: set[int] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._outlets)

    def attach(self, outlet: Outlet, metadata: bytes, *, audio: bool) -> int:
        """Let a tool take part from now on; return its number."""
        if not self._outlets:
            # What came before this moment is read first, and not for the tool.
            self._line.watch(True)
        tool = self._shared.attach()
        self._outlets[tool] = outlet
        if audio:
            self._listeners[tool] = outlet
        outlet.text(metadata)
        if self._ended:
            outlet.close(_NORMAL_CLOSURE, CALL_ENDED)
        return tool

    def detach(self, tool: int) -> None:
        """Let a tool go."""
        del self._outlets[tool]
        self._listeners.pop(tool, None)
        self._held_up.discard(tool)
        self._act(self._shared.detach(tool))
        if not self._outlets:
            self._line.watch(False)

    async def take(self, tool: int, message: Text | Audio) -> None:
        """Take a message of a tool; it waits where jambonz doesn't read, and is refused where that takes long."""
        if await self._has_room(tool) or _is_for_us(message):
            self._act(self._shared.from_tool(tool, message))
        elif isinstance(message, Text) or tool not in self._held_up:
            self._outlets[tool].text(_BUSY.serialize().encode())
            self._held_up.add(tool)

    def take_text(self, text: bytes) -> None:
        """Take a text of jambonz."""
        self._act(self._shared.from_jambonz(text))

    def take_audio(self, data: bytes, samples: int) -> None:
        """Take whole sample frames of jambonz."""
        for outlet in self._listeners.values():
            outlet.audio(data, samples)

    def end(self) -> None:
        """Tell all tools that the call is over."""
        self._ended = True
        for outlet in self._outlets.values():
            outlet.close(_NORMAL_CLOSURE, CALL_ENDED)

    async def _has_room(self, tool: int) -> bool:
        loop = asyncio.get_running_loop()
        # Who has waited in vain once waits no more: its audio would only get older.
        until = loop.time() + (0 if tool in self._held_up else PATIENCE)
        while self._line.unsent > MAX_UNSENT:
            if loop.time() >= until:
                return False
            await asyncio.sleep(POLL_EVERY)
        self._held_up.discard(tool)
        return True

    def _act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case TextToJambonz(text):
                    self._line.send(Text(text))
                case AudioToJambonz(data):
                    self._line.send(Audio(data, len(data), 1))
                case ToTool(tool, text):
                    self._outlets[tool].text(text)
                case ToEveryone(text):
                    for outlet in self._outlets.values():
                        outlet.text(text)
                case Refuse(tool, refusal):
                    self._outlets[tool].text(refusal.serialize().encode())


def _is_for_us(message: Text | Audio) -> bool:
    """Tell whether a message is none for jambonz, which therefore can't hold it up."""
    if isinstance(message, Audio):
        return False
    command = parse_command(message.data)
    return isinstance(command, UnknownCommand) and bool(command.type) and str(command.type).startswith(PREFIX)
