"""The tools that are attached to one live call: what each says goes to jambonz, and what jambonz says to them."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from listenctl.protocol.application_commands import UnknownCommand, parse_command
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.call_sharing.shared_call import SharedCall
from listenctl.protocol.call_sharing.sharing_actions import (
    Action,
    AudioToJambonz,
    RefuseTool,
    TextToEveryone,
    TextToJambonz,
    TextToTool,
)
from listenctl.protocol.call_sharing.stream_rate import StreamRate, rate_in
from listenctl.protocol.call_sharing.tool_messages import PREFIX, RefusalReason, ToolRefusal
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage

MAX_UNSENT = 4 * 1024 * 1024
"""Bytes that may wait for jambonz to read them; what tools send beyond that waits in turn, or is refused."""
PATIENCE = 2.0
POLL_EVERY = 0.02
CALL_ENDED = "call ended"

_NORMAL_CLOSURE = 1000
_BUSY = ToolRefusal(
    RefusalReason.JAMBONZ_BUSY, "not sent: jambonz hasn't read what it was sent before; audio is dropped until it does"
)
_ENDING = ToolRefusal(RefusalReason.CALL_ENDING, "not sent: the call is ending")


class ToolLine(Protocol):
    """What tools need of the call's connection to jambonz."""

    @property
    def unsent(self) -> int:
        """Bytes that jambonz hasn't read."""

    def send(self, message: TextMessage | BinaryMessages, /) -> bool:
        """Send a message, unless the connection is closing; tell whether it was sent."""

    def watch(self, watched: bool, /) -> None:
        """Read the connection as soon as something comes, or in batches."""


class AttachedTool(Protocol):
    """The way to a tool; nothing here waits."""

    def text(self, data: bytes) -> None:
        """Send a text."""

    def audio(self, data: bytes, samples: int) -> None:
        """Send audio of so many samples per channel."""

    def close(self, code: int, reason: str) -> None:
        """Send what waits, and close."""


class AttachedTools:
    """
    Join one call and its tools.

    Args:
        server_rate: what the server takes for the rate of streamed audio; 0 for clips, None for unknown.
        clock: returns the time of the event loop.
        prefix: begins the names that tools' marks and clips have on the wire.
        application: takes the texts of jambonz that answer no tool, where a real application is behind us.
    """

    def __init__(
        self,
        line: ToolLine,
        *,
        server_rate: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        prefix: str = "lc-",
        application: Callable[[bytes], None] | None = None,
    ) -> None:
        self._line = line
        self._application = application
        self._shared = SharedCall(prefix=prefix, alone=application is None, server_rate=server_rate, clock=clock)
        self._clock = clock
        self._passing: asyncio.TimerHandle | None = None
        self._outlets: dict[int, AttachedTool] = {}
        self._listeners: dict[int, AttachedTool] = {}
        # Those that know already that jambonz is busy, or that the call is ending.
        self._held_up: set[int] = set()
        self._turned_away: set[int] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._outlets)

    @property
    def stream_rate(self) -> StreamRate:
        """What is known of the rate of streamed audio."""
        return self._shared.rates.best

    def attach(self, outlet: AttachedTool, metadata: bytes, *, audio: bool) -> int:
        """Let a tool take part from now on; return its number."""
        if not self._outlets:
            # What came before this moment is read first, and not for the tool.
            self._line.watch(True)
        # They may have come, or been amended, since the last tool was attached.
        self._shared.rates.metadata = rate_in(CallMetadata.parse(metadata).fields)
        tool = self._shared.attach_tool()
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
        self._turned_away.discard(tool)
        self._act(self._shared.detach_tool(tool))
        if not self._outlets:
            self._line.watch(False)

    async def take(self, tool: int, message: TextMessage | BinaryMessages) -> None:
        """Take a message of a tool; it waits where jambonz doesn't read, and is refused where that takes long."""
        if await self._has_room(tool) or _is_for_us(message):
            self._act(self._shared.take_tool_message(tool, message), asked_by=tool)
        elif isinstance(message, TextMessage) or tool not in self._held_up:
            self._outlets[tool].text(_BUSY.serialize().encode())
            self._held_up.add(tool)

    def take_text(self, text: bytes) -> None:
        """Take a text of jambonz."""
        self._act(self._shared.take_jambonz_text(text))

    def take_application(self, text: bytes) -> None:
        """Take a text of the application behind us."""
        self._act(self._shared.take_application_text(text))

    def note_streamed(self, size: int) -> None:
        """Take notice of audio that the application has streamed, in bytes."""
        self._shared.take_application_audio(size)

    def take_audio(self, data: bytes, samples: int) -> None:
        """Take whole sample frames of jambonz."""
        for outlet in self._listeners.values():
            outlet.audio(data, samples)

    def end(self) -> None:
        """Tell all tools that the call is over."""
        self._ended = True
        if self._passing is not None:
            self._passing.cancel()
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

    def _act(self, actions: Iterable[Action], *, asked_by: int | None = None) -> None:
        for action in actions:
            match action:
                case TextToJambonz(text):
                    self._send(TextMessage(text), asked_by)
                case AudioToJambonz(data):
                    self._send(BinaryMessages(data, len(data), 1), asked_by)
                case TextToTool(tool, text):
                    self._outlets[tool].text(text)
                case TextToEveryone(text):
                    if self._application is not None:
                        self._application(text)
                    for outlet in self._outlets.values():
                        outlet.text(text)
                case RefuseTool(tool, refusal):
                    self._outlets[tool].text(refusal.serialize().encode())
        self._pass_clips_later()

    def _send(self, message: TextMessage | BinaryMessages, asked_by: int | None) -> None:
        if self._line.send(message) or asked_by not in self._outlets:
            return
        # Of audio this is said once.
        if isinstance(message, TextMessage) or asked_by not in self._turned_away:
            self._outlets[asked_by].text(_ENDING.serialize().encode())
        if isinstance(message, BinaryMessages):
            self._turned_away.add(asked_by)

    def _pass_clips_later(self) -> None:
        """Have clips passed on when it is time, even if jambonz answers none of those that it has."""
        if self._passing is not None:
            self._passing.cancel()
            self._passing = None
        deadline = self._shared.deadline
        if deadline is not None and not self._ended:
            loop = asyncio.get_running_loop()
            self._passing = loop.call_later(max(POLL_EVERY, deadline - self._clock()), self._pass_clips)

    def _pass_clips(self) -> None:
        self._act(() if self._line.unsent > MAX_UNSENT else self._shared.pass_due_clips())


def _is_for_us(message: TextMessage | BinaryMessages) -> bool:
    """Tell whether a message is none for jambonz, which therefore can't hold it up."""
    if isinstance(message, BinaryMessages):
        return False
    command = parse_command(message.data)
    return isinstance(command, UnknownCommand) and bool(command.type) and str(command.type).startswith(PREFIX)
