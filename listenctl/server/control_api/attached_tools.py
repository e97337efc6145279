"""The tools attached to one live call: what each sends goes to jambonz, and what jambonz sends goes to them."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from listenctl.protocol.application_commands import Command, UnknownCommand, parse_command
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.call_sharing.mark_and_clip_names import NAME_PREFIX
from listenctl.protocol.call_sharing.shared_call import SharedCall
from listenctl.protocol.call_sharing.sharing_actions import (
    Action,
    AudioToJambonz,
    RefuseTool,
    TextToEveryone,
    TextToJambonz,
    TextToTool,
)
from listenctl.protocol.call_sharing.stream_rate import StreamRate, metadata_stream_rate
from listenctl.protocol.call_sharing.tool_messages import PREFIX, RefusalReason, ToolRefusal
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from listenctl.protocol.jambonz_messages import JambonzMessage
from listenctl.protocol.privacy.mask_digits import mask_digits

MAX_UNSENT = 4 * 1024 * 1024
"""Bytes that may wait for jambonz; messages of tools beyond that wait, and are refused after ``BUSY_TIMEOUT``."""
BUSY_TIMEOUT = 2.0
POLL_INTERVAL = 0.02
CALL_ENDED = "call ended"

_NORMAL_CLOSURE = 1000
_BUSY = ToolRefusal(
    RefusalReason.JAMBONZ_BUSY, "not sent: jambonz hasn't read what it was sent before; audio is dropped until it does"
)
_ENDING = ToolRefusal(RefusalReason.CALL_ENDING, "not sent: the call is ending")


class CallConnection(Protocol):
    """The connection to jambonz as tools use it: directly, or through a relay."""

    @property
    def unsent(self) -> int:
        """Bytes that jambonz has not read."""

    def send_command(self, text: bytes, command: Command | None, /) -> bool:
        """Send a text unless the connection is closing, and return whether it was sent."""

    def send_audio(self, data: bytes, /) -> bool:
        """Send streamed audio unless the connection is closing, and return whether it was sent."""

    def read_at_once(self, at_once: bool, /) -> None:
        """Read as soon as data arrives, or in batches."""


class AttachedTool(Protocol):
    """One attached tool: a client of the control socket, or a part of the server. Nothing here waits."""

    def deliver_text(self, data: bytes) -> None: ...

    def deliver_audio(self, data: bytes, samples: int) -> None: ...

    def close(self, code: int, reason: str) -> None:
        """Send what waits, and close."""


class AttachedTools:
    """
    Join one call and its tools. The server assumes ``server_rate`` for streamed audio: 0 for clips, None for unknown.
    On the wire, the names of the tools' marks and clips begin with ``prefix``. ``send_to_application`` takes the texts
    of jambonz that answer no tool; it is None if the server is the application. ``masks_dtmf`` hides digits from tools.
    """

    def __init__(
        self,
        connection: CallConnection,
        *,
        clock: Callable[[], float],
        server_rate: int | None = None,
        prefix: str = NAME_PREFIX,
        send_to_application: Callable[[bytes], None] | None = None,
        masks_dtmf: bool = False,
    ) -> None:
        self._connection = connection
        self._masks_dtmf = masks_dtmf
        self._send_to_application = send_to_application
        self._shared = SharedCall(
            prefix=prefix, alone=send_to_application is None, server_rate=server_rate, clock=clock
        )
        self._clock = clock  # returns the time in seconds, as the event loop does
        self._clip_timer: asyncio.TimerHandle | None = None
        self._tools: dict[int, AttachedTool] = {}
        self._listeners: dict[int, AttachedTool] = {}
        # Tools that have been told that jambonz is busy, or, about their audio, that the call is ending.
        self._told_busy: set[int] = set()
        self._told_ending: set[int | None] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._tools)

    @property
    def stream_rate(self) -> StreamRate:
        """What is known of the rate of streamed audio."""
        return self._shared.rates.best

    def with_own_name(self, answer: JambonzMessage) -> JambonzMessage:
        """Return an answer with the name that its tool uses, to show it."""
        return self._shared.with_own_name(answer)

    def attach_tool(self, tool: AttachedTool, metadata: bytes, *, audio: bool) -> int:
        if not self._tools:
            # What arrived before is read first, and not for the tool.
            self._connection.read_at_once(True)
        # The metadata may have come, or changed, since the last tool was attached.
        self._shared.rates.metadata = metadata_stream_rate(CallMetadata.parse(metadata).fields)
        number = self._shared.attach_tool()
        self._tools[number] = tool
        if audio:
            self._listeners[number] = tool
        tool.deliver_text(metadata)
        if self._ended:
            tool.close(_NORMAL_CLOSURE, CALL_ENDED)
        return number

    def detach_tool(self, number: int) -> None:
        del self._tools[number]
        self._listeners.pop(number, None)
        self._told_busy.discard(number)
        self._told_ending.discard(number)
        self._perform(self._shared.detach_tool(number))
        if not self._tools:
            self._connection.read_at_once(False)

    async def take_tool_message(self, number: int, message: str | bytes) -> None:
        """Take a text or audio of a tool; it waits while jambonz doesn't read, and is refused if that takes long."""
        if isinstance(message, bytes):
            if await self._wait_for_room(number):
                audio = BinaryMessages(message, len(message), 1)
                self._perform(self._shared.take_tool_message(number, audio), sender=number)
            elif number not in self._told_busy:
                self._refuse_busy(number)
            return
        text = TextMessage(message.encode())
        command = parse_command(text.data)
        if await self._wait_for_room(number) or _is_for_server(command):
            self._perform(self._shared.take_tool_message(number, text, command), sender=number)
        else:
            self._refuse_busy(number)

    def take_jambonz_text(self, text: bytes) -> None:
        self._perform(self._shared.take_jambonz_text(text))

    def take_jambonz_audio(self, data: bytes, samples: int) -> None:
        for tool in self._listeners.values():
            tool.deliver_audio(data, samples)

    def take_application_text(self, text: bytes, command: Command) -> None:
        self._perform(self._shared.take_application_text(text, command))

    def take_application_audio(self, size: int) -> None:
        """Record that the application has streamed ``size`` bytes."""
        self._shared.take_application_audio(size)

    def end_call(self) -> None:
        self._ended = True
        if self._clip_timer is not None:
            self._clip_timer.cancel()
        for tool in self._tools.values():
            tool.close(_NORMAL_CLOSURE, CALL_ENDED)

    async def _wait_for_room(self, number: int) -> bool:
        """Wait until jambonz has read enough; a tool that once waited too long does not wait again."""
        until = self._clock() + (0 if number in self._told_busy else BUSY_TIMEOUT)
        while self._connection.unsent > MAX_UNSENT:
            if self._clock() >= until:
                return False
            await asyncio.sleep(POLL_INTERVAL)
        self._told_busy.discard(number)
        return True

    def _refuse_busy(self, number: int) -> None:
        self._tools[number].deliver_text(_BUSY.serialize().encode())
        self._told_busy.add(number)

    def _perform(self, actions: Iterable[Action], *, sender: int | None = None) -> None:
        for action in actions:
            match action:
                case TextToJambonz(text, command):
                    if not self._connection.send_command(text, command):
                        self._refuse_ending(sender)
                case AudioToJambonz(data):
                    if not self._connection.send_audio(data) and sender not in self._told_ending:
                        self._refuse_ending(sender)
                        self._told_ending.add(sender)
                case TextToTool(number, text):
                    self._tools[number].deliver_text(text)
                case TextToEveryone(text):
                    self._send_to_everyone(text)
                case RefuseTool(number, refusal):
                    self._tools[number].deliver_text(refusal.serialize().encode())
        self._set_clip_timer()

    def _send_to_everyone(self, text: bytes) -> None:
        if self._send_to_application is not None:
            self._send_to_application(text)
        text = mask_digits(text) if self._masks_dtmf else text
        for tool in self._tools.values():
            tool.deliver_text(text)

    def _refuse_ending(self, sender: int | None) -> None:
        if sender in self._tools:
            self._tools[sender].deliver_text(_ENDING.serialize().encode())

    def _set_clip_timer(self) -> None:
        """Pass clips on in time even if jambonz answers none of those that it has."""
        if self._clip_timer is not None:
            self._clip_timer.cancel()
            self._clip_timer = None
        deadline = self._shared.deadline
        if deadline is not None and not self._ended:
            delay = max(POLL_INTERVAL, deadline - self._clock())
            self._clip_timer = asyncio.get_running_loop().call_later(delay, self._pass_due_clips)

    def _pass_due_clips(self) -> None:
        self._perform(() if self._connection.unsent > MAX_UNSENT else self._shared.pass_due_clips())


def _is_for_server(command: Command) -> bool:
    """Return whether a command is for the server, so that a jambonz that doesn't read can't delay it."""
    return isinstance(command, UnknownCommand) and bool(command.type) and str(command.type).startswith(PREFIX)
