"""Play calls of a capture against a live server: several at once, and again and again."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.media.pacing import Clock, SystemClock
from listenctl.replay.plan import ApplicationResult, ReplayPlan, ReplayResult
from listenctl.replay.replay_script import MAX_NOTICES, CapturedCall
from listenctl.replay.replayed_call import ReplayedCall


@dataclass(slots=True)
class ReplayTotals:
    """How many calls were played, ``connected`` to and answered as they should, and the first error."""

    played: int = 0
    connected: int = 0
    ok: int = 0
    error: str = ""

    def count(self, result: ReplayResult | ApplicationResult) -> None:
        """Add a call."""
        self.played += 1
        self.connected += result.connected
        self.ok += result.ok
        self.error = self.error or result.error


class ReplayRun:
    """
    Play calls as long as is asked.

    Args:
        calls: of the capture; one that began later is played later, too.
        copies: of each at once.
        rounds: how often all that is done, each time to its end; None is forever.
        on_result: told of each call that is over.
        on_notice: told what is wrong with the capture.
    """

    def __init__(
        self,
        plan: ReplayPlan,
        calls: Sequence[CapturedCall],
        *,
        copies: int = 1,
        rounds: int | None = 1,
        on_result: Callable[[ReplayResult], None] = lambda _: None,
        on_notice: Callable[[CaptureNotice], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        self._plan = plan
        self._calls = calls
        self._copies = copies
        self._rounds = rounds
        self._on_result = on_result
        self._on_notice = on_notice
        self._clock = clock or SystemClock()
        self._live: set[ReplayedCall] = set()
        self._waiting: set[asyncio.Task[None]] = set()
        self._noticed: set[CaptureNotice] = set()
        self._stopped = False

    async def run(self) -> ReplayTotals:
        """Play them; a round in which nobody answers is the last."""
        totals = ReplayTotals()
        number = 0
        while not self._stopped and number != self._rounds:
            number += 1
            before = totals.connected
            async with asyncio.TaskGroup() as group:
                for call in self._calls:
                    for copy in range(1, self._copies + 1):
                        group.create_task(
                            self._play(call, ReplayResult(call=call.number, copy=copy, round=number), totals)
                        )
            if totals.connected == before:
                break
        return totals

    @property
    def progress(self) -> tuple[int, int, float]:
        """How many calls are live, how many frames these have sent, and how many seconds the longest has lasted."""
        results = [call.result for call in self._live]
        return len(results), sum(one.frames for one in results), max((call.elapsed for call in self._live), default=0.0)

    def stop(self) -> None:
        """Hang up all calls, and begin no more."""
        self._stopped = True
        for call in list(self._live):
            call.stop()
        for task in self._waiting:
            task.cancel()

    async def _play(self, call: CapturedCall, result: ReplayResult, totals: ReplayTotals) -> None:
        if not await self._may_begin(call):
            return
        playing = ReplayedCall(self._plan, call, result, sid=str(uuid.uuid4()), clock=self._clock)
        self._live.add(playing)
        try:
            await playing.run()
        finally:
            self._live.discard(playing)
        self._pass_on(playing.notices)
        totals.count(result)
        self._on_result(result)

    async def _may_begin(self, call: CapturedCall) -> bool:
        """Wait for the moment at which a call begins; return whether it still should."""
        first = min(one.began for one in self._calls)
        if self._plan.speed is not None and call.began > first:
            task = asyncio.create_task(self._clock.sleep((call.began - first) / self._plan.speed))
            self._waiting.add(task)
            await asyncio.wait({task})
            self._waiting.discard(task)
        return not self._stopped

    def _pass_on(self, notices: Sequence[CaptureNotice]) -> None:
        for notice in notices:
            if notice not in self._noticed and len(self._noticed) < MAX_NOTICES:
                self._noticed.add(notice)
                self._on_notice(notice)
