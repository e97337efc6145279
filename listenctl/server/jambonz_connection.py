"""
One connection from jambonz, from its first byte to its last.

``websockets`` answers the handshake, the frame reader cuts the bytes into messages, and the session interprets them.
This module decides when to read and which deadlines apply, and loses no received byte, however the connection ends.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from websockets.frames import CloseCode, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from listenctl.events import CallIdentity
from listenctl.net.client_connection import FLOOD
from listenctl.net.nonblocking_socket import READ_BYTES, NonblockingSocket
from listenctl.protocol.application_commands import Command
from listenctl.protocol.frames.client_frame_reader import ClientFrameReader
from listenctl.protocol.frames.frame_format import FIN, FINAL_BINARY, build_frame
from listenctl.protocol.frames.frame_rate_limit import FrameRateLimit
from listenctl.protocol.frames.websocket_messages import BinaryMessages, ControlFrame, ReceivedMessage, TextMessage
from listenctl.protocol.gaps.gap_ledger import GapLedger
from listenctl.protocol.listen_session import (
    CallStarted,
    FlushRequested,
    ListenSession,
    ProtocolViolation,
    Sender,
    SessionEvent,
)
from listenctl.protocol.privacy.mask_digits import mask_digits
from listenctl.server.audio_arrivals import AudioArrivals
from listenctl.server.calls.live_call import LiveCall
from listenctl.server.calls.live_call_log import LiveCallEnd
from listenctl.server.handshake_refusal import NEVER_SPOKE, TOO_LATE, TOO_MANY
from listenctl.server.read_schedule import CHECK_INTERVAL, FIRST_READ, ReadSchedule
from listenctl.server.server_handshake import AcceptedHandshake, ServerHandshake
from listenctl.server.settings import ServerSettings

if TYPE_CHECKING:
    from listenctl.server.relay import Relay
    from listenctl.server.server import ListenServer

READS_PER_VISIT = 4
LONGEST_VISIT = 0.02
"""Seconds after which a visit reads no more."""
_PONG = FIN | Opcode.PONG

logger = logging.getLogger(__name__)


class ClosingState:
    """What is known of the end of one connection."""

    def __init__(self, protocol: ServerProtocol) -> None:
        self.by = ""  # who began to close the connection, empty before that
        self._protocol = protocol
        self._broken_off = ""
        self._unsent_before = sys.maxsize

    @property
    def has_begun(self) -> bool:
        return bool(self.by) or self._protocol.close_expected()

    def break_off(self, reason: str) -> None:
        self.by = "nobody"
        self._broken_off = reason

    def makes_progress(self, unsent: int) -> bool:
        """Return whether jambonz still reads what waits, now ``unsent`` bytes, since the last call."""
        before, self._unsent_before = self._unsent_before, unsent
        return 0 < unsent < before

    def describe(self) -> LiveCallEnd:
        received, sent = self._protocol.close_rcvd, self._protocol.close_sent
        by = "" if self._broken_off else self.by
        if received is not None:
            return LiveCallEnd(by or "jambonz", received.code, received.reason)
        if sent is not None:
            return LiveCallEnd(by or "listenctl", sent.code, sent.reason or str(self._protocol.parser_exc or ""))
        return LiveCallEnd("nobody", CloseCode.ABNORMAL_CLOSURE, self._broken_off or "the connection broke")


class KeepAlive:
    """Pings that keep proxies from cutting a connection and detect a dead peer; received data counts as an answer."""

    def __init__(self, settings: ServerSettings, now: float) -> None:
        self._settings = settings
        self._last_data_at = now
        self._unanswered = 0
        self._draining = False

    def note_data(self, now: float) -> None:
        self._last_data_at = now
        self._unanswered = 0

    def start_draining(self, now: float) -> float:
        """Stop pinging because the peer shuts down; return when to close the connection if nothing more arrives."""
        self._draining = True
        return now + self._settings.drain_timeout

    def has_drained(self, now: float) -> bool:
        """Return whether a peer that shuts down has been silent long enough."""
        return self._draining and now - self._last_data_at >= self._settings.drain_timeout

    def next_check(self, now: float) -> float:
        if self._draining:
            return self._last_data_at + self._settings.drain_timeout
        return now + self._settings.ping_interval

    @property
    def is_lost(self) -> bool:
        """Whether the peer has left too many pings unanswered."""
        return not self._draining and self._unanswered >= self._settings.unanswered_pings

    def count_ping(self) -> bool:
        self._unanswered += not self._draining
        return not self._draining


class JambonzConnection:
    """
    The timing wheel calls ``visit``; ``read_now`` is called as soon as data arrives while the connection is read at
    once: in its handshake, while it closes, and while a tool is attached to its call, or the call is relayed or dumped.
    """

    def __init__(
        self, connection: NonblockingSocket, remote: str, server: "ListenServer", loop: asyncio.AbstractEventLoop
    ) -> None:
        self.relay: Relay | None = None
        self._socket = connection
        self._server = server
        self._settings = server.settings
        self._loop = loop
        self._handshake = ServerHandshake(connection, remote, server, on_done=self._finish_handshake)
        self._protocol = self._handshake.protocol
        self._frames: ClientFrameReader | None = None
        self._frame_rate = FrameRateLimit(loop.time(), server.limits.max_frame_rate)
        self._call: LiveCall | None = None
        self._closed = False
        self._closing = ClosingState(self._protocol)
        self._schedule = ReadSchedule(connection, self._read_arrived)
        self._arrivals = AudioArrivals()
        self._ends_at = inf  # when the call reaches the greatest length
        self._read_ahead = b""  # what was read after them, and is not processed yet
        self._keep_alive = KeepAlive(self._settings, loop.time())
        self._deadline = loop.time() + self._settings.handshake_timeout
        self._visiting = False

    def open(self) -> None:
        """Begin; the request has usually arrived already."""
        self.read_now()
        if self._call is None and not self._closed:
            self._schedule.read_at_once()

    def give_up_handshake(self) -> None:
        """Close without an answer, because too many connections are no calls."""
        self._handshake.give_up(TOO_MANY)
        self.abort()

    @property
    def remote(self) -> str:
        """Host and port of the peer, or of the client behind proxies."""
        return self._handshake.remote

    @property
    def was_refused(self) -> bool:
        return self._handshake.refused

    @property
    def target(self) -> str | None:
        return self._handshake.target

    @property
    def user(self) -> str:
        return self._handshake.user

    @property
    def subprotocol(self) -> str | None:
        return self._protocol.subprotocol

    def visit(self, now: float) -> float | None:
        """Read what has arrived and check the deadlines; return the seconds until the next visit, None at the end."""
        if now < self._deadline and self._arrivals.can_wait(now):
            return self._schedule.interval
        return self._visit(now)

    def _visit(self, now: float) -> float | None:
        if self._visiting:
            # A tool of the server attaches while the call's first bytes are processed; they must stay in order.
            return self._schedule.interval
        self._visiting = True
        try:
            if (unobserved := self._schedule.visit(now)) and self._call is not None:
                self._take_waiting_audio()
                self._call.session.ledger.add_unobserved(unobserved)
            if not self._closed and (self._call is not None or self._server.handshake_turn.has_time()):
                self._read(now)
            if not self._closed and now >= self._deadline:
                self._pass_deadline(now)
        except Exception:
            # A fault in one call must not stop the timing wheel of all others.
            logger.exception("a call failed unexpectedly", extra=self._log_context)
            self.abort()
        finally:
            self._visiting = False
        return None if self._closed else self._schedule.interval

    def read_now(self) -> None:
        self._visit(self._loop.time())

    def _read_arrived(self) -> None:
        try:
            waits = self._schedule.audio_waits and self._read_waiting_audio()
        except Exception:
            logger.exception("a call failed unexpectedly", extra=self._log_context)
            self.abort()
        else:
            if not waits:
                self.read_now()

    def close(self, code: int | None, reason: str = "", *, by: str = "listenctl") -> None:
        """Begin to close, on behalf of ``by``; data from jambonz is received until it closes too."""
        if self._call is None:
            # A connection that is about to end anyway needs a moment for our answer to arrive.
            if not (self._handshake.refused or self._protocol.eof_sent):
                self.abort()
        elif not self._closing.has_begun:
            self._closing.by = by
            self._protocol.send_close(code, reason)
            self._flush()
            self._await_end()

    def break_off(self, reason: str) -> None:
        if self._call is not None and not self._closing.has_begun:
            self._closing.break_off(reason)
            self._socket.end_writing()
            self._await_end()

    @property
    def _log_context(self) -> Mapping[str, CallIdentity]:
        log = None if self._call is None else self._call.log
        return {} if log is None else {"about": log.identity}

    @property
    def unsent(self) -> int:
        return self._socket.unsent

    def send_command(self, text: bytes, command: Command | None = None) -> bool:
        self._take_waiting_audio()
        call = self._call
        if call is None or not self._can_send():
            return False
        self._protocol.send_text(text)
        self._flush()
        now = self._loop.time()
        events = (
            call.session.receive_message(Sender.APPLICATION, TextMessage(text), now)
            if command is None
            else call.session.receive_command(command, now)
        )
        self._take_events(call, events, now)
        return True

    def send_audio(self, data: bytes) -> bool:
        if not self._can_send():
            return False
        # The library would take five times as long for the frame.
        self._write(build_frame(FINAL_BINARY, data, None))
        return True

    def report_violation(self, rule: str, detail: str) -> None:
        self._take_waiting_audio()
        if self._call is not None:
            self._call.take_event(ProtocolViolation(self._call.session.position, rule, detail))

    def read_at_once(self, at_once: bool) -> None:
        if self._call is None or self._closing.by:
            return
        if at_once:
            self.read_now()
            if not self._closed:
                self._schedule.read_at_once()
        else:
            self._read_in_batches()

    def _can_send(self) -> bool:
        return self._call is not None and not self._closing.by and self._protocol.state is State.OPEN

    def _await_end(self) -> None:
        self._deadline = self._loop.time() + self._settings.close_timeout
        self._schedule.read_at_once()

    def _read(self, now: float) -> None:
        self._take_waiting_audio()
        began = now
        for _ in range(READS_PER_VISIT):
            if now - began > LONGEST_VISIT or not self._may_read(now):
                break
            left = b"" if self._frames is None else self._frames.left
            data = left or self._next_read()
            # Taken after the read; otherwise the gap ledger would mistake late data for early data.
            now = self._loop.time()
            if data:
                self._keep_alive.note_data(now)
                if self._frames is None:
                    self._note_proxy()
                    self._handshake.receive_data(data)
                else:
                    self._take_frames(self._frames, data, now)
            if self._closed:
                return
            took_all = self._frames is None or not self._frames.left
            if data is None or (took_all and not left and len(data) < READ_BYTES):
                self._catch_up(data, now)
                return
        self._fall_behind(now)

    def _next_read(self) -> bytes | None:
        data, self._read_ahead = self._read_ahead, b""
        return data or self._socket.read()

    def _read_waiting_audio(self) -> bool:
        """Read; return whether that was nothing but audio, which may wait for the next visit."""
        call, frames = self._call, self._frames
        if call is None or frames is None or call.log is None or self._read_ahead:
            return False
        data = self._socket.read()
        now = self._loop.time()
        if data and self._schedule.note_read(now) and (count := self._arrivals.add_read(data, now, frames)):
            if self.relay is not None:
                self.relay.pass_on_frames(data, count)
            return True
        self._read_ahead = data or b""
        return False

    def _take_waiting_audio(self) -> None:
        if self._arrivals and self._call is not None and self._frames is not None:
            try:
                self._take_arrivals(self._call, self._frames)
            except Exception:
                # Tools and relays that only send something get here as well.
                logger.exception("a call failed unexpectedly", extra=self._log_context)
                self.abort()

    def _take_arrivals(self, call: LiveCall, frames: ClientFrameReader) -> None:
        data, reads = self._arrivals.take_reads()
        now, _ = reads[-1]
        self._keep_alive.note_data(now)
        (audio,) = frames.receive_data(data)  # It is one run.
        assert isinstance(audio, BinaryMessages)
        if call.dump is not None:
            call.dump.add_audio(audio, reads)
        self._take_events(call, call.session.receive_audio_reads(audio, reads), now)
        self._frame_rate.add_frames(len(reads) + frames.small_frames, now, len(audio.data))

    def _may_read(self, now: float) -> bool:
        too_fast = self._call is not None and self._call.sends_too_fast(now)
        return not too_fast and self._frame_rate.may_read(now)

    def _catch_up(self, data: bytes | None, now: float) -> None:
        """Judge what has arrived by ``now``; ``data`` is the last read."""
        self._frame_rate.catch_up()
        if (unobserved := self._schedule.catch_up(now)) and self._call is not None:
            self._call.session.ledger.add_unobserved(unobserved)
        if data == b"":
            self._end_stream(now)
        elif self._call is not None:
            session = self._call.session
            if gaps := session.find_gaps(now):
                self._call.take_events(gaps)
            # A server that is late itself must not begin to read more often.
            self._schedule.note_stall(session.ledger.stalled and not session.ledger.unobserved)

    def _note_proxy(self) -> None:
        header = self._socket.proxy_header
        if header is not None and header.source is not None:
            host, port = header.source
            self._handshake.remote = f"{host}:{port}"

    def _fall_behind(self, now: float) -> None:
        self._schedule.fall_behind(now)
        # What has arrived waits for us, such as for our disk; the peer's pongs may be in it.
        self._keep_alive.note_data(now)
        if self._call is not None and not self._closing.by and self._frame_rate.fall_behind(now):
            self.report_violation("frame-flood", f"the peer sent {FLOOD}; the call is closed")
            self._fail(CloseCode.POLICY_VIOLATION, FLOOD, now)

    def _take_frames(self, frames: ClientFrameReader, data: bytes, now: float) -> None:
        call = self._call
        if call is None:
            frames.left = b""
            return
        session = call.session
        messages = frames.receive_data(data)
        if call.dump is not None:
            call.dump.add_data(Sender.JAMBONZ, data[: len(data) - len(frames.left)], now)
        # Reads of a few bytes cost as much as a frame.
        small_frames = frames.small_frames + self._schedule.at_once
        for message in messages:
            if self.relay is not None and not isinstance(message, ControlFrame):
                self.relay.take_jambonz_message(message)
            if isinstance(message, BinaryMessages) and message.message_bytes and session.started:
                # Nearly every message. As an event it takes twice as long in the layers above the frames.
                call.take_audio(*session.take_samples(message))
            else:
                small_frames += self._take_message(call, message, now)
        if small_frames:
            audio = sum(len(message.data) for message in messages if isinstance(message, BinaryMessages))
            self._frame_rate.add_frames(small_frames, now, audio)
        if frames.used_library:
            self._answer_frames(now)

    def _take_message(self, call: LiveCall, message: ReceivedMessage, now: float) -> int:
        """Take a message that is no audio of a started call; return how many texts were in it."""
        # A tool that attaches because of this message, the metadata, gets it when it attaches.
        tools = call.tools if self.relay is None else None
        known = message
        if self._settings.mask_dtmf and isinstance(message, TextMessage):
            known = TextMessage(mask_digits(message.data))
        events = call.session.receive_message(Sender.JAMBONZ, known, now)
        self._take_events(call, events, now)
        if not isinstance(message, TextMessage):
            return 0
        if tools is not None:
            tools.take_jambonz_text(message.data)
        return len(events)

    def _answer_frames(self, now: float) -> None:
        """Send what the library answers to the last frames, and end the call if one of them ends it."""
        self._flush()
        if self._protocol.close_rcvd is not None or self._protocol.parser_exc is not None:
            self._finish_call(now)

    def _take_events(self, call: LiveCall, events: Sequence[SessionEvent], now: float) -> None:
        for event in events:
            call.take_event(event)
            if isinstance(event, FlushRequested):
                self._deadline = self._keep_alive.start_draining(now)
            elif isinstance(event, CallStarted):
                self._schedule.set_format(event.audio_format, self._settings.read_interval)
                if not self._closing.by:
                    self._deadline = min(self._keep_alive.next_check(now), self._ends_at)

    def _finish_handshake(self, accepted: AcceptedHandshake | None) -> None:
        try:
            self._flush()
            now = self._loop.time()
            if accepted is None:
                self._linger(now)
            else:
                self._start_call(accepted, now)
        except Exception:
            # The handshakes of a relay run in one TaskGroup, which a fault in one call must not stop either.
            logger.exception("a call failed unexpectedly", extra=self._log_context)
            self.abort()

    def _start_call(self, accepted: AcceptedHandshake, now: float) -> None:
        session = ListenSession(started_at=now, default_format=self._settings.default_format)
        self._frames = ClientFrameReader(self._protocol, max_size=self._server.limits.max_message)
        self._call = self._server.start_call(self, session)
        self._ends_at = now + (self._server.limits.max_call_length or inf)
        self._deadline = now + self._settings.metadata_timeout
        if accepted.upstream is not None:
            from listenctl.server.relay import Relay

            self.relay = Relay(accepted.upstream, self, self._call)
        self._read_in_batches(FIRST_READ)
        if accepted.early_data:
            self._take_frames(self._frames, accepted.early_data, now)

    def _pass_deadline(self, now: float) -> None:
        if self._closing.by and self._closing.makes_progress(self._socket.unsent):
            self._deadline = now + self._settings.close_timeout
        elif self._closing.by or self._handshake.refused or self._protocol.eof_sent:
            self.abort()
        elif self._call is None:
            self._handshake.refuse_unparsed(TOO_LATE)
        elif not self._call.session.started:
            self._start_without_metadata(self._call, now)
        elif self._keep_alive.has_drained(now):
            self.close(CloseCode.NORMAL_CLOSURE)
        else:
            self._check_peer(now)

    def _start_without_metadata(self, call: LiveCall, now: float) -> None:
        """Start the call without its metadata, if there is audio; a peer that never speaks does not become a call."""
        timeout = self._server.limits.first_frame_timeout
        if call.session.holds_audio or timeout is None:
            self._take_events(call, call.session.start_with_defaults(now), now)
        elif now < call.started_at + timeout:
            self._deadline = min(call.started_at + timeout, now + self._settings.metadata_timeout)
        else:
            self._server.report_refusal(self.remote, self.target, NEVER_SPOKE)
            self.close(CloseCode.POLICY_VIOLATION, NEVER_SPOKE.reason)

    def _check_peer(self, now: float) -> None:
        if now >= self._ends_at:
            limit = "the call has reached --max-call-length"
            self.report_violation("max-call-length", f"{limit}; it is closed")
            self.close(CloseCode.NORMAL_CLOSURE, limit)
            return
        self._deadline = min(self._keep_alive.next_check(now), self._ends_at)
        if self._keep_alive.is_lost:
            self._fail(CloseCode.INTERNAL_ERROR, "no answer to pings", now)
        elif self._keep_alive.count_ping():
            self._protocol.send_ping(b"")
            self._flush()

    def _fail(self, code: CloseCode, reason: str, now: float) -> None:
        """Close, and ignore what the peer still sends."""
        self._take_waiting_audio()
        self._protocol.fail(code, reason)
        self._closing.by = "listenctl"
        self._flush()
        self._finish_call(now)

    def _read_in_batches(self, interval: float | None = None) -> None:
        if self._call is not None and (self.relay is not None or self._call.dump is not None):
            # A relay passes data on, and a dump stores when it arrived, which is known only if it is read at once.
            self._schedule.read_at_once(audio_waits=True)
        else:
            self._schedule.read_in_batches(interval)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                if data[0] == _PONG and self._socket.unsent:
                    # Only the last of several pings needs an answer (RFC 6455 5.5.3), so pings can't fill our memory.
                    continue
                self._write(data)
            else:
                self._socket.end_writing()

    def _write(self, data: bytes) -> None:
        if self._call is not None and self._call.dump is not None:
            self._take_waiting_audio()
            self._call.dump.add_data(Sender.APPLICATION, data, self._loop.time())
        self._socket.write(data)

    def _end_stream(self, now: float) -> None:
        if self._frames is None:
            self._note_proxy()
            self._handshake.receive_end()
        elif not self._protocol.eof_sent:
            self._frames.receive_eof()
        self._finish_call(now)
        self.abort()

    def _finish_call(self, now: float) -> None:
        """End the call; the connection stays until the peer has closed its side."""
        self._take_waiting_audio()
        call, self._call = self._call, None
        if call is not None:
            end = self._closing.describe()
            if self.relay is not None:
                self.relay.end_call(end)
            self._note_undelivered(call.session.ledger, now)
            call.end_call(now, self._server.unix_clock(), end)
        self._linger(now)

    def _note_undelivered(self, ledger: GapLedger, now: float) -> None:
        """Record what has arrived and isn't taken any more."""
        unread = b""
        if (unobserved := self._schedule.catch_up(now)) and self._protocol.close_rcvd is None:
            ledger.add_unobserved(unobserved)
            for _ in range(READS_PER_VISIT):
                unread += self._next_read() or b""
        if self._frames is not None and (refused := self._frames.undelivered_audio(unread)):
            ledger.add_refused(refused)

    def _linger(self, now: float) -> None:
        # Closing while the peer still sends would reset the connection, and could destroy our answer on its way.
        self._deadline = now + self._settings.close_timeout
        self._server.note_without_call(self)
        self._read_in_batches(CHECK_INTERVAL)

    def abort(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._handshake.cancel()
        try:
            self._finish_call(self._loop.time())
        finally:
            self._schedule.read_in_batches()
            self._socket.close()
            self._server.forget_connection(self)
