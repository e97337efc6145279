"""The hooks of a server: each event that they want goes to every target, and never holds up a call."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from listenctl.background_task import background_task
from listenctl.events import (
    CallEndedEvent,
    CallStartedEvent,
    DtmfEvent,
    RecordingFailedEvent,
    RecordingSavedEvent,
    Reporter,
    WarningEvent,
)
from listenctl.json_lines import ReportedEvent, json_line
from listenctl.server.hooks.dead_letter_file import DeadLetterFile, DeadLetterWriter
from listenctl.server.hooks.hook_delivery import HookDelivery, HookKind, HookTarget
from listenctl.server.hooks.hook_queue import HookQueue
from listenctl.server.operations.metric_families import Gauge, LabelledTotal, MetricFamily, MetricSource
from listenctl.terminal.printable_text import count_noun

HOOK_EVENTS = tuple(
    kind.event for kind in (CallStartedEvent, DtmfEvent, RecordingSavedEvent, RecordingFailedEvent, CallEndedEvent)
)
END_TIMEOUT = 10.0
"""Seconds for the last events to be taken when the server ends."""


@dataclass(frozen=True, slots=True)
class HookSettings:
    targets: Sequence[HookTarget]
    events: frozenset[str]  # those that the targets get
    dead_letters: DeadLetterFile
    reload: Callable[[], None] = lambda: None  # reads the secrets again; raises ListenctlError if it can't


@asynccontextmanager
async def running_hooks(
    reporter: Reporter, settings: HookSettings | None, metrics: list[MetricSource]
) -> AsyncIterator["ServerHooks | None"]:
    """
    Pass events on while the block runs; at its end, what isn't taken becomes dead letters.

    Args:
        metrics: gets what tells of the hooks.
    """
    if settings is None:
        yield None
        return
    hooks = ServerHooks(reporter, settings)
    metrics.append(hooks.describe_metrics)
    reporter.add_sink(hooks.take_event, settings.events)
    try:
        async with background_task(hooks.run()):
            try:
                yield hooks
            finally:
                await hooks.finish()
    finally:
        hooks.give_up_rest()
        await asyncio.to_thread(hooks.close)
        hooks.report_end()


class ServerHooks:
    def __init__(self, reporter: Reporter, settings: HookSettings) -> None:
        self._reporter = reporter
        self._path = settings.dead_letters.path
        loop = asyncio.get_running_loop()
        self._dead_letters = DeadLetterWriter(
            settings.dead_letters, lambda problem: loop.call_soon_threadsafe(self._report_delay, problem)
        )
        self._warned_of_dead_letters = False
        self.queues = [HookQueue(target, self._give_up, self._warn) for target in settings.targets]

    @property
    def lost_events(self) -> bool:
        """Whether events were neither taken nor kept."""
        return self._dead_letters.lost > 0

    def take_event(self, event: ReportedEvent) -> None:
        body = json_line(event).encode()
        for queue in self.queues:
            queue.add_delivery(HookDelivery.of(queue.target.kind, queue.target.address, event["call"], body))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as running:
            for queue in self.queues:
                running.create_task(queue.run())

    async def finish(self) -> None:
        self._warned_of_dead_letters = True  # ``report_end`` does it
        async with asyncio.TaskGroup() as finishing:
            for queue in self.queues:
                finishing.create_task(queue.finish(END_TIMEOUT))

    def give_up_rest(self) -> None:
        """Make everything that waits a dead letter."""
        for queue in self.queues:
            queue.give_up_rest()

    def close(self) -> None:
        """Wait until the dead letters are on disk."""
        self._dead_letters.close()

    def report_end(self) -> None:
        """Say how many events were not taken, and where they are."""
        if lost := self._dead_letters.lost:
            reason = self._dead_letters.problem or "the disk is too slow"
            events = count_noun(lost, "event")
            self._warn("hook-undelivered", f"{events} lost: {self._path} can't be written: {reason.lower()}")
        if written := self._dead_letters.written:
            self._warn("hook-undelivered", f"{count_noun(written, 'event')} not taken, {self._where}")

    def describe_metrics(self) -> Iterator[MetricFamily]:
        waiting = sum(queue.waiting for queue in self.queues)
        yield Gauge("hooks_waiting", "Events that wait for webhooks and commands", waiting)

        def total(name: str, help_text: str, count: Callable[[HookQueue], int]) -> LabelledTotal:
            by_kind = dict.fromkeys(map(str, HookKind), 0.0)
            for queue in self.queues:
                by_kind[str(queue.target.kind)] += count(queue)
            return LabelledTotal(f"hooks_{name}", help_text, "kind", by_kind)

        yield total("delivered", "Events that were taken", lambda queue: queue.delivered)
        yield total("retried", "Further attempts to deliver an event", lambda queue: queue.retried)
        yield total("failed", "Events that were attempted and became dead letters", lambda queue: queue.failed)
        yield total("dropped", "Events that became dead letters at once", lambda queue: queue.dropped)

    @property
    def _where(self) -> str:
        return f"kept in {self._path}; send them again with `listenctl hooks retry {self._path}`"

    def _report_delay(self, problem: str) -> None:
        detail = f"{self._path}: dead letters can't be written: {problem.lower()}; they wait in memory"
        self._warn("hook-undelivered", detail)

    def _give_up(self, delivery: HookDelivery) -> None:
        self._dead_letters.write(json_line(delivery.serialize()))
        if not self._warned_of_dead_letters:
            self._warned_of_dead_letters = True
            self._warn("hook-undelivered", f"an event was not taken: {delivery.error}; such events are {self._where}")

    def _warn(self, rule: str, detail: str) -> None:
        self._reporter.emit(WarningEvent(rule=rule, detail=detail))
