"""
One connection of jambonz, from its first byte to its last.

The library's sans-I/O protocol answers, the splitter cuts, the session says what it means; here is when to read, what
to wait for and how long, and the promise that not one received byte is lost, however the connection ends.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from http import HTTPStatus
from typing import Protocol

from websockets.frames import CloseCode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.session import CallStarted, Event, FlushRequested, ListenSession, Sender
from listenctl.protocol.splitter import Audio, Control, Splitter, Text
from listenctl.server import handshake
from listenctl.server.calls import Ending
from listenctl.server.handshake import Refusal
from listenctl.server.link import READ_BYTES, Link
from listenctl.server.live import LiveCall
from listenctl.server.settings import ServerSettings

logger = logging.getLogger(__name__)

READ_SIZE = 56 * 1024
"""Bytes that one read of a call should bring; faster calls are read more often, lest their socket buffer fills."""
FIRST_READ = 0.1
"""When to look for the metadata, which follows the handshake at once."""
ATTEND_EVERY = 0.25
"""How often a connection that is opening or closing is looked at for its deadlines."""


class Gate(Protocol):
    """What a connection asks its server."""

    settings: ServerSettings

    def admit(self, target: str) -> Refusal | None:
        """Say why a request for ``target`` can't become a call now, None if it can."""

    def note_refusal(self, remote: str, target: str | None, refusal: Refusal) -> None:
        """Take notice of a handshake that failed."""

    def open_call(self, connection: "Connection", session: ListenSession) -> LiveCall:
        """Make a handshake a call."""

    def forget(self, connection: "Connection") -> None:
        """Take notice that the connection has ended."""


class Connection:
    """
    Drive one connection.

    ``visit`` is called by the wheel, ``attend`` whenever there is something to read while the connection is read at
    once: in its handshake, when we are closing, and while a tool is attached to its call.
    """

    def __init__(self, link: Link, remote: str, gate: Gate, loop: asyncio.AbstractEventLoop) -> None:
        self.remote = remote
        self.target: str | None = None
        self._link = link
        self._gate = gate
        self._settings = gate.settings
        self._loop = loop
        self._protocol: ServerProtocol = handshake.new_protocol(self._settings.max_message)
        self._request = b""
        self._turned_away = False
        self._splitter: Splitter | None = None
        self._session: ListenSession | None = None
        self._call: LiveCall | None = None
        self._deciding: asyncio.Task[None] | None = None
        self._closed = False
        self._closing_by = ""
        self._interval = ATTEND_EVERY
        self._batch_interval = FIRST_READ
        self._last_heard = loop.time()
        self._unanswered = 0
        self._draining = False
        self._deadline = self._last_heard + self._settings.handshake_timeout
        self._attending = False

    def open(self) -> None:
        """Begin; the request is usually there already."""
        self.attend()
        if self._call is None:
            self._read_at_once()

    @property
    def subprotocol(self) -> str | None:
        """What was agreed on in the handshake."""
        return self._protocol.subprotocol

    def visit(self, now: float) -> float | None:
        """Read what has come together and see to deadlines; None when the connection is over."""
        try:
            if not self._closed:
                self._read()
            if not self._closed and now >= self._deadline:
                self._pass_deadline(now)
        except Exception:
            # One call's bad luck must not stop the wheel that all the others are on.
            logger.exception("a call failed in an unforeseen way")
            self._end()
        return None if self._closed else self._interval

    def attend(self) -> None:
        """Read now, because something is there."""
        self.visit(self._loop.time())

    def close(self, code: int, reason: str = "") -> None:
        """Begin to close from our side; what jambonz still sends is received until it closes too."""
        if self._call is None:
            # What is about to end anyway needs a moment for our answer to arrive.
            if not (self._turned_away or self._protocol.eof_sent):
                self._end()
        elif not self._protocol.close_expected():
            self._closing_by = "listenctl"
            self._protocol.send_close(code, reason)
            self._flush()
            self._deadline = self._loop.time() + self._settings.close_timeout
            self._read_at_once()

    def abort(self) -> None:
        """End at once."""
        self._end()

    # What attached tools ask.

    @property
    def unsent(self) -> int:
        """Bytes that jambonz hasn't read."""
        return self._link.unsent

    def send(self, message: Text | Audio) -> None:
        """Send what the application says, unless the connection is closing."""
        if self._call is None or self._protocol.state is not State.OPEN:
            return
        now = self._loop.time()
        self._take_events(self._call, self._call.session.receive(Sender.APPLICATION, message, now), now)
        if isinstance(message, Text):
            self._protocol.send_text(message.data)
        else:
            self._protocol.send_binary(message.data)
        self._flush()

    def watch(self, watched: bool) -> None:
        """Read as soon as something comes while somebody watches the call, from now on; else in batches."""
        if self._call is None or self._closing_by:
            return
        if watched:
            self.attend()
            self._read_at_once()
        else:
            self._read_in_batches(self._batch_interval)

    def _read(self) -> None:
        data = self._link.read()
        # Not before: the ledger would take what is late for what is early.
        now = self._loop.time()
        while data:
            self._last_heard = now
            if self._splitter is None:
                self._take_request(data, now)
            else:
                self._take_frames(self._splitter, data, now)
            if self._closed or len(data) < READ_BYTES:
                break
            data = self._link.read()
            now = self._loop.time()
        if data == b"":
            self._end_of_stream(now)
        elif self._call is not None:
            self._call.take_all(self._call.session.caught_up(now))

    def _take_frames(self, splitter: Splitter, data: bytes, now: float) -> None:
        call = self._call
        if call is None:
            return
        if call.tap is not None:
            call.tap.received(data, now)
        for message in splitter.receive(data):
            if isinstance(message, Control):
                self._unanswered = 0
                continue
            self._take_events(call, call.session.receive(Sender.JAMBONZ, message, now), now)
            if call.attachments is not None and isinstance(message, Text):
                call.attachments.take_text(message.data)
        self._unanswered = 0
        if splitter.consulted:
            self._flush()
            if self._protocol.close_rcvd is not None or self._protocol.parser_exc is not None:
                self._finish_call(now)

    def _take_events(self, call: LiveCall, events: Sequence[Event], now: float) -> None:
        for event in events:
            call.take(event)
            if isinstance(event, FlushRequested):
                self._drain(now)
            elif isinstance(event, CallStarted):
                self._settle(event.audio_format, now)

    # The opening handshake.

    def _take_request(self, data: bytes, now: float) -> None:
        if self._turned_away:
            return
        self._request += data
        parts = None if self._deciding is not None else handshake.split_request(self._request)
        if parts is None:
            if fault := handshake.fault_of(self._request):
                self._refuse_raw(fault)
            return
        self.target, head, self._request = parts
        self._protocol.receive_data(head)
        requests = self._protocol.events_received()
        if not requests:
            self._pass_on_refusal(f"no valid request: {self._protocol.handshake_exc}")
            return
        request = requests[0]
        assert isinstance(request, Request)
        self._decide(request, now)

    def _decide(self, request: Request, now: float) -> None:
        authorization = handshake.authorization(request)
        allowed = self._settings.access.check(authorization)
        if isinstance(allowed, bool):
            self._answer(request, allowed, now)
        else:
            self._deciding = self._loop.create_task(self._decide_later(request, allowed))

    async def _decide_later(self, request: Request, allowed: Awaitable[bool]) -> None:
        verdict = await allowed
        self._deciding = None
        if not self._closed and not self._turned_away:
            self._answer(request, verdict, self._loop.time())

    def _answer(self, request: Request, allowed: bool, now: float) -> None:
        assert self.target is not None
        refusal = self._gate.admit(self.target) if allowed else handshake.UNAUTHORIZED
        if refusal is not None:
            handshake.refuse(self._protocol, refusal)
        else:
            refusal = handshake.answer(self._protocol, request)
        if refusal is not None:
            self._refused(refusal)
            return
        self._flush()
        self._session = ListenSession(started_at=now, default_format=self._settings.default_format)
        self._splitter = Splitter(self._protocol, max_size=self._settings.max_message)
        self._call = self._gate.open_call(self, self._session)
        self._deadline = now + self._settings.metadata_timeout
        self._read_in_batches(FIRST_READ)
        if self._request:
            data, self._request = self._request, b""
            self._take_frames(self._splitter, data, now)

    def _pass_on_refusal(self, reason: str) -> None:
        """Report a request that the library has refused by itself, and answer it where the library doesn't."""
        answer = b"".join(self._protocol.data_to_send())
        if not answer:
            self._refuse_raw(Refusal(HTTPStatus.BAD_REQUEST, reason))
            return
        self._link.write(answer)
        self._link.end_writing()
        self._refused(Refusal(HTTPStatus(int(answer.split(b" ", 2)[1])), reason))

    def _refuse_raw(self, refusal: Refusal) -> None:
        """Answer what the library doesn't answer, since it is no HTTP."""
        self._link.write(handshake.plain_refusal(refusal))
        self._refused(refusal)
        self._link.end_writing()

    def _refused(self, refusal: Refusal) -> None:
        self._turned_away = True
        self._gate.note_refusal(self.remote, self.target, refusal)
        self._flush()
        self._linger(self._loop.time())

    # Deadlines.

    def _pass_deadline(self, now: float) -> None:
        if self._closing_by or self._turned_away or self._protocol.eof_sent:
            self._end()
        elif self._call is None:
            self._refuse_raw(Refusal(HTTPStatus.REQUEST_TIMEOUT, "the handshake took too long"))
        elif not self._call.session.started:
            self._take_events(self._call, self._call.session.assume_defaults(now), now)
        elif self._draining and now - self._last_heard >= self._settings.drain_timeout:
            self.close(CloseCode.NORMAL_CLOSURE)
        else:
            self._ping(now)

    def _drain(self, now: float) -> None:
        self._draining = True
        self._deadline = now + self._settings.drain_timeout

    def _next_ping(self, now: float) -> float:
        if self._draining:
            return self._last_heard + self._settings.drain_timeout
        return now + self._settings.ping_interval

    def _ping(self, now: float) -> None:
        """Keep proxies from cutting the connection, and notice a peer that is gone; audio is a sign of life too."""
        self._deadline = self._next_ping(now)
        if self._draining:
            return
        if self._unanswered >= self._settings.unanswered_pings:
            self._protocol.fail(CloseCode.INTERNAL_ERROR, "no answer to pings")
            self._closing_by = "listenctl"
            self._finish_call(now)
            self._flush()
            return
        self._unanswered += 1
        self._protocol.send_ping(b"")
        self._flush()

    # Reading in batches, or at once.

    def _settle(self, audio_format: AudioFormat, now: float) -> None:
        """Read the call as often as its audio needs it, now that it has begun."""
        self._batch_interval = min(self._settings.read_interval, READ_SIZE / audio_format.byte_rate)
        if not self._attending:
            self._interval = self._batch_interval
            self._deadline = self._next_ping(now)

    def _read_in_batches(self, interval: float) -> None:
        self._interval = interval
        if self._attending:
            self._attending = False
            self._loop.remove_reader(self._link)

    def _read_at_once(self) -> None:
        self._interval = ATTEND_EVERY
        if not self._attending and not self._closed:
            self._attending = True
            self._loop.add_reader(self._link, self.attend)

    # The end.

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                if self._call is not None and self._call.tap is not None:
                    self._call.tap.sent(data, self._loop.time())
                self._link.write(data)
            else:
                self._link.end_writing()

    def _end_of_stream(self, now: float) -> None:
        if self._splitter is not None and not self._protocol.eof_sent:
            self._splitter.receive_eof()
        elif self._splitter is None and not self._turned_away and (self._link.error or self._request):
            refusal = Refusal(HTTPStatus.BAD_REQUEST, self._link.error or "it ended too early")
            self._gate.note_refusal(self.remote, self.target, refusal)
        self._finish_call(now)
        self._end()

    def _finish_call(self, now: float) -> None:
        """End the call; the connection may linger until the peer has closed its side."""
        call, self._call = self._call, None
        if call is not None:
            call.finish(now, time.time(), self._ending())
        self._linger(now)

    def _ending(self) -> Ending:
        received, failure = self._protocol.close_rcvd, self._protocol.parser_exc
        if received is not None:
            return Ending(self._closing_by or "jambonz", received.code, received.reason)
        sent = self._protocol.close_sent
        if sent is not None:
            return Ending("listenctl", sent.code, sent.reason or str(failure or ""))
        return Ending("nobody", CloseCode.ABNORMAL_CLOSURE, "the connection broke")

    def _linger(self, now: float) -> None:
        # Closing while the peer still sends would reset the connection and could destroy our answer on its way.
        self._deadline = now + self._settings.close_timeout
        self._read_in_batches(ATTEND_EVERY)

    def _end(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._deciding is not None:
            self._deciding.cancel()
        call, self._call = self._call, None
        try:
            if call is not None:
                call.finish(self._loop.time(), time.time(), self._ending())
        finally:
            if self._attending:
                self._loop.remove_reader(self._link)
            self._link.close()
            self._gate.forget(self)
