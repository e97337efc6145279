"""
The parent of a server's workers: it opens the port, starts the workers and replaces those that die, and is the one
server that users, tools and the service manager see. It touches no audio.

All workers accept from one listening socket, each as long as no other has clearly fewer connections
(`shared_counts`): of 200 connections, in a row or at once, two got 101 and 99. Without these turns it was 96 and 104
at best and 9 and 191 at worst. With a socket of its own for each (SO_REUSEPORT), the kernel balances as well as
chance does, but what it deals out to a dead worker waits for the next one: half of the connections that were opened
while that started. Also, a service manager passes on one socket.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.background_task import log_failure
from listenctl.call_listing import ListedCall
from listenctl.errors import ExitStatus, ListenctlError
from listenctl.events import (
    CallEndedEvent,
    CallIdentity,
    DumpFailedEvent,
    DumpSavedEvent,
    EventFields,
    ExecEndedEvent,
    RecordingFailedEvent,
    RecordingSavedEvent,
    Reporter,
    ServerStartedEvent,
    WarningEvent,
)
from listenctl.net.listening_sockets import listen
from listenctl.server.control_api.control_socket import taking_over, try_open
from listenctl.server.limits.call_admission import describe_full
from listenctl.server.limits.server_limits import ServerLimits
from listenctl.server.operations.http_endpoints import AdminPort, HttpEndpoints
from listenctl.server.operations.metric_families import MetricFamily
from listenctl.server.server_totals import COUNTED_EVENTS, ServerTotals
from listenctl.server.settings import ServerSettings
from listenctl.server.shutdown import describe_cut_calls, describe_draining
from listenctl.server.workers.dead_worker import end_call_of_dead_worker
from listenctl.server.workers.link_messages import (
    CallsAnswer,
    LinkMessage,
    LinkQuestion,
    MetricsAnswer,
    Order,
    RecordingOpened,
    Topic,
    WorkerEvent,
    WorkerReady,
    WorkerStart,
)
from listenctl.server.workers.link_questions import LinkQuestions
from listenctl.server.workers.pool_calls import PoolCall, PoolCalls
from listenctl.server.workers.pool_control import PoolControl, serve_pool_tools
from listenctl.server.workers.pool_metrics import ASK_EVERY, PoolMetrics
from listenctl.server.workers.shared_counts import SharedCounts
from listenctl.server.workers.worker_process import WorkerProcess, describe_status

if TYPE_CHECKING:
    from websockets.asyncio.server import Server

MAX_FAILED_STARTS = 5
"""Starts of a worker, one after the other, that fail before the server gives up."""
LASTING = 10.0
"""Seconds after which a worker that dies has worked, and is replaced at once."""
PAUSES = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds before a worker is started again that didn't last, once, twice and so on."""

_NO_WORKER = -1
_SAID_FOR_ALL = frozenset(("calls-cut", "draining", "reloaded", "self-signed"))
"""Warnings of a worker that the parent reports for all of them."""
_LOSSES = frozenset(
    kind.event
    for kind in (
        CallEndedEvent,
        DumpFailedEvent,
        DumpSavedEvent,
        ExecEndedEvent,
        RecordingFailedEvent,
        RecordingSavedEvent,
    )
)


class WorkerPool:
    tasks: asyncio.TaskGroup  # there while ``run`` runs

    def __init__(
        self,
        settings: ServerSettings,
        reporter: Reporter,
        *,
        workers: int,
        options: object,
        module: str,
        recording: bool,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.reporter = reporter
        self.recording = recording
        self.port = settings.port
        self.calls = PoolCalls(recording=recording)
        self.lost_audio = False
        self.totals = ServerTotals(recording=recording)
        reporter.add_counter(self.totals.take_event, COUNTED_EVENTS)
        reporter.add_counter(self._note_loss, _LOSSES)
        self.metrics = PoolMetrics(self)
        self.shutdown = PoolShutdown(self)
        self.control = PoolControl(settings.control, self) if settings.control is not None else None
        self.counts = SharedCounts.create(workers)
        self.on_ready: Callable[[], None] = lambda: None  # called when all workers accept calls
        self._unix_clock = unix_clock
        self._options = options
        self._module = module  # whose ``run_worker_process`` is a worker
        self._workers: list[WorkerProcess | None] = [None] * workers
        self._listening: list[socket.socket] = []
        self._questions = LinkQuestions()
        self._all_ready = asyncio.Event()
        self._failure: ListenctlError | None = None
        self._without_control: WarningEvent | None = None
        self.deliver: Callable[[RecordingSavedEvent, CallIdentity], None] | None = None
        """Gets the recordings of dead workers, and reports them later; None to report them at once."""
        self._admin = AdminPort(HttpEndpoints(self), [])

    @property
    def url(self) -> str:
        return self.settings.url(self.port)

    @property
    def live(self) -> Sequence[PoolCall]:
        return self.calls.live

    @property
    def has_calls(self) -> bool:
        """Whether there are live calls, those included that have just begun."""
        return self.counts.calls > 0

    @property
    def calls_total(self) -> int:
        return self.calls.total

    def start(self, passed: Sequence[socket.socket] = ()) -> None:
        """Open the port, or take the sockets that a service manager has passed on; raises ListenctlError."""
        settings = self.settings
        self._listening = list(passed) or listen(settings.host, settings.port, shared=settings.reuse_port)
        self.port = self._listening[0].getsockname()[1]
        admin = listen(*settings.admin, shared=settings.reuse_port) if settings.admin is not None else []
        self._admin = AdminPort(HttpEndpoints(self), admin)
        self._without_control = try_open(self.control, required=settings.control_required)

    async def run(self) -> None:
        """Keep the workers until the server ends; raises ListenctlError if a worker can't be started."""
        async with (
            asyncio.TaskGroup() as self.tasks,
            self._admin.serving(),
            taking_over(self.control, self.reporter, wanted=self.settings.reuse_port),
        ):
            beside = [self.tasks.create_task(self._announce()), self.tasks.create_task(self._ask_metrics())]
            async with asyncio.TaskGroup() as keepers:
                for number in range(len(self._workers)):
                    keepers.create_task(self._keep_worker(number))
            for task in beside:
                task.cancel()
            if self.control is not None:
                await self.control.close()
        if self._failure is not None:
            raise self._failure

    def make_way(self) -> None:
        """Leave ports that are shared to the server that replaces this one."""
        if self.settings.reuse_port:
            self._admin.stop_listening()

    async def _announce(self) -> None:
        await self._all_ready.wait()
        self.reporter.emit(self._describe())
        if self.settings.tls is not None and self.settings.tls.notice is not None:
            self.reporter.emit(self.settings.tls.notice)
        if self._without_control is not None:
            self.reporter.emit(self._without_control)
        self.on_ready()

    def give_order(self, order: Order) -> None:
        for worker in self._workers:
            if worker is not None:
                worker.link.send(order)

    def close_port(self) -> None:
        """Accept nothing any more; the workers have the sockets, too, and have been told."""
        for listening in self._listening:
            listening.close()

    def reload_certificate(self) -> None:
        self.give_order(Order.RELOAD)

    def change_limits(self, limits: ServerLimits) -> None:
        self.limits = limits
        for worker in self._workers:
            if worker is not None:
                worker.link.send(limits)

    def hand_over(self, connection: socket.socket, call: PoolCall) -> bool:
        """Hand a tool to the worker that has the call; return whether that was possible."""
        worker = self._workers[call.worker]
        return worker is not None and worker.hand_over(connection, call.id)

    async def list_calls(self) -> list[ListedCall]:
        """Return the live calls of all workers that answer, oldest first."""
        answers = await self._ask_all(Topic.CALLS)
        calls = [call for answer in answers if isinstance(answer, CallsAnswer) for call in answer.calls]
        return sorted(calls, key=lambda call: call.started or 0.0)

    async def serve_tools(self, listening: socket.socket, name: str) -> "Server":
        return await serve_pool_tools(listening, self, name)

    def why_not_ready(self) -> str:
        """Return why a new call would be refused, empty if it would not."""
        if self.shutdown.ends:
            return "draining"
        if not any(worker is not None and worker.was_ready for worker in self._workers):
            return "no process accepts calls"
        calls = self.counts.calls
        return "" if calls < self.limits.max_calls else describe_full(calls)

    async def collect_metrics(self) -> Sequence[MetricFamily]:
        """Return the metrics of the server, with what each worker says now."""
        await self._ask_all(Topic.METRICS)
        return self.metrics.collect()

    async def _ask_metrics(self) -> None:
        while True:
            await asyncio.sleep(ASK_EVERY)
            await self._ask_all(Topic.METRICS)

    async def _ask_all(self, topic: Topic) -> Sequence[CallsAnswer | MetricsAnswer | None]:
        asked = [worker.link for worker in self._workers if worker is not None and worker.was_ready]
        return await asyncio.gather(*(self._questions.ask(link, topic) for link in asked))

    async def _keep_worker(self, number: int) -> None:
        """Run a worker, and another one when it dies, until the server ends."""
        failed_starts = short_lives = 0
        while (worker := await self._start_worker(number)) is not None:
            self._workers[number] = worker
            worker.link.send(self.limits)
            if self.shutdown.order is not None:
                worker.link.send(self.shutdown.order)
            status = await worker.wait_ended()
            self._workers[number] = None
            self.counts.clear_worker(number)
            self.metrics.note_death(number)
            failed_starts = 0 if worker.was_ready else failed_starts + 1
            if failed_starts == MAX_FAILED_STARTS or (failed_starts and not self._all_ready.is_set()):
                self._fail(number, f"it {describe_status(status)}", status)
            self._take_end(worker, status)
            short_lives = 0 if worker.age >= LASTING else short_lives + 1
            await self.shutdown.wait_for_begin(PAUSES[min(short_lives, len(PAUSES) - 1)])

    async def _start_worker(self, number: int) -> WorkerProcess | None:
        """Start a worker, as soon as the machine has what that takes; return None if the server ends before."""
        has_failed = False
        while not self.shutdown.ends:
            try:
                return await WorkerProcess.start(self._start_of(number), self._module, self._take)
            except OSError as exc:
                reason = exc.strerror or str(exc)
            if not self._all_ready.is_set():
                self._fail(number, reason)
            elif not has_failed:
                has_failed = True
                detail = f"worker {number + 1} can't be started: {reason}; this is tried again"
                self.reporter.emit(WarningEvent(rule="worker-missing", detail=detail))
            await self.shutdown.wait_for_begin(PAUSES[-1])
        return None

    def _take_end(self, worker: WorkerProcess, status: int) -> None:
        """Report what a worker leaves that has ended, in order or not."""
        self.lost_audio |= status == ExitStatus.CHECK_FAILED
        calls = self.calls.of_worker(worker.number)
        if calls or status < 0 or not self.shutdown.ends:
            after = "" if self.shutdown.ends else "; another one takes its place"
            detail = f"worker {worker.number + 1} (process {worker.pid}) {describe_status(status)}{after}"
            self.reporter.emit(WarningEvent(rule="worker-died", detail=detail, calls=len(calls)))
        for call in calls:
            ending = partial(end_call_of_dead_worker, call, self._report_for, self._unix_clock, describe_status(status))
            self.tasks.create_task(log_failure(ending, "ending a call of a dead worker"))

    def _start_of(self, number: int) -> WorkerStart:
        return WorkerStart(
            number=number,
            workers=len(self._workers),
            options=self._options,
            listening=[listening.fileno() for listening in self._listening],
            counts=self.counts.fd,
            tools=-1,
        )

    def _take(self, worker: WorkerProcess, message: LinkMessage) -> None:
        match message:
            case WorkerEvent():
                self._take_event(worker.number, message)
            case WorkerReady():
                if all(one is not None and one.was_ready for one in self._workers):
                    self._all_ready.set()
            case RecordingOpened(call, files, sidecar):
                if (found := self.calls.find_call(call)) is not None:
                    found.files, found.sidecar = [Path(file) for file in files], Path(sidecar)
            case CallsAnswer() | MetricsAnswer():
                if isinstance(message, MetricsAnswer):
                    self.metrics.note_metrics(worker.number, message.metrics)
                self._questions.take_answer(message)
            case LinkQuestion(number, Topic.METRICS):
                answering = partial(self._answer_metrics, worker, number)
                self.tasks.create_task(log_failure(answering, "metrics"))
            case _:
                raise TypeError(message)

    def _take_event(self, worker: int, message: WorkerEvent) -> None:
        event, at, about = message.event, message.at, message.about
        if at is None:
            self.reporter.count(event, about.get("call"))
        elif not (isinstance(event, WarningEvent) and event.rule in _SAID_FOR_ALL):
            self._report(event, at, about, worker)

    async def _answer_metrics(self, worker: WorkerProcess, number: int) -> None:
        worker.link.send(MetricsAnswer(number, await self.collect_metrics()))

    def _fail(self, number: int, reason: str, status: int = 0) -> None:
        self._failure = WorkerFailedError(f"worker {number + 1} can't start: {reason}")
        self._failure.exit_status = status if status > 0 else ExitStatus.FAILED
        self.shutdown.stop()

    def report_upload(self, event: EventFields, about: CallIdentity) -> None:
        """Report how the upload of a recording has ended whose worker is dead."""
        self._report(event, self._unix_clock(), about, _NO_WORKER)

    def _report_for(self, call: PoolCall, event: EventFields) -> None:
        """Report an event of a call whose worker is dead."""
        if isinstance(event, RecordingSavedEvent) and self.deliver is not None:
            self.deliver(event, call.about)
            return
        self._report(event, self._unix_clock(), call.about, call.worker)

    def _report(self, event: EventFields, at: float, about: CallIdentity, worker: int) -> None:
        self.calls.take_event(event, at, about, worker=worker)
        self.reporter.pass_on(event, at, about)

    def _note_loss(self, event: EventFields, call: str | None) -> None:  # noqa: ARG002 - whatever call it was
        match event:
            case CallEndedEvent():
                self.lost_audio |= event.lost_samples > 0
            case RecordingSavedEvent():
                self.lost_audio |= not event.complete
            case ExecEndedEvent():
                self.lost_audio |= event.dropped_samples > 0
            case DumpSavedEvent():
                self.lost_audio |= event.lost_frames > 0
            case _:
                self.lost_audio = True

    def _describe(self) -> ServerStartedEvent:
        return self.settings.describe_start(
            self.port,
            max_calls=self.limits.max_calls,
            recording=self.recording,
            control=None if self.control is None else self.control.open_path,
            admin=self._admin.address,
        )


class WorkerFailedError(ListenctlError):
    """A worker ends as soon as it is started."""


class PoolShutdown:
    """How a server with workers ends: as one without, in each worker."""

    was_cut_short = False  # as there is no number of calls after which it ends

    def __init__(self, pool: WorkerPool) -> None:
        self.begun = False
        self.draining = False
        self.order: Order | None = None  # what the workers were told last
        self._pool = pool
        self._began = asyncio.Event()

    @property
    def ends(self) -> bool:
        """Whether no dead worker is replaced any more."""
        return self.order is not None

    def begin(self) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the live calls, and finish their recordings."""
        if not self.begun:
            self.begun = True
            if calls := len(self._pool.live):
                self._warn("calls-cut", describe_cut_calls(calls), calls)
            self._tell(Order.STOP)

    def drain(self, timeout: float) -> None:
        """Accept no new connections, and end with the live calls, or after ``timeout`` seconds."""
        if self.begun or self.draining:
            return
        self.draining = True
        if calls := len(self._pool.live):
            self._warn("draining", describe_draining(timeout), calls)
        self._pool.make_way()
        self._tell(Order.DRAIN)

    def begin_after_calls(self) -> None:
        """Accept no new calls, and end when the live ones have ended."""
        self._tell(Order.STOP_AFTER_CALLS)

    def leave(self) -> None:
        """End the workers at once, because this process is about to exit."""
        self._pool.give_order(Order.LEAVE)

    async def wait_for_begin(self, seconds: float) -> None:
        """Wait until the end begins, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._began.wait()

    def _tell(self, order: Order) -> None:
        self.order = order
        self._pool.give_order(order)
        self._pool.close_port()
        self._began.set()

    def _warn(self, rule: str, detail: str, calls: int) -> None:
        self._pool.reporter.emit(WarningEvent(rule=rule, detail=detail, calls=calls))
