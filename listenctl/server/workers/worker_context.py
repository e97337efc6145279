"""What a worker has of its parent: the sockets, the shared counts, and the link for orders, events and questions."""

import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from listenctl.background_task import log_failure
from listenctl.events import CallIdentity, EventFields, ServerEndedEvent, ServerStartedEvent
from listenctl.server.control_api.list_live_calls import list_live_calls
from listenctl.server.limits.server_limits import ServerLimits
from listenctl.server.operations.metric_families import MetricFamily
from listenctl.server.workers.handed_tools import HandedTools
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
from listenctl.server.workers.shared_counts import SharedCounts
from listenctl.server.workers.worker_link import WorkerLink, receive_message

if TYPE_CHECKING:
    from listenctl.media.files.wav_recording import Recording
    from listenctl.server.calls.live_call_log import LiveCallLog
    from listenctl.server.server import ListenServer

_OF_PARENT = (ServerStartedEvent.event, ServerEndedEvent.event)
"""Events that the parent reports for all workers."""


class WorkerContext:
    def __init__(self, descriptor: int) -> None:
        """Wait for the first message of the parent; raises EOFError if the parent is gone."""
        self._connection = _own_socket(descriptor)
        start = receive_message(self._connection)
        assert isinstance(start, WorkerStart)
        self.options = start.options
        self.counts = SharedCounts(start.counts, start.workers, start.number)
        self.listening = [_own_socket(one) for one in start.listening]
        self.tools = HandedTools(fileno=start.tools)
        self.tools.setblocking(False)
        for fd in (start.counts, start.tools):
            os.set_inheritable(fd, False)
        self._link: WorkerLink | None = None
        self._questions = LinkQuestions()

    async def open_link(
        self, server: "ListenServer", obey: Callable[[Order], None], on_end: Callable[[], None]
    ) -> None:
        """Take orders and questions; ``on_end`` is called if the parent dies."""

        def take(message: LinkMessage) -> None:
            match message:
                case Order():
                    obey(message)
                case ServerLimits():
                    server.limits = message
                case LinkQuestion(number, Topic.CALLS):
                    self._send(CallsAnswer(number, list_live_calls(server)))
                case LinkQuestion(number):
                    server.tasks.create_task(log_failure(partial(self._send_metrics, number, server), "metrics"))
                case MetricsAnswer():
                    self._questions.take_answer(message)
                case _:
                    raise TypeError(message)

        self._link = await WorkerLink.open(self._connection, take, on_end)

    def report_ready(self) -> None:
        self._send(WorkerReady())

    def report_event(self, event: EventFields, at: float | None, about: CallIdentity) -> None:
        if event.event not in _OF_PARENT:
            self._send(WorkerEvent(event, at, about))

    def report_recording(self, log: "LiveCallLog", recording: "Recording") -> None:
        self._send(RecordingOpened(log.id, list(map(str, recording.paths)), str(recording.sidecar_path)))

    async def collect_metrics(self) -> Sequence[MetricFamily]:
        """Return the metrics of all workers, as the parent knows them; none if it doesn't answer."""
        answer = None if self._link is None else await self._questions.ask(self._link, Topic.METRICS)
        return answer.metrics if isinstance(answer, MetricsAnswer) else ()

    async def _send_metrics(self, number: int, server: "ListenServer") -> None:
        self._send(MetricsAnswer(number, await server.metrics.collect()))

    async def close_link(self) -> None:
        if self._link is not None:
            await self._link.close()

    def _send(self, message: LinkMessage) -> None:
        if self._link is not None:
            self._link.send(message)


def _own_socket(descriptor: int) -> socket.socket:
    """Return a socket that the parent has passed on, which child processes don't get."""
    passed = socket.socket(fileno=descriptor)
    passed.set_inheritable(False)
    return passed
