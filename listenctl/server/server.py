"""
The server: takes connections, makes calls of them, and ends in order.

Everything runs on one event loop: connections are read by the wheel, their audio is handed to the recorder after each
batch, and nothing on the loop waits for a disk or a peer.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

from listenctl.errors import ListenctlError, UsageError
from listenctl.events import ConnectionRefusedEvent, Reporter, ServerStartedEvent, WarningEvent
from listenctl.media.dtmf_detector import MIN_DTMF_RATE, CallDtmfDetector
from listenctl.net.listening_sockets import is_own_address, listen
from listenctl.net.nonblocking_socket import NonblockingSocket, TlsSocket, TlsStream
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.listen_session import CallStarted, ListenSession
from listenctl.server.acceptor import Acceptor
from listenctl.server.calls.live_call import LevelWatcher, LiveCall, Tap
from listenctl.server.calls.live_call_log import CallIds, LiveCallLog
from listenctl.server.control_api.control_socket import ControlSocket
from listenctl.server.jambonz_connection import JambonzConnection
from listenctl.server.read_schedule import FIRST_READ, TimingWheel
from listenctl.server.recording.call_recorder import CallRecorder, CallRecording
from listenctl.server.server_handshake import HandshakeRefusal
from listenctl.server.settings import ServerSettings

if TYPE_CHECKING:
    from listenctl.server.control_api.attached_tools import AttachedTools
    from listenctl.server.responders.call_responders import CallResponders, Responder

logger = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT = 5.0
MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""What may wait for a jambonz that doesn't read, such as the longest of clips; beyond that it gets nothing more."""


class ListenServer:
    """
    Receive calls of jambonz.

    Args:
        recorder: records every call; None records none.
        stop_after: calls to take before it ends by itself; None goes on until ``stop``.
    """

    def __init__(
        self,
        settings: ServerSettings,
        reporter: Reporter,
        *,
        recorder: CallRecorder | None = None,
        stop_after: int | None = None,
    ) -> None:
        self.settings = settings
        self.reporter = reporter
        self.recorder = recorder
        self.watchers: list[LevelWatcher] = []
        self.new_tap: Callable[[], Tap] | None = None
        self.responders: list[Responder] = []
        self.live: list[LiveCall] = []
        self.calls_total = 0
        self.calls_failed = 0
        self.gap_seconds = 0.0
        self.lost_audio = False
        self.was_cut_short = False
        """Whether it was stopped before it had taken all the calls that it was to take, to their end."""
        self.port = settings.port
        self._stop_after = stop_after
        self._ids = CallIds()
        self._connections: dict[JambonzConnection, None] = {}
        self._details: dict[LiveCall, JambonzConnection] = {}
        self._loop = asyncio.get_running_loop()
        self._wheel = TimingWheel(self._loop, self._after_tick)
        self._acceptor = Acceptor(self._loop, self._open, self._note_accept_failure)
        self._control = ControlSocket(settings.control, self) if settings.control is not None else None
        self._call_responders: CallResponders | None = None
        self._stopping = False
        self._ended = asyncio.Event()

    @property
    def url(self) -> str:
        """What goes into the `listen` verb."""
        host = self.settings.host
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        host = f"[{host}]" if ":" in host else host
        return f"{'wss' if self.settings.tls else 'ws'}://{host}:{self.port}{self.settings.path or '/'}"

    def start(self) -> None:
        """
        Open the port and the control socket.

        Raises:
            ListenctlError: the address can't be used, or the control socket, if that is required.
        """
        if self.settings.detect_dtmf:
            # What that imports would hold up the first call.
            CallDtmfDetector(AudioFormat(MIN_DTMF_RATE, 1), 0)
        sockets = listen(self.settings.host, self.settings.port)
        try:
            self._check_application(sockets)
            without_control = self._open_control()
        except ListenctlError:
            for listening in sockets:
                listening.close()
            raise
        self.port = sockets[0].getsockname()[1]
        self._acceptor.start(sockets)
        self.reporter.emit(self._describe())
        if without_control:
            self.reporter.emit(WarningEvent(rule="no-control", detail=without_control))

    def _check_application(self, sockets: list[socket.socket]) -> None:
        application = self.settings.application
        if application is not None and is_own_address(sockets, *application.place):
            raise UsageError(
                f"{application.url}: --upstream leads back to this server; give the URL of the application"
            )

    def _open_control(self) -> str:
        """Open the control socket; return why there is none, where the server can do without."""
        try:
            if self._control is not None:
                self._control.open()
        except ListenctlError as exc:
            if self.settings.control_required:
                raise
            # Calls matter more than being found.
            self._control = None
            return f"other commands can't find this server: {exc}"
        return ""

    async def wait(self) -> None:
        """Wait until all calls that it was to take have ended, or ``stop`` has ended them."""
        await self._ended.wait()
        if self._call_responders is not None:
            await self._call_responders.finish()
        if self.settings.application is not None:
            await self.settings.application.wait_closed()
        if self.recorder is not None:
            await self.recorder.finish()
        if self._control is not None:
            await self._control.close()

    def drain(self) -> None:
        """Refuse new calls and end when the live ones have ended."""
        self._stop_after = self.calls_total
        if not self.live:
            self.stop()

    def stop(self) -> None:
        """Refuse new calls, close the live ones with 1001, and end when they have ended."""
        if self._stopping:
            return
        self._stopping = True
        self._acceptor.close()
        self.was_cut_short = self._stop_after is not None and (bool(self.live) or not self._taken_all())
        if self.live:
            detail = (
                f"stopping: {len(self.live)} live calls are closed and their recordings finished; a second signal ends "
                "at once. A listen that ends can end its call, where it was the last verb"
            )
            self.reporter.emit(WarningEvent(rule="calls-cut", detail=detail, calls=len(self.live)))
        for connection in list(self._connections):
            connection.close(1001, "server is stopping")
        self._loop.call_later(SHUTDOWN_TIMEOUT, self._abort)
        self._end_if_done()

    # What connections ask.

    def admit(self, target: str) -> HandshakeRefusal | None:
        """Say why a request for ``target`` can't become a call now."""
        path = unquote(target.partition("?")[0])
        if self.settings.path is not None and path != self.settings.path:
            return HandshakeRefusal(HTTPStatus.NOT_FOUND, f"calls go to {self.settings.path}, not to {path}")
        if self._stopping or self._taken_all(with_beginning=True):
            return HandshakeRefusal(HTTPStatus.SERVICE_UNAVAILABLE, "this server takes no more calls")
        application = self.settings.application
        # Those that still wait for the application have their files open, too.
        calls = len(self.live) + (0 if application is None else application.asking)
        if calls >= self.settings.max_calls:
            return HandshakeRefusal(
                HTTPStatus.SERVICE_UNAVAILABLE, f"there are {calls} live calls, and no more are allowed"
            )
        return None

    def note_refusal(self, remote: str, target: str | None, refusal: HandshakeRefusal) -> None:
        """Report a handshake that failed."""
        self.reporter.emit(
            ConnectionRefusedEvent(remote=remote, target=target, status=refusal.status, reason=refusal.reason)
        )

    def open_call(self, connection: JambonzConnection, session: ListenSession) -> LiveCall:
        """Make a handshake a call."""
        call = LiveCall(self, session, self._loop.time())
        if self.new_tap is not None:
            call.tap = self.new_tap()
        self.live.append(call)
        self._details[call] = connection
        return call

    def forget(self, connection: JambonzConnection) -> None:
        """Take notice that a connection has ended."""
        self._connections.pop(connection, None)
        self._end_if_done()

    # What live calls ask.

    def start_log(self, call: LiveCall, started: CallStarted) -> LiveCallLog:
        """Give a call its id and its log."""
        self.calls_total += 1
        connection = self._details[call]
        return LiveCallLog(
            id=self._ids.claim(started.metadata.call_sid),
            remote=connection.remote,
            target=connection.target or "/",
            subprotocol=connection.subprotocol,
            started_at=time.time() - (self._loop.time() - call.started_at),
            metadata=started.metadata,
            audio_format=started.audio_format,
            ledger=call.session.ledger,
            upstream=None if connection.relay is None else connection.relay.url,
        )

    def start_recording(self, log: LiveCallLog) -> CallRecording | None:
        """Begin to record a call, if calls are recorded."""
        return None if self.recorder is None else self.recorder.start(log)

    def start_listening(self, log: LiveCallLog) -> CallDtmfDetector | None:
        """Begin to listen for keys in a call, if that is wanted and its rate allows it."""
        if not self.settings.detect_dtmf:
            return None
        rate = log.audio_format.sample_rate
        if rate < MIN_DTMF_RATE:
            detail = f"keys can't be heard in a call at {rate} Hz; {MIN_DTMF_RATE} Hz is the least"
            warning = WarningEvent(rule="dtmf-undetectable", detail=detail)
            self.reporter.emit(warning, call=log.id, call_sid=log.metadata.call_sid)
            return None
        return CallDtmfDetector(log.audio_format, log.samples)

    def start_responders(self, call: LiveCall, log: LiveCallLog) -> None:
        """Have the responders see to a call."""
        attachments = self.attachments(call) if self.responders else None
        if attachments is None:
            return
        from listenctl.server.responders.call_responders import CallResponders

        self._call_responders = self._call_responders or CallResponders(self.reporter)
        control = None if self._control is None else self._control.path
        self._call_responders.begin(self.responders, log, attachments, control=control)

    def note_ended(self, call: LiveCall) -> None:
        """Take notice that a call is over."""
        self.live.remove(call)
        del self._details[call]
        if call.log is not None:
            self.gap_seconds += call.log.gap_seconds
            self.lost_audio |= call.log.lost_samples > 0
            self.calls_failed += call.log.ending is not None and call.log.ending.closed_by == "nobody"
        if self._taken_all() and not self.live:
            self.stop()

    # What the control socket asks.

    def attachments(self, call: LiveCall) -> "AttachedTools | None":
        """Return the tools of a call and the way to become one; None when it has ended."""
        from listenctl.server.control_api.attached_tools import AttachedTools

        if call not in self._details:
            return None
        if call.attachments is None:
            connection, server_rate = self._details[call], self.settings.stream_rate
            call.attachments = (
                AttachedTools(connection, server_rate=server_rate)
                if connection.relay is None
                else connection.relay.new_attachments(server_rate)
            )
        return call.attachments

    # Inside.

    def _taken_all(self, *, with_beginning: bool = False) -> bool:
        """Tell whether no more calls are to be taken; a connection that ends before it is a call doesn't count."""
        beginning = sum(call.log is None for call in self.live) if with_beginning else 0
        return self._stop_after is not None and self.calls_total + beginning >= self._stop_after

    def _note_accept_failure(self, detail: str) -> None:
        self.reporter.emit(WarningEvent(rule="accept-failed", detail=detail))

    def _open(self, accepted: socket.socket, remote: str) -> None:
        if self.settings.tls is None:
            link = NonblockingSocket(accepted, self._loop, max_unsent=MAX_UNSENT_BYTES)
        else:
            link = TlsSocket(accepted, self._loop, TlsStream(self.settings.tls), max_unsent=MAX_UNSENT_BYTES)
        connection = JambonzConnection(link, remote, self, self._loop)
        self._connections[connection] = None
        self._wheel.add(connection, FIRST_READ)
        connection.open()

    def _after_tick(self, now: float) -> None:
        if self.recorder is not None:
            self.recorder.flush(now)

    def _abort(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    def _end_if_done(self) -> None:
        if self._stopping and not self._connections:
            self._ended.set()

    def _describe(self) -> ServerStartedEvent:
        settings = self.settings
        return ServerStartedEvent(
            url=self.url,
            host=settings.host,
            port=self.port,
            path=settings.path,
            tls=settings.tls is not None,
            auth=not settings.access.is_open,
            max_calls=settings.max_calls,
            recording=self.recorder is not None,
            upstream=None if settings.application is None else settings.application.url,
            control=None if self._control is None else str(self._control.path),
        )
