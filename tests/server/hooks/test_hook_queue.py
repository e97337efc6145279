"""What waits for a hook: order, bounds, delays between attempts, and the end; time is simulated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

import pytest

from listenctl.background_task import background_task
from listenctl.server.hooks.hook_delivery import HookDelivery, HookFailure, HookKind
from listenctl.server.hooks.hook_queue import JITTER, RETRY_DELAYS, HookQueue
from tests.helpers.simulated_time import START

pytestmark = pytest.mark.simulated_time

FAILED = HookFailure("it answered 500 Internal Server Error")
UNREACHABLE = HookFailure("can't connect: Connection refused", unreachable=True)
HOURS = 3600.0


@dataclass
class ScriptedTarget:
    """Fails as ``failures`` say, then takes everything; each attempt takes ``seconds``."""

    failures: list[HookFailure] = field(default_factory=list)
    always: HookFailure | None = None
    seconds: float = 0.0
    at_once: int = 2
    kind: HookKind = HookKind.WEBHOOK
    address: str = "http://h/"
    shown: str = "http://h/"
    attempts: list[tuple[float, str]] = field(default_factory=list)  # when, and what
    busy: int = 0
    most_busy: int = 0

    async def attempt(self, delivery: HookDelivery) -> HookFailure | None:
        self.attempts.append((asyncio.get_running_loop().time() - START, delivery.body.decode()))
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.busy -= 1
        return self.failures.pop(0) if self.failures else self.always

    @property
    def order(self) -> list[str]:
        return [body for _, body in self.attempts]


@dataclass
class Queued:
    queue: HookQueue
    given_up: list[HookDelivery]
    warnings: list[tuple[str, str]]

    def add(self, *bodies: str) -> None:
        """Add deliveries named after their call and a number, such as ``a1``."""
        for body in bodies:
            self.queue.add_delivery(HookDelivery.of(HookKind.WEBHOOK, "http://h/", body[0], body.encode()))

    @property
    def lost(self) -> list[tuple[str, int, str]]:
        return [(letter.body.decode(), letter.attempts, letter.error) for letter in self.given_up]

    @property
    def counts(self) -> dict[str, int]:
        queue = self.queue
        return {
            "delivered": queue.delivered,
            "failed": queue.failed,
            "dropped": queue.dropped,
            "retried": queue.retried,
            "waiting": queue.waiting,
        }


@asynccontextmanager
async def queued(target: ScriptedTarget, *, jitter: float = 0.5, **limits: float) -> AsyncIterator[Queued]:
    given_up: list[HookDelivery] = []
    warnings: list[tuple[str, str]] = []
    queue = HookQueue(
        target, given_up.append, lambda *warning: warnings.append(warning), jitter=lambda: jitter, **limits
    )
    async with background_task(queue.run()):
        yield Queued(queue, given_up, warnings)


async def test_the_events_of_a_call_are_delivered_in_order_and_those_of_several_calls_at_once() -> None:
    target = ScriptedTarget(seconds=1.0)
    async with queued(target) as run:
        run.add("a1", "a2", "b1", "c1", "c2", "a3")
        await run.queue.finish(None)

    assert target.most_busy == 2
    assert [body for body in target.order if body[0] == "a"] == ["a1", "a2", "a3"]
    assert target.order[:2] == ["a1", "b1"]
    assert run.counts == {"delivered": 6, "failed": 0, "dropped": 0, "retried": 0, "waiting": 0}


async def test_an_event_is_attempted_again_after_growing_delays_and_given_up_after_hours() -> None:
    target = ScriptedTarget(always=FAILED)
    async with queued(target) as run:
        run.add("a1")
        await asyncio.sleep(24 * HOURS)

    times = [time for time, _ in target.attempts]
    assert [later - time for time, later in pairwise(times)] == pytest.approx(list(RETRY_DELAYS))
    assert times[-1] > 6 * HOURS
    assert run.lost == [("a1", 9, FAILED.problem)]
    assert run.counts == {"delivered": 0, "failed": 1, "dropped": 0, "retried": 8, "waiting": 0}


@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 1 - JITTER), (1.0, 1 + JITTER)])
async def test_delays_differ_by_chance(jitter: float, factor: float) -> None:
    target = ScriptedTarget([FAILED])
    async with queued(target, jitter=jitter) as run:
        run.add("a1")
        await asyncio.sleep(HOURS)

    assert [time for time, _ in target.attempts] == pytest.approx([0.0, RETRY_DELAYS[0] * factor])


async def test_an_event_that_fails_does_not_hold_up_the_next_ones_of_its_call() -> None:
    target = ScriptedTarget([FAILED])
    async with queued(target) as run:
        run.add("a1", "a2")
        await asyncio.sleep(HOURS)

    assert target.order == ["a1", "a2", "a1"]
    assert run.counts["delivered"] == 2


async def test_a_target_that_wants_to_be_left_alone_gets_nothing_meanwhile() -> None:
    target = ScriptedTarget([HookFailure("it answered 429 Too Many Requests", retry_after=60.0)], at_once=1)
    async with queued(target) as run:
        run.add("a1", "b1")
        await asyncio.sleep(HOURS)

    assert sorted(target.attempts) == [(0.0, "a1"), (60.0, "a1"), (60.0, "b1")]


async def test_no_target_can_put_off_its_events_for_days() -> None:
    target = ScriptedTarget([HookFailure("it answered 503", retry_after=1e9)], at_once=1)
    async with queued(target) as run:
        run.add("a1", "b1")
        await asyncio.sleep(2 * HOURS)

    assert sorted(target.attempts) == [(0.0, "a1"), (HOURS, "a1"), (HOURS, "b1")]
    assert run.counts["delivered"] == 2


async def test_a_target_that_is_gone_gets_nothing_more() -> None:
    target = ScriptedTarget([FAILED, HookFailure("it answered 410 Gone", gone=True)], at_once=1)
    async with queued(target) as run:
        run.add("a1", "b1", "c1")
        await asyncio.sleep(1.0)
        run.add("d1")

    assert target.order == ["a1", "b1"]
    assert sorted(run.lost) == [
        ("a1", 1, FAILED.problem),
        ("b1", 1, "it answered 410 Gone"),
        ("c1", 0, "it answered 410 Gone"),
        ("d1", 0, "it answered 410 Gone"),
    ]
    assert run.counts == {"delivered": 0, "failed": 3, "dropped": 1, "retried": 0, "waiting": 0}


async def test_what_is_too_much_is_given_up_at_once() -> None:
    target = ScriptedTarget(seconds=1.0, at_once=1)
    async with queued(target, max_waiting=2, max_waiting_bytes=inf) as few:
        few.add("a1", "b1", "c1")
        await few.queue.finish(None)
    async with queued(target, max_waiting=inf, max_waiting_bytes=5) as small:
        small.add("a1", "b1", "c1")
        await small.queue.finish(None)
        small.add("d1")

    assert few.lost == small.lost == [("c1", 0, "too many events waited")]
    assert few.counts == {"delivered": 2, "failed": 0, "dropped": 1, "retried": 0, "waiting": 0}
    assert small.counts["waiting"] == 1


async def test_a_target_that_fails_is_reported_once_and_again_when_it_has_taken_all_that_failed() -> None:
    target = ScriptedTarget([FAILED, FAILED, UNREACHABLE])
    async with queued(target) as run:
        run.add("a1", "b1")
        await asyncio.sleep(HOURS)
        target.failures.append(FAILED)
        run.add("c1")
        await asyncio.sleep(HOURS)

    failed = ("hook-failed", f"http://h/: {FAILED.problem}; events for it wait and are tried again")
    recovered = ("hook-recovered", "http://h/ takes events again")
    assert run.warnings == [failed, recovered, failed, recovered]


async def test_at_the_end_everything_is_attempted_that_has_not_failed_before() -> None:
    target = ScriptedTarget([FAILED], seconds=1.0, at_once=1)
    async with queued(target) as run:
        run.add("a1")
        await asyncio.sleep(2.0)
        run.add("b1", "b2")
        await run.queue.finish(10.0)

    assert target.order == ["a1", "b1", "b2"]
    assert run.lost == [("a1", 1, FAILED.problem)]
    assert run.counts == {"delivered": 2, "failed": 1, "dropped": 0, "retried": 0, "waiting": 0}


async def test_the_end_does_not_wait_for_a_slow_target() -> None:
    target = ScriptedTarget(seconds=HOURS, at_once=1)
    async with queued(target) as run:
        run.add("a1", "b1")
        await run.queue.finish(10.0)
        ended = asyncio.get_running_loop().time() - START
    run.queue.give_up_rest()

    assert ended == 10.0
    assert run.lost == [("a1", 1, "the server ended"), ("b1", 0, "the server ended")]
    assert run.counts["waiting"] == 0


async def test_a_failure_at_the_end_is_not_tried_again() -> None:
    target = ScriptedTarget(always=FAILED, seconds=1.0)
    async with queued(target) as run:
        run.add("a1")
        await run.queue.finish(10.0)

    assert run.warnings == [("hook-failed", f"http://h/: {FAILED.problem}; events for it become dead letters")]
    assert run.lost == [("a1", 1, FAILED.problem)]


async def test_the_end_waits_only_once_for_a_target_that_cannot_be_reached() -> None:
    target = ScriptedTarget(always=UNREACHABLE, seconds=10.0, at_once=1)
    async with queued(target) as run:
        run.add(*(f"{call}1" for call in "abcdefgh"))
        await run.queue.finish(None)

    assert target.attempts == [(0.0, "a1")]
    assert len(run.lost) == 8


async def test_the_end_does_not_wait_for_a_target_that_wants_to_be_left_alone() -> None:
    target = ScriptedTarget([HookFailure("it answered 429", retry_after=60.0)], at_once=1)
    async with queued(target) as run:
        run.add("a1", "b1")
        await asyncio.sleep(1.0)
        await run.queue.finish(10.0)
        ended = asyncio.get_running_loop().time() - START

    assert ended == 1.0
    assert sorted(run.lost) == [("a1", 1, "it answered 429"), ("b1", 0, "it wanted to be left alone for longer")]


async def test_a_fault_of_ours_is_a_failed_attempt(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ScriptedTarget):
        async def attempt(self, delivery: HookDelivery) -> HookFailure | None:
            await super().attempt(delivery)
            if len(self.attempts) == 1:
                raise RuntimeError("a bug")
            return None

    target = Broken()
    async with queued(target) as run:
        run.add("a1")
        await asyncio.sleep(HOURS)

    assert target.order == ["a1", "a1"]
    assert "a bug" in caplog.text
