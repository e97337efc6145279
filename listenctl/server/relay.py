"""
A relayed call: passes what jambonz sends to the application behind the server, and what that sends to jambonz.
Messages keep their bytes and boundaries. Attached tools send beside the application, and get their own answers.
"""

import asyncio
import secrets
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from websockets.frames import CloseCode

from listenctl.net.client_connection import FLOOD, ConnectionEnd, fresh_mask
from listenctl.protocol.application_commands import Command, parse_command
from listenctl.protocol.call_sharing.mark_and_clip_names import NAME_PREFIX
from listenctl.protocol.call_sharing.shared_stream import SampleBoundaries
from listenctl.protocol.frames.frame_format import change_mask
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from listenctl.server.calls.live_call import LiveCall
from listenctl.server.calls.live_call_log import LiveCallEnd
from listenctl.server.control_api.attached_tools import POLL_INTERVAL, AttachedTools
from listenctl.server.upstream import UpstreamConnection

if TYPE_CHECKING:
    from listenctl.server.jambonz_connection import JambonzConnection

MAX_TO_JAMBONZ = 1024 * 1024
"""Bytes that may wait for jambonz; beyond that the application is not read."""
MAX_TO_APPLICATION = 16 * 1024 * 1024
"""Bytes that may wait for the application; beyond that the call ends."""
MAX_REASON_BYTES = 123


class Relay:
    """Join one call and the application that it is relayed to."""

    def __init__(self, upstream: UpstreamConnection, jambonz: "JambonzConnection", call: LiveCall) -> None:
        self._upstream = upstream
        self._jambonz = jambonz
        self._call = call
        self._boundaries = SampleBoundaries()
        self._waiting: deque[TextMessage | BinaryMessages] = deque()
        self._upstream_end: ConnectionEnd | None = None
        self._ended = False
        self._given_up = False  # whether too much waits for the application
        self._dropped_bytes = 0  # of messages that came after the connection to the application had ended
        upstream.relay = self

    @property
    def url(self) -> str:
        return self._upstream.url

    def make_tools(self, server_rate: int | None, *, masks_dtmf: bool) -> AttachedTools:
        """Return the tools beside the application; a random prefix keeps their names apart from those of others."""
        prefix = f"{NAME_PREFIX}{secrets.token_hex(4)}-"
        return AttachedTools(
            _RelayedToolConnection(self._jambonz, self._boundaries),
            clock=asyncio.get_running_loop().time,
            server_rate=server_rate,
            prefix=prefix,
            send_to_application=self._upstream.connection.send_text,
            masks_dtmf=masks_dtmf,
        )

    def take_jambonz_message(self, message: TextMessage | BinaryMessages) -> None:
        """Pass on a message of jambonz, or several of one size."""
        if not self._upstream.connection.is_open:
            self._dropped_bytes += len(message.data)
        if isinstance(message, BinaryMessages):
            size = message.message_bytes
            for at in range(0, size * message.messages, size) if size else (0,) * message.messages:
                self._upstream.connection.send_audio(message.data[at : at + size])
        elif self._call.tools is None:
            self._upstream.connection.send_text(message.data)
        else:
            # The tools pass on to the application what answers none of them.
            self._call.tools.take_jambonz_text(message.data)
        if self._upstream.connection.unsent:
            self._limit_unsent()

    def pass_on_frames(self, frames: bytes, count: int) -> None:
        """Pass on whole frames of audio, of one size, with masks of our own."""
        size = len(frames) // count
        if count > 1:
            masked = b"".join(change_mask(frames[at : at + size], fresh_mask()) for at in range(0, len(frames), size))
        else:
            masked = change_mask(frames, fresh_mask())
        if not self._upstream.connection.send_frames(masked):
            self._dropped_bytes += len(frames)
        elif self._upstream.connection.unsent:
            self._limit_unsent()

    def _limit_unsent(self) -> None:
        if self._upstream.connection.unsent > MAX_TO_APPLICATION:
            self._upstream.drop()
            reason = f"the application doesn't read: {MAX_TO_APPLICATION // 1024 // 1024} MiB wait for it"
            if not self._given_up:
                self._given_up = True
                self._jambonz.report_violation("relay-stopped", reason)
            self._jambonz.break_off(reason)

    def end_call(self, end: LiveCallEnd) -> None:
        """End the connection to the application as the call has ended."""
        self._ended = True
        self._waiting.clear()
        if end.closed_by == "nobody":
            self._upstream.drop()
        else:
            self._upstream.close(end.code, end.reason)

    def note_unsent(self, unsent: int) -> None:
        """Report what jambonz sent and the application didn't read, unless it was the application that ended."""
        if self._upstream_end is None or self._given_up:
            lost = unsent + (self._dropped_bytes if self._given_up else 0)
            if lost:
                self._call.note_unrelayed(lost)

    def take_application_end(self, end: ConnectionEnd) -> None:
        """End the call as the application has, after everything that it sent before."""
        self._upstream_end = end
        if end.code == CloseCode.POLICY_VIOLATION and end.by == "jambonz":
            self._jambonz.report_violation("frame-flood", f"the application sent {FLOOD}; its connection is closed")
        if not self._waiting:
            self._pass_on_end(end)

    def take_application_message(self, message: TextMessage | BinaryMessages) -> None:
        if not self._waiting and self._jambonz.unsent <= MAX_TO_JAMBONZ:
            self._send_to_jambonz(message)
            return
        if not self._waiting:
            self._upstream.connection.pause_reading()
            self._send_later()
        self._waiting.append(message)

    def _send_later(self) -> None:
        asyncio.get_running_loop().call_later(POLL_INTERVAL, self._send_waiting)

    def _send_waiting(self) -> None:
        while self._waiting and self._jambonz.unsent <= MAX_TO_JAMBONZ:
            self._send_to_jambonz(self._waiting.popleft())
        if self._ended:
            return
        if self._waiting:
            self._send_later()
        elif self._upstream_end is not None:
            self._pass_on_end(self._upstream_end)
        else:
            self._upstream.connection.resume_reading()

    def _send_to_jambonz(self, message: TextMessage | BinaryMessages) -> None:
        tools = self._call.tools
        if isinstance(message, BinaryMessages):
            data = self._boundaries.align_audio("application", message.data)
            if data or not message.data:
                self._jambonz.send_audio(data)
            if tools is not None:
                tools.take_application_audio(len(data))
            return
        command = parse_command(message.data)
        if tools is None:
            if self._jambonz.send_command(message.data, command):
                self._call.take_command(command)
        else:
            tools.take_application_text(message.data, command)
            self._call.take_command(command)

    def _pass_on_end(self, end: ConnectionEnd) -> None:
        if self._ended:
            return
        # A Close that violates the protocol can't be passed on.
        if end.by == "server" and not end.detail:
            reason = end.reason.encode()[:MAX_REASON_BYTES].decode("utf-8", "ignore")
            self._jambonz.close(end.code, reason, by="application")
        else:
            self._jambonz.break_off(f"the application's connection ended: {end.detail or 'it broke'}")


@dataclass(frozen=True, slots=True)
class _RelayedToolConnection:
    """The connection to jambonz for tools beside the application."""

    _jambonz: "JambonzConnection"
    _boundaries: SampleBoundaries

    @property
    def unsent(self) -> int:
        return self._jambonz.unsent

    def send_command(self, text: bytes, command: Command | None) -> bool:
        return self._jambonz.send_command(text, command)

    def send_audio(self, data: bytes) -> bool:
        whole = self._boundaries.align_audio("tool", data)
        return self._jambonz.send_audio(whole) if whole else True

    def read_at_once(self, at_once: bool) -> None:
        self._jambonz.read_at_once(at_once)
