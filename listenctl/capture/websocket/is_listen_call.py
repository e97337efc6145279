"""
Tell listen calls from other WebSocket connections, by subprotocol or texts; audio alone proves nothing.

A bot has connections of its own, for example to a speech recogniser. Where another subprotocol is offered, or none,
what the client sends first decides: jambonz starts with metadata, even if broken (listenctl-protocol(7) 2.6).
"""

from listenctl.capture.capture_events import CapturedSession
from listenctl.protocol.application_commands import (
    ClearMarks,
    Disconnect,
    KillAudio,
    MarkCommand,
    PlayAudio,
    UnknownCommand,
    parse_command,
)
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.jambonz_messages import UnknownMessage, parse_texts
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.opening_handshake import SUBPROTOCOLS

MAX_TEXT = 65_536

_TEXT, _BINARY = 1, 2
# Commands that no other service is likely to have; many send an ``error``.
_OWN_COMMANDS = (PlayAudio, KillAudio, MarkCommand, ClearMarks, Disconnect)


class ListenCallDetector:
    """Set ``is_listen`` of a session as soon as it is known."""

    def __init__(self, session: CapturedSession) -> None:
        self._session = session
        self._begun = session.started_midway  # the client has sent something
        heads = (head for head in (session.request, session.response) if head)
        named = ",".join([session.subprotocol or "", *(head.header("sec-websocket-protocol") for head in heads)])
        names = {name for part in named.split(",") if (name := part.strip())}
        # A site can give jambonz a name of its own for the subprotocol, so another one proves nothing yet.
        self._is_foreign = bool(names) and names.isdisjoint(SUBPROTOCOLS)
        if not names.isdisjoint(SUBPROTOCOLS):
            session.is_listen = True

    @property
    def is_decided(self) -> bool:
        return self._session.is_listen is not None

    def add_frame(self, sender: Sender, frame: RawFrame) -> None:
        if self._session.is_listen is not None or frame.opcode not in (_TEXT, _BINARY):
            return
        found = self._judge_application(frame) if sender is Sender.APPLICATION else self._judge_client(frame)
        self._session.is_listen = found
        self._begun = self._begun or sender is Sender.JAMBONZ

    def _judge_client(self, frame: RawFrame) -> bool | None:
        """Return whether this is a listen call, None if a frame of the client doesn't show it."""
        if frame.opcode == _BINARY:
            return False if self._is_foreign and not self._begun else None
        text = frame.payload[:MAX_TEXT]
        if self._is_metadata(CallMetadata.parse(text)):
            return True
        if not self._is_foreign and any(not isinstance(one, UnknownMessage) for one in parse_texts(text)):
            return True
        return None if self._begun else False

    def _judge_application(self, frame: RawFrame) -> bool | None:
        """Return the same for a frame of the server, whose answers to a client of its own follow other rules."""
        if frame.opcode == _BINARY or self._is_foreign:
            return None
        command = parse_command(frame.payload[:MAX_TEXT])
        if isinstance(command, _OWN_COMMANDS):
            return True
        return False if self._begun and isinstance(command, UnknownCommand) else None

    def _is_metadata(self, metadata: CallMetadata) -> bool:
        if not self._is_foreign:
            return metadata.describes_call
        # Other services name a sample rate, too.
        return metadata.call_sid is not None or metadata.mix_type is not None
