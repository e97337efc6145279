"""
One connection of jambonz, from its first byte to its last.

The library's sans-I/O protocol answers, the splitter cuts, the session says what it means; here is when to read, what
to wait for and how long, and the promise that not one received byte is lost, however the connection ends.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.server import ServerProtocol

from listenctl.net.nonblocking_socket import READ_BYTES, NonblockingSocket
from listenctl.protocol.frames.client_frame_reader import ClientFrameReader
from listenctl.protocol.frames.websocket_messages import BinaryMessages, ControlFrame, TextMessage
from listenctl.protocol.listen_session import CallStarted, FlushRequested, ListenSession, Sender, SessionEvent
from listenctl.server.answer_handshake import Doorkeeper, Opened, Opening
from listenctl.server.calls.live_call import LiveCall
from listenctl.server.calls.live_call_log import LiveCallEnd
from listenctl.server.read_schedule import ATTEND_EVERY, FIRST_READ, KeepAlive, ReadSchedule
from listenctl.server.server_handshake import HandshakeRefusal

if TYPE_CHECKING:
    from listenctl.server.relay import Relay


class Closing:
    """
    What is known of the end of one connection.

    Attributes:
        by: who has had us begin to close, empty while nobody has.
    """

    def __init__(self, protocol: ServerProtocol) -> None:
        self.by = ""
        self._protocol = protocol
        self._broken_off = ""
        self._unsent_before = sys.maxsize

    @property
    def has_begun(self) -> bool:
        """Whether either side has begun to close."""
        return bool(self.by) or self._protocol.close_expected()

    def break_off(self, reason: str) -> None:
        """Begin to end without a Close."""
        self.by = "nobody"
        self._broken_off = reason

    def is_read(self, unsent: int) -> bool:
        """Tell whether jambonz has read some of what waits, now ``unsent`` bytes, since this was asked before."""
        before, self._unsent_before = self._unsent_before, unsent
        return 0 < unsent < before

    def describe(self) -> LiveCallEnd:
        """Return how the connection has ended."""
        received, sent = self._protocol.close_rcvd, self._protocol.close_sent
        by = "" if self._broken_off else self.by
        if received is not None:
            return LiveCallEnd(by or "jambonz", received.code, received.reason)
        if sent is not None:
            return LiveCallEnd(by or "listenctl", sent.code, sent.reason or str(self._protocol.parser_exc or ""))
        return LiveCallEnd("nobody", CloseCode.ABNORMAL_CLOSURE, self._broken_off or "the connection broke")


logger = logging.getLogger(__name__)


class Gate(Doorkeeper, Protocol):
    """What a connection asks its server."""

    def open_call(self, connection: "JambonzConnection", session: ListenSession) -> LiveCall:
        """Make a handshake a call."""

    def forget(self, connection: "JambonzConnection") -> None:
        """Take notice that the connection has ended."""


class JambonzConnection:
    """
    Drive one connection.

    ``visit`` is called by the wheel, ``read_now`` whenever there is something to read while the connection is read at
    once: in its handshake, when we are closing, and while a tool is attached to its call.
    """

    def __init__(self, connection: NonblockingSocket, remote: str, gate: Gate, loop: asyncio.AbstractEventLoop) -> None:
        self.remote = remote
        self.relay: Relay | None = None
        self._socket = connection
        self._gate = gate
        self._settings = gate.settings
        self._loop = loop
        self._opening = Opening(connection, remote, gate, done=self._take_opening)
        self._protocol = self._opening.protocol
        self._splitter: ClientFrameReader | None = None
        self._call: LiveCall | None = None
        self._closed = False
        self._closing = Closing(self._protocol)
        self._attention = ReadSchedule(connection, self.read_now)
        self._heartbeat = KeepAlive(self._settings, loop.time())
        self._deadline = loop.time() + self._settings.handshake_timeout
        self._visiting = False

    def open(self) -> None:
        """Begin; the request is usually there already."""
        self.read_now()
        if self._call is None and not self._closed:
            self._attention.read_at_once()

    @property
    def target(self) -> str | None:
        """Path and query of the request."""
        return self._opening.target

    @property
    def subprotocol(self) -> str | None:
        """What was agreed on in the handshake."""
        return self._protocol.subprotocol

    def visit(self, now: float) -> float | None:
        """Read what has come together and see to deadlines; None when the connection is over."""
        if self._visiting:
            # What begins with the call attaches to it while its first bytes are being read; their order is to stay.
            return self._attention.interval
        self._visiting = True
        try:
            if not self._closed:
                self._read()
            if not self._closed and now >= self._deadline:
                self._pass_deadline(now)
        except Exception:
            # One call's bad luck must not stop the wheel that all the others are on.
            logger.exception("a call failed in an unforeseen way")
            self._end()
        finally:
            self._visiting = False
        return None if self._closed else self._attention.interval

    def read_now(self) -> None:
        """Read now, because something is there."""
        self.visit(self._loop.time())

    def close(self, code: int | None, reason: str = "", *, by: str = "listenctl") -> None:
        """Begin to close, on behalf of ``by``; what jambonz still sends is received until it closes too."""
        if self._call is None:
            # What is about to end anyway needs a moment for our answer to arrive.
            if not (self._opening.refused or self._protocol.eof_sent):
                self._end()
        elif not self._closing.has_begun:
            self._closing.by = by
            self._protocol.send_close(code, reason)
            self._flush()
            self._await_end()

    def break_off(self, reason: str) -> None:
        """End our side without a Close, as the application behind us has; what jambonz still sends is received."""
        if self._call is not None and not self._closing.has_begun:
            self._closing.break_off(reason)
            self._socket.end_writing()
            self._await_end()

    def _await_end(self) -> None:
        self._deadline = self._loop.time() + self._settings.close_timeout
        self._attention.read_at_once()

    def abort(self) -> None:
        """End at once."""
        self._end()

    # What attached tools ask.

    @property
    def unsent(self) -> int:
        """Bytes that jambonz hasn't read."""
        return self._socket.unsent

    def send(self, message: TextMessage | BinaryMessages) -> bool:
        """Send what a tool says, unless the connection is closing; tell whether it was sent."""
        return self.transmit(message) is not None

    def transmit(self, message: TextMessage | BinaryMessages) -> Sequence[SessionEvent] | None:
        """Send what the application says and return what it means, None if the connection is closing."""
        call = self._call
        if call is None or self._closing.by or self._protocol.state is not State.OPEN:
            return None
        if isinstance(message, TextMessage):
            self._protocol.send_text(message.data)
        else:
            self._protocol.send_binary(message.data)
        self._flush()
        now = self._loop.time()
        events = call.session.receive_message(Sender.APPLICATION, message, now)
        self._take_events(call, events, now)
        return events

    def watch(self, watched: bool) -> None:
        """Read as soon as something comes while somebody watches the call, from now on; else in batches."""
        if self._call is None or self._closing.by:
            return
        if watched:
            self.read_now()
            if not self._closed:
                self._attention.read_at_once()
        else:
            self._read_in_batches()

    def _read(self) -> None:
        data = self._socket.read()
        # Not before: the ledger would take what is late for what is early.
        now = self._loop.time()
        while data:
            self._heartbeat.hear(now)
            if self._splitter is None:
                self._opening.take(data)
            else:
                self._take_frames(self._splitter, data, now)
            if self._closed or len(data) < READ_BYTES:
                break
            data = self._socket.read()
            now = self._loop.time()
        if data == b"":
            self._end_of_stream(now)
        elif self._call is not None:
            self._call.take_all(self._call.session.find_gaps(now))

    def _take_frames(self, splitter: ClientFrameReader, data: bytes, now: float) -> None:
        call = self._call
        if call is None:
            return
        if call.tap is not None:
            call.tap.received(data, now)
        for message in splitter.receive_data(data):
            if isinstance(message, ControlFrame):
                continue
            if self.relay is not None:
                self.relay.pass_on(message)
            # Who attaches because of this very message has read it: it is the metadata.
            attachments = call.attachments if self.relay is None else None
            self._take_events(call, call.session.receive_message(Sender.JAMBONZ, message, now), now)
            if attachments is not None and isinstance(message, TextMessage):
                attachments.take_text(message.data)
        if splitter.used_library:
            self._flush()
            if self._protocol.close_rcvd is not None or self._protocol.parser_exc is not None:
                self._finish_call(now)

    def _take_events(self, call: LiveCall, events: Sequence[SessionEvent], now: float) -> None:
        for event in events:
            call.take(event)
            if isinstance(event, FlushRequested):
                self._deadline = self._heartbeat.drain(now)
            elif isinstance(event, CallStarted):
                self._attention.settle(event.audio_format, self._settings.read_interval)
                if not self._closing.by:
                    self._deadline = self._heartbeat.next_beat(now)

    # The opening handshake.

    def _take_opening(self, opened: Opened | None) -> None:
        self._flush()
        now = self._loop.time()
        if opened is None:
            self._linger(now)
            return
        session = ListenSession(started_at=now, default_format=self._settings.default_format)
        self._splitter = ClientFrameReader(self._protocol, max_size=self._settings.max_message)
        self._call = self._gate.open_call(self, session)
        self._deadline = now + self._settings.metadata_timeout
        if opened.upstream is None:
            self._read_in_batches(FIRST_READ)
        else:
            from listenctl.server.relay import Relay

            self.relay = Relay(opened.upstream, self, self._call)
            self._attention.read_at_once()
        if opened.early:
            self._take_frames(self._splitter, opened.early, now)

    # Deadlines.

    def _pass_deadline(self, now: float) -> None:
        if self._closing.by and self._closing.is_read(self._socket.unsent):
            self._deadline = now + self._settings.close_timeout
        elif self._closing.by or self._opening.refused or self._protocol.eof_sent:
            self._end()
        elif self._call is None:
            self._opening.refuse_raw(HandshakeRefusal(HTTPStatus.REQUEST_TIMEOUT, "the handshake took too long"))
        elif not self._call.session.started:
            self._take_events(self._call, self._call.session.start_with_defaults(now), now)
        elif self._heartbeat.has_drained(now):
            self.close(CloseCode.NORMAL_CLOSURE)
        else:
            self._keep_alive(now)

    def _keep_alive(self, now: float) -> None:
        self._deadline = self._heartbeat.next_beat(now)
        if self._heartbeat.is_lost:
            self._protocol.fail(CloseCode.INTERNAL_ERROR, "no answer to pings")
            self._closing.by = "listenctl"
            self._flush()
            self._finish_call(now)
        elif self._heartbeat.wants_ping():
            self._protocol.send_ping(b"")
            self._flush()

    def _read_in_batches(self, interval: float | None = None) -> None:
        if self._call is not None and self._call.tap is not None:
            # A tap is told when bytes came, which is when they were read.
            self._attention.read_at_once()
        else:
            self._attention.read_in_batches(interval)

    # The end.

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                if self._call is not None and self._call.tap is not None:
                    self._call.tap.sent(data, self._loop.time())
                self._socket.write(data)
            else:
                self._socket.end_writing()

    def _end_of_stream(self, now: float) -> None:
        if self._splitter is None:
            self._opening.take_end()
        elif not self._protocol.eof_sent:
            self._splitter.receive_eof()
        self._finish_call(now)
        self._end()

    def _finish_call(self, now: float) -> None:
        """End the call; the connection may linger until the peer has closed its side."""
        call, self._call = self._call, None
        if call is not None:
            ending = self._closing.describe()
            if self.relay is not None:
                self.relay.end(ending)
            call.finish(now, time.time(), ending)
        self._linger(now)

    def _linger(self, now: float) -> None:
        # Closing while the peer still sends would reset the connection and could destroy our answer on its way.
        self._deadline = now + self._settings.close_timeout
        self._read_in_batches(ATTEND_EVERY)

    def _end(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._opening.cancel()
        try:
            self._finish_call(self._loop.time())
        finally:
            self._attention.read_in_batches()
            self._socket.close()
            self._gate.forget(self)
