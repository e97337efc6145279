"""
What waits for one target of hooks: bounded, tried again with growing delays, and in order for each call as long as
nothing fails. What is not delivered in the end is given up, which hands it on.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from listenctl.server.hooks.hook_delivery import HookDelivery, HookFailure, HookTarget

RETRY_DELAYS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 10800.0)
"""Seconds before each further attempt, over almost seven hours."""
JITTER = 0.2
"""The part by which a delay is longer or shorter, so that not all attempts after an outage come at once."""
MAX_RETRY_AFTER = 3600.0
"""The longest time in seconds for which a target can ask to be left alone."""
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 32 * 1024 * 1024

logger = logging.getLogger(__name__)


class HookQueue:
    """
    Args:
        give_up: called with each delivery that has failed for good.
        report: called with the rule and the detail of a warning, when the target begins to fail and when that is over.
        max_waiting: deliveries that may wait; others are given up at once.
    """

    def __init__(
        self,
        target: HookTarget,
        give_up: Callable[[HookDelivery], None],
        report: Callable[[str, str], None],
        *,
        max_waiting: float = MAX_WAITING,
        max_waiting_bytes: float = MAX_WAITING_BYTES,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.target = target
        self.delivered = 0
        self.failed = 0  # given up after an attempt, or because the server ended
        self.dropped = 0  # given up without an attempt: too much waited, or the target wants no more
        self.retried = 0  # attempts after the first
        self.waiting = 0
        self._give_up = give_up
        self._report = report
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._jitter = jitter
        self._loop = asyncio.get_running_loop()
        # The deliveries of each call, oldest first; one that is being attempted is still there.
        self._of_call: dict[str | None, deque[HookDelivery]] = {}
        self._ready: asyncio.Queue[str | None] = asyncio.Queue()  # calls whose oldest delivery can be attempted
        self._timers: dict[HookDelivery, asyncio.TimerHandle] = {}
        self._waiting_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._not_before = 0.0  # when the target may be called again, on the clock of the loop
        self._ending = False
        self._closed = asyncio.Event()
        self._closed_by = ""  # why nothing is attempted any more
        self._failing = False

    def add_delivery(self, delivery: HookDelivery) -> None:
        too_much = self.waiting >= self._max_waiting
        too_much |= self._waiting_bytes + len(delivery.body) > self._max_waiting_bytes
        if too_much or self._closed_by:
            self.dropped += 1
            delivery.error = self._closed_by or "too many events waited"
            self._give_up(delivery)
            return
        self.waiting += 1
        self._waiting_bytes += len(delivery.body)
        self._idle.clear()
        self._line_up(delivery)

    async def run(self) -> None:
        """Attempt deliveries until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self.target.at_once):
                workers.create_task(self._work())

    async def finish(self, patience: float | None) -> None:
        """Give everything that waits its last attempt, unless it has failed before; ``give_up_rest`` does the rest."""
        self._ending = True
        self._give_up_later_attempts()
        if self._not_before > self._loop.time():
            self._close("it wanted to be left alone for longer")
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._idle.wait()

    def give_up_rest(self) -> None:
        """Give up everything that waits, also what is being attempted."""
        self._give_up_later_attempts()
        rest = [delivery for waiting in self._of_call.values() for delivery in waiting]
        self._of_call.clear()
        for delivery in rest:
            delivery.error = delivery.error or "the server ended"
            self._give_up_waiting(delivery)

    def _line_up(self, delivery: HookDelivery) -> None:
        waiting = self._of_call.setdefault(delivery.call, deque())
        waiting.append(delivery)
        if len(waiting) == 1:
            self._ready.put_nowait(delivery.call)

    async def _work(self) -> None:
        while True:
            call = await self._ready.get()
            await self._wait_for_turn()
            waiting = self._of_call[call]
            failure = await self._attempt(waiting[0])
            delivery = waiting.popleft()
            if waiting:
                self._ready.put_nowait(call)
            else:
                del self._of_call[call]
            self._settle(delivery, failure)

    async def _wait_for_turn(self) -> None:
        while not self._closed_by and (pause := self._not_before - self._loop.time()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closed.wait()

    async def _attempt(self, delivery: HookDelivery) -> HookFailure | None:
        if self._closed_by:
            return HookFailure(self._closed_by)
        self.retried += delivery.attempts > 0
        delivery.attempts += 1
        try:
            return await self.target.attempt(delivery)
        except Exception:
            logger.exception("%s failed unexpectedly", self.target.shown)
            return HookFailure("it failed unexpectedly")

    def _settle(self, delivery: HookDelivery, failure: HookFailure | None) -> None:
        if failure is None:
            self.delivered += 1
            self._forget(delivery)
            self._note_success()
            return
        delivery.error = failure.problem
        self._note_failure(failure)
        if self._ending or self._closed_by or delivery.attempts > len(RETRY_DELAYS):
            self._give_up_waiting(delivery)
            return
        delay = RETRY_DELAYS[delivery.attempts - 1] * (1 + JITTER * (2 * self._jitter() - 1))
        delay = max(delay, min(failure.retry_after, MAX_RETRY_AFTER))
        self._timers[delivery] = self._loop.call_later(delay, self._try_again, delivery)

    def _try_again(self, delivery: HookDelivery) -> None:
        del self._timers[delivery]
        self._line_up(delivery)

    def _note_success(self) -> None:
        # Not before all that failed was taken: one that fails now and then would be reported for each event.
        if self._failing and not self._timers:
            self._failing = False
            self._report("hook-recovered", f"{self.target.shown} takes events again")

    def _note_failure(self, failure: HookFailure) -> None:
        if self._closed_by:
            return
        self._not_before = max(self._not_before, self._loop.time() + min(failure.retry_after, MAX_RETRY_AFTER))
        # At the end, others would fail in the same way, each after a timeout.
        if failure.gone or (self._ending and (failure.unreachable or failure.retry_after)):
            self._close(failure.problem)
        if not self._failing:
            self._failing = True
            self._report("hook-failed", f"{self.target.shown}: {failure.problem}; {self._describe_future(failure)}")

    def _describe_future(self, failure: HookFailure) -> str:
        if failure.gone:
            return "it gets no more events"
        return "events for it become dead letters" if self._ending else "events for it wait and are tried again"

    def _close(self, reason: str) -> None:
        """Attempt nothing any more."""
        self._closed_by = reason
        self._closed.set()
        self._give_up_later_attempts()

    def _give_up_later_attempts(self) -> None:
        for delivery, timer in self._timers.items():
            timer.cancel()
            self._give_up_waiting(delivery)
        self._timers.clear()

    def _give_up_waiting(self, delivery: HookDelivery) -> None:
        self.failed += 1
        self._forget(delivery)
        self._give_up(delivery)

    def _forget(self, delivery: HookDelivery) -> None:
        self.waiting -= 1
        self._waiting_bytes -= len(delivery.body)
        if not self.waiting:
            self._idle.set()
