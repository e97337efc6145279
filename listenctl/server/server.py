"""
The server: accepts connections from jambonz, makes calls of them, and owns everything they share.
Nothing on its event loop waits for a disk or a peer.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from listenctl.background_task import background_task, log_failure
from listenctl.errors import ListenctlError, UsageError
from listenctl.events import ConnectionRefusedEvent, Reporter, ServerStartedEvent, WarningEvent
from listenctl.media.dtmf_detector import MIN_DTMF_RATE, CallDtmfDetector
from listenctl.media.dtmf_mask import DtmfMask
from listenctl.net.listening_sockets import is_own_address, listen
from listenctl.net.nonblocking_socket import NonblockingSocket, TlsSocket, TlsStream
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.listen_session import CallStarted, ListenSession
from listenctl.protocol.privacy.hide_secrets import shown_subprotocols, shown_target
from listenctl.server.accept_connections import ConnectionAcceptor, refuse_accepted
from listenctl.server.access.client_addresses import NOT_ALLOWED, host_of
from listenctl.server.access.refusal_reports import RefusalReports
from listenctl.server.answered_requests import AnsweredRequests
from listenctl.server.calls.call_counts import CallCounts, OwnCounts
from listenctl.server.calls.live_call import LevelWatcher, LiveCall
from listenctl.server.calls.live_call_log import CallIds, LiveCallLog
from listenctl.server.control_api.control_socket import ControlSocket, taking_over, try_open
from listenctl.server.handshake_refusal import HandshakeRefusal
from listenctl.server.jambonz_connection import JambonzConnection
from listenctl.server.limits.call_admission import CallAdmission
from listenctl.server.limits.handshake_turn import HandshakeTurn
from listenctl.server.limits.resource_watch import ResourceWatch
from listenctl.server.operations.http_endpoints import AdminPort, HttpEndpoints
from listenctl.server.operations.metric_families import MetricFamily
from listenctl.server.operations.server_metrics import ServerMetrics
from listenctl.server.read_schedule import FIRST_READ, TimingWheel
from listenctl.server.recording.call_recorder import CallRecorder, CallRecording
from listenctl.server.server_totals import COUNTED_EVENTS, ServerTotals
from listenctl.server.settings import ServerSettings
from listenctl.server.shutdown import Shutdown

if TYPE_CHECKING:
    from websockets.asyncio.server import Server

    from listenctl.object_storage.upload_queue import UploadQueue
    from listenctl.server.control_api.attached_tools import AttachedTools
    from listenctl.server.dump.call_dumper import CallDump
    from listenctl.server.responders.call_responders import CallResponders, Responder
    from listenctl.server.workers.worker_context import WorkerContext

MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""What may wait for a jambonz that doesn't read, such as the longest of clips; beyond that it gets nothing more."""


class ListenServer:
    tasks: asyncio.TaskGroup  # of everything that the server does beside reading; there while ``run`` runs

    def __init__(
        self,
        settings: ServerSettings,
        reporter: Reporter,
        *,
        recorder: CallRecorder | None = None,
        stop_after: int | None = None,
        unix_clock: Callable[[], float] = time.time,
        worker: "WorkerContext | None" = None,
    ) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.reporter = reporter
        self.recorder = recorder  # records every call; None records none
        self.stop_after = stop_after  # calls to accept before the server ends; None accepts until ``shutdown.begin``
        self.unix_clock = unix_clock
        self.watchers: list[LevelWatcher] = []
        self.start_dump: Callable[[], CallDump] | None = None  # begins the dump of a call, if calls are dumped
        self.uploads: UploadQueue | None = None  # of recordings, if they go to object storage
        self.responders: list[Responder] = []  # handle every call, in this order
        self.live: list[LiveCall] = []  # the calls, oldest first, including those whose metadata hasn't come
        self.calls_total = 0
        self.calls_failed = 0
        self.repaired_metadata = 0  # calls whose metadata was broken
        self.gap_seconds = 0.0
        self.lost_audio = False
        self.port = settings.port
        self.shutdown = Shutdown(self)
        self.connections: dict[JambonzConnection, None] = {}
        self.call_responders: CallResponders | None = None
        self.answered_requests = AnsweredRequests()
        self.admission = CallAdmission(self)
        self.resources = ResourceWatch(self, None if recorder is None else recorder.folder)
        self._without_call: dict[JambonzConnection, None] = {}  # oldest first; so with those that were refused
        self._refused: dict[JambonzConnection, None] = {}
        self._worker = worker
        self.counts: CallCounts = OwnCounts() if worker is None else worker.counts
        self._ids = CallIds(self.counts)
        self._connection_of: dict[LiveCall, JambonzConnection] = {}
        self._loop = asyncio.get_running_loop()
        self._wheel = TimingWheel(self._loop, self._end_tick)
        self.handshake_turn = HandshakeTurn(self._loop)
        self.acceptor = ConnectionAcceptor(
            self._loop,
            self._open_connection,
            self._report_accept_failure,
            may_accept=self.counts.may_accept,
            has_time=self.handshake_turn.has_time,
        )
        handed = None if worker is None else worker.tools
        self.control = ControlSocket(settings.control, self, handed) if settings.control is not None else None
        self._refusals = RefusalReports(reporter, self._loop)
        self.totals = ServerTotals(recording=recorder is not None)
        reporter.add_counter(self.totals.take_event, COUNTED_EVENTS)
        self.metrics = ServerMetrics(self)
        self.endpoints = HttpEndpoints(self)
        self._admin = AdminPort(self.endpoints, [])

    @property
    def url(self) -> str:
        return self.settings.url(self.port)

    @property
    def has_calls(self) -> bool:
        return bool(self.live)

    @property
    def recording(self) -> bool:
        return self.recorder is not None

    def start(self, passed: Sequence[socket.socket] = ()) -> None:
        """
        Open the port and the control socket, which ``run`` serves; raises ListenctlError if one can't be used. Sockets
        that a service manager has ``passed`` on replace the port.
        """
        if self.settings.detect_dtmf or self.settings.mask_dtmf:
            # Its imports would delay the first call.
            CallDtmfDetector(AudioFormat(MIN_DTMF_RATE, 1), 0)
        settings = self.settings
        sockets = list(passed) or listen(settings.host, settings.port, shared=settings.reuse_port)
        admin: list[socket.socket] = []
        try:
            self._check_upstream(sockets)
            admin += listen(*settings.admin, shared=settings.reuse_port) if settings.admin is not None else []
            without_control = try_open(self.control, required=settings.control_required)
        except ListenctlError:
            for listening in (*sockets, *admin):
                listening.close()
            raise
        self._admin = AdminPort(self.endpoints, admin)
        self.port = sockets[0].getsockname()[1]
        self.acceptor.start(sockets)
        self.reporter.emit(self._describe())
        if settings.tls is not None and settings.tls.notice is not None:
            self.reporter.emit(settings.tls.notice)
        if without_control is not None:
            self.reporter.emit(without_control)

    async def run(self) -> None:
        """Take calls until the server ends: see ``stop_after`` and ``shutdown``."""
        watching = log_failure(self.resources.run, "the watch of disk and memory")
        async with (
            asyncio.TaskGroup() as self.tasks,
            self._admin.serving(),
            background_task(watching),
            taking_over(self.control, self.reporter, wanted=self.settings.reuse_port),
        ):
            await self.shutdown.wait()
        self._refusals.end_window()

    def make_way(self) -> None:
        """Leave ports that are shared to the server that replaces this one."""
        if self.settings.reuse_port:
            self._admin.stop_listening()

    def why_not_ready(self) -> str:
        """Return why a new call would be refused, empty if it would not."""
        if self.shutdown.draining or self.shutdown.begun:
            return "draining"
        refusal = self.admission.check_server()
        return "" if refusal is None else refusal.reason

    def count_calls(self) -> int:
        """Return the number of calls, with those that wait for the application: they have their files open, too."""
        upstream = self.settings.upstream
        return len(self.live) + (0 if upstream is None else upstream.unanswered)

    def _note_load(self) -> None:
        self.counts.note_load(len(self.connections), self.count_calls())

    def report_refusal(self, remote: str, target: str | None, refusal: HandshakeRefusal) -> None:
        shown = None if target is None else shown_target(target)
        event = ConnectionRefusedEvent(
            remote=remote, target=shown, status=refusal.status, reason=refusal.reason, limit=refusal.limit or None
        )
        self._refusals.report_refusal(event)

    def start_call(self, connection: JambonzConnection, session: ListenSession) -> LiveCall:
        call = LiveCall(self, session, self._loop.time())
        if self.start_dump is not None:
            call.dump = self.start_dump()
        self.live.append(call)
        self._connection_of[call] = connection
        self.admission.start_call(connection.remote, connection.user)
        self._without_call.pop(connection, None)
        self._note_load()
        return call

    def note_without_call(self, connection: JambonzConnection) -> None:
        """
        Bound the connections that are in their handshake or end: beyond that one is closed, the oldest that was refused
        or else the oldest of all. So a flood of wrong requests keeps no right one out that takes a while.
        """
        self._without_call[connection] = None
        if connection.was_refused:
            self._refused[connection] = None
        if len(self._without_call) > self.settings.max_without_call:
            next(iter(self._refused or self._without_call)).give_up_handshake()

    def forget_connection(self, connection: JambonzConnection) -> None:
        self.connections.pop(connection, None)
        self._without_call.pop(connection, None)
        self._refused.pop(connection, None)
        self._note_load()
        self.shutdown.check_connections()

    def start_log(self, call: LiveCall, started: CallStarted) -> LiveCallLog:
        self.calls_total += 1
        self.repaired_metadata += bool(started.metadata.repairs)
        connection = self._connection_of[call]
        return LiveCallLog(
            id=self._ids.claim_id(started.metadata.call_sid),
            remote=connection.remote,
            target=shown_target(connection.target or "/"),
            subprotocol=shown_subprotocols(connection.subprotocol, (self.settings.subprotocol,)),
            started_at=self.unix_clock() - (self._loop.time() - call.started_at),
            metadata=started.metadata,
            audio_format=started.audio_format,
            ledger=call.session.ledger,
            upstream=None if connection.relay is None else connection.relay.url,
            dtmf_masked=self.settings.mask_dtmf,
        )

    def start_recording(self, log: LiveCallLog) -> CallRecording | None:
        return None if self.recorder is None else self.recorder.start_recording(log, self.limits.max_recording)

    def start_dtmf_detector(self, log: LiveCallLog) -> CallDtmfDetector | None:
        """Return a detector of DTMF tones, if they are to be detected and the sample rate allows it."""
        if not self.settings.detect_dtmf:
            return None
        rate = log.audio_format.sample_rate
        if rate < MIN_DTMF_RATE:
            detail = f"DTMF tones can't be detected at {rate} Hz; {MIN_DTMF_RATE} Hz is the minimum"
            event = WarningEvent(rule="dtmf-undetectable", detail=detail)
            self.reporter.emit(event, **log.identity)
            return None
        return CallDtmfDetector(log.audio_format, log.samples)

    def start_dtmf_mask(self, log: LiveCallLog) -> DtmfMask | None:
        """Return what silences DTMF tones, if they are to be masked and the sample rate can have any."""
        return DtmfMask.of_format(log.audio_format) if log.dtmf_masked else None

    def start_responders(self, call: LiveCall, log: LiveCallLog) -> None:
        tools = self.tools_of(call) if self.responders else None
        if tools is None:
            return
        from listenctl.server.responders.call_responders import CallResponders

        self.call_responders = self.call_responders or CallResponders(self.reporter, self.tasks)
        control = None if self.control is None else self.control.open_path
        self.call_responders.start_call(self.responders, log, tools, control=control)

    def forget_call(self, call: LiveCall) -> None:
        """Remove a call that has ended, and count how it went."""
        self.live.remove(call)
        connection = self._connection_of.pop(call)
        self.admission.end_call(connection.remote, connection.user)
        self._note_load()
        if call.log is not None:
            self.gap_seconds += call.log.gap_seconds
            self.lost_audio |= call.log.ledger.lost_samples > 0
            self.calls_failed += call.log.ending is not None and call.log.ending.closed_by == "nobody"
        if self.has_taken_all() and not self.live:
            self.shutdown.begin()

    def tools_of(self, call: LiveCall) -> "AttachedTools | None":
        from listenctl.server.control_api.attached_tools import AttachedTools

        if call not in self._connection_of:
            return None
        if call.tools is None:
            connection, server_rate = self._connection_of[call], self.settings.stream_rate
            call.tools = (
                AttachedTools(
                    connection, clock=self._loop.time, server_rate=server_rate, masks_dtmf=self.settings.mask_dtmf
                )
                if connection.relay is None
                else connection.relay.make_tools(server_rate, masks_dtmf=self.settings.mask_dtmf)
            )
        return call.tools

    def has_taken_all(self, *, with_beginning: bool = False) -> bool:
        """Return whether no more calls are to be taken; ``with_beginning`` counts connections that may become calls."""
        if self.stop_after is None:
            return False
        beginning = sum(call.log is None for call in self.live) if with_beginning else 0
        return self.calls_total + beginning >= self.stop_after

    async def collect_metrics(self) -> Sequence[MetricFamily]:
        """Return the metrics of the server, those of all workers if it is one of them."""
        return await (self.metrics.collect() if self._worker is None else self._worker.collect_metrics())

    async def serve_tools(self, listening: socket.socket, name: str) -> "Server":
        from listenctl.server.control_api.control_server import ControlServer, serve_control

        return await serve_control(listening, ControlServer(self, name).route_request)

    def _check_upstream(self, sockets: list[socket.socket]) -> None:
        upstream = self.settings.upstream
        place = None if upstream is None else upstream.host_and_port
        if upstream is not None and place is not None and is_own_address(sockets, *place):
            raise UsageError(f"{upstream.url}: --upstream leads back to this server; give the URL of the application")

    def _open_connection(self, accepted: socket.socket, remote: str) -> None:
        limit, addresses, tls = MAX_UNSENT_BYTES, self.settings.addresses, self.settings.tls
        if addresses.refuses_peer(host_of(remote)):
            refuse_accepted(accepted, NOT_ALLOWED, tls=tls is not None)
            self.report_refusal(remote, None, NOT_ALLOWED)
            return
        check = addresses.check_proxy_header if addresses.sends_proxy_header(host_of(remote)) else None
        connected = (
            NonblockingSocket(accepted, self._loop, max_unsent=limit, check_proxy=check)
            if tls is None
            else TlsSocket(accepted, self._loop, TlsStream(tls.context), max_unsent=limit, check_proxy=check)
        )
        connection = JambonzConnection(connected, remote, self, self._loop)
        self.connections[connection] = None
        self._note_load()
        self.note_without_call(connection)
        self._wheel.add_visit(connection.visit, FIRST_READ)
        connection.open()

    def _report_accept_failure(self, detail: str) -> None:
        self.reporter.emit(WarningEvent(rule="accept-failed", detail=detail))

    def _end_tick(self, due: float, began: float) -> None:
        now = self._loop.time()
        if self.recorder is not None:
            self.recorder.flush(now)
        self.metrics.tick_lateness.add(began - due)
        self.metrics.tick_durations.add(self._loop.time() - began)

    def _describe(self) -> ServerStartedEvent:
        return self.settings.describe_start(
            self.port,
            max_calls=self.limits.max_calls,
            recording=self.recording,
            control=None if self.control is None else self.control.open_path,
            admin=self._admin.address,
        )
