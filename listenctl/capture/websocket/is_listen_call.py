"""Tell listen calls from other WebSocket connections, by subprotocol or texts; audio alone proves nothing."""

from listenctl.capture.capture_events import CapturedSession
from listenctl.protocol.application_commands import UnknownCommand, parse_command
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.jambonz_messages import UnknownMessage, parse_texts
from listenctl.protocol.listen_session import Sender
from listenctl.protocol.opening_handshake import SUBPROTOCOLS

MAX_TEXT = 65_536

_TEXT = 1


class ListenCallDetector:
    """Set ``is_listen`` of a session as soon as it is known."""

    def __init__(self, session: CapturedSession) -> None:
        self._session = session
        self._begun = session.started_midway
        heads = (head for head in (session.request, session.response) if head)
        named = ",".join(head.header("sec-websocket-protocol") for head in heads)
        if not {session.subprotocol, *map(str.strip, named.split(","))}.isdisjoint(SUBPROTOCOLS):
            session.is_listen = True

    @property
    def is_decided(self) -> bool:
        return self._session.is_listen is not None

    def add_frame(self, sender: Sender, frame: RawFrame) -> None:
        if self._session.is_listen is not None or frame.opcode != _TEXT:
            return
        text = frame.payload[:MAX_TEXT]
        if sender is Sender.APPLICATION:
            known = not isinstance(parse_command(text), UnknownCommand)
        else:
            is_metadata = CallMetadata.parse(text).describes_call
            known = is_metadata or any(not isinstance(one, UnknownMessage) for one in parse_texts(text))
        if known:
            self._session.is_listen = True
        elif sender is Sender.JAMBONZ and not self._begun:
            # jambonz starts with metadata, even if broken (listenctl-protocol(7) 2.6).
            self._session.is_listen = False
        self._begun = self._begun or sender is Sender.JAMBONZ
