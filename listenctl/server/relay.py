"""
A call that is relayed: what jambonz says goes to the real application, and what that says to jambonz.

Messages keep their bytes and their boundaries; those in fragments arrive in one piece. Tools that are attached to the
call speak beside the application: what jambonz answers goes to whoever asked.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from listenctl.protocol.application_commands import parse_command
from listenctl.protocol.call_sharing.shared_stream import SampleBoundaries
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from listenctl.protocol.listen_session import CommandSent, SessionEvent
from listenctl.server.calls.live_call import LiveCall
from listenctl.server.calls.live_call_log import LiveCallEnd
from listenctl.server.control_api.attached_tools import POLL_EVERY, AttachedTools
from listenctl.server.server_handshake import HandshakeRefusal, UpstreamRequest

MAX_TO_JAMBONZ = 1024 * 1024
"""Bytes that may wait for jambonz to read them; beyond that the application is not read until they are fewer."""
MAX_TO_APPLICATION = 16 * 1024 * 1024
"""Bytes that may wait for the application to read them; then it is as good as gone, and the call with it."""


@dataclass(frozen=True, slots=True)
class UpstreamEnd:
    """
    How the application ended its connection.

    Attributes:
        closed: whether by a Close, whose code and reason these are, None for the one without a code.
        detail: what happened where it wasn't.
    """

    closed: bool
    code: int | None = None
    reason: str = ""
    detail: str = ""


class UpstreamListener(Protocol):
    """Who is told what the application does."""

    def on_text(self, data: bytes) -> None:
        """It has sent a text, valid UTF-8 or not."""

    def on_audio(self, data: bytes) -> None:
        """It has sent a binary message."""

    def on_end(self, end: UpstreamEnd) -> None:
        """Nothing more will come."""


class Upstream(Protocol):
    """An open connection to the application; what is sent after its end is dropped."""

    @property
    def url(self) -> str:
        """Where it goes to."""

    @property
    def subprotocol(self) -> str | None:
        """What the application chose."""

    @property
    def unsent(self) -> int:
        """Bytes that the application hasn't read."""

    def listen(self, listener: UpstreamListener) -> None:
        """Tell ``listener`` from now on; to be called in the same turn of the event loop that has brought this."""

    def text(self, data: bytes) -> None:
        """Send a text."""

    def audio(self, data: bytes) -> None:
        """Send a binary message."""

    def pause_reading(self) -> None:
        """Take nothing from the application for now."""

    def resume_reading(self) -> None:
        """Take what it sends again."""

    def close(self, code: int | None, reason: str) -> None:
        """End the connection with a Close, and without waiting for the answer."""

    def drop(self) -> None:
        """End the connection without a Close."""


class Application(Protocol):
    """The real application, which calls are relayed to."""

    @property
    def url(self) -> str:
        """Where it is, as the user has said."""

    @property
    def place(self) -> tuple[str, int]:
        """Its host and port."""

    @property
    def asking(self) -> int:
        """How many of our requests it hasn't answered."""

    def is_asked_with(self, key: str) -> bool:
        """Tell whether a request with this Sec-WebSocket-Key is one of ours that isn't answered yet."""

    async def connect(self, wanted: UpstreamRequest) -> Upstream | HandshakeRefusal:
        """Ask it for a connection; say why there is none, or how it answered."""

    async def wait_closed(self) -> None:
        """Wait until it has taken the ends of all connections, or should have."""


class JambonzLine(Protocol):
    """What a relay needs of the call's connection to jambonz."""

    @property
    def unsent(self) -> int:
        """Bytes that jambonz hasn't read."""

    def send(self, message: TextMessage | BinaryMessages, /) -> bool:
        """Send what a tool says, unless the connection is closing; tell whether it was sent."""

    def transmit(self, message: TextMessage | BinaryMessages, /) -> Sequence[SessionEvent] | None:
        """Send what the application says and return what it means, None if the connection is closing."""

    def watch(self, watched: bool, /) -> None:
        """Read now, and from now on as soon as something comes, or in batches."""

    def close(self, code: int | None, reason: str = "", *, by: str = "listenctl") -> None:
        """Close with a code, on behalf of ``by``."""

    def break_off(self, reason: str) -> None:
        """End the connection without a Close, and say why."""


class Relay:
    """Join one call and the application that it is relayed to."""

    def __init__(self, upstream: Upstream, line: JambonzLine, call: LiveCall) -> None:
        self._upstream = upstream
        self._line = line
        self._call = call
        self._seams = SampleBoundaries()
        self._waiting: deque[TextMessage | BinaryMessages] = deque()
        self._upstream_end: UpstreamEnd | None = None
        self._ended = False
        upstream.listen(self)

    @property
    def url(self) -> str:
        """Where the application is."""
        return self._upstream.url

    def new_attachments(self, server_rate: int | None) -> AttachedTools:
        """Return the tools beside the application; their names are none that another listenctl behind us uses."""
        prefix = f"lc-{secrets.token_hex(4)}-"
        return AttachedTools(
            _ToolLine(self._line, self._seams),
            server_rate=server_rate,
            prefix=prefix,
            application=self._upstream.text,
        )

    def pass_on(self, message: TextMessage | BinaryMessages) -> None:
        """Pass on a message of jambonz, or several of one size."""
        if isinstance(message, BinaryMessages):
            size = message.message_bytes
            for at in range(0, size * message.messages, size) if size else (0,) * message.messages:
                self._upstream.audio(message.data[at : at + size])
        elif self._call.attachments is None:
            self._upstream.text(message.data)
        else:
            # What answers no tool comes back to us.
            self._call.attachments.take_text(message.data)
        if self._upstream.unsent > MAX_TO_APPLICATION:
            self._upstream.drop()
            self._line.break_off(f"the application doesn't read; {MAX_TO_APPLICATION // 1024 // 1024} MiB wait for it")

    def end(self, ending: LiveCallEnd) -> None:
        """Let the application know how the call has ended."""
        self._ended = True
        self._waiting.clear()
        if ending.closed_by == "nobody":
            self._upstream.drop()
        else:
            self._upstream.close(ending.code, ending.reason)

    # What the application does.

    def on_text(self, data: bytes) -> None:
        """Pass on a text."""
        self._take(TextMessage(data))

    def on_audio(self, data: bytes) -> None:
        """Pass on streamed audio."""
        self._take(BinaryMessages(data, len(data), 1))

    def on_end(self, end: UpstreamEnd) -> None:
        """End the call as the application has, behind all that it said."""
        self._upstream_end = end
        if not self._waiting:
            self._pass_on_end(end)

    def _take(self, message: TextMessage | BinaryMessages) -> None:
        if not self._waiting and self._line.unsent <= MAX_TO_JAMBONZ:
            self._send(message)
            return
        if not self._waiting:
            self._upstream.pause_reading()
            self._wait()
        self._waiting.append(message)

    def _wait(self) -> None:
        asyncio.get_running_loop().call_later(POLL_EVERY, self._send_waiting)

    def _send_waiting(self) -> None:
        while self._waiting and self._line.unsent <= MAX_TO_JAMBONZ:
            self._send(self._waiting.popleft())
        if self._ended:
            return
        if self._waiting:
            self._wait()
        elif self._upstream_end is not None:
            self._pass_on_end(self._upstream_end)
        else:
            self._upstream.resume_reading()

    def _send(self, message: TextMessage | BinaryMessages) -> None:
        attachments = self._call.attachments
        if isinstance(message, BinaryMessages):
            data = self._seams.align_audio("application", message.data)
            if data or not message.data:
                self._line.transmit(BinaryMessages(data, len(data), 1))
            if attachments is not None:
                attachments.note_streamed(len(data))
        elif attachments is None:
            for event in self._line.transmit(message) or ():
                if isinstance(event, CommandSent):
                    self._call.take_command(event.command)
        else:
            attachments.take_application(message.data)
            if self._call.reports_commands:
                self._call.take_command(parse_command(message.data))

    def _pass_on_end(self, end: UpstreamEnd) -> None:
        if self._ended:
            return
        if end.closed:
            self._line.close(end.code, end.reason, by="application")
        else:
            self._line.break_off(end.detail)


@dataclass(frozen=True, slots=True)
class _ToolLine:
    """The connection to jambonz as tools beside the application use it."""

    _line: JambonzLine
    _seams: SampleBoundaries

    @property
    def unsent(self) -> int:
        return self._line.unsent

    def send(self, message: TextMessage | BinaryMessages) -> bool:
        if isinstance(message, BinaryMessages):
            data = self._seams.align_audio("tool", message.data)
            if not data:
                return True
            message = BinaryMessages(data, len(data), 1)
        return self._line.send(message)

    def watch(self, watched: bool) -> None:
        # A relayed call is always read at once.
        if watched:
            self._line.watch(True)
