"""Run a replay: play calls of a capture to a server, several at once and repeatedly."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.replay.plan import ReplayPlan
from listenctl.replay.replay_results import ReplayResult, ReplayTotals
from listenctl.replay.replay_script import CapturedCall, NoticeFilter
from listenctl.replay.replayed_call import ReplayedCall


class ReplayRun:
    """Play calls in rounds."""

    def __init__(
        self,
        plan: ReplayPlan,
        calls: Sequence[CapturedCall],
        *,
        copies: int = 1,
        rounds: int | None = 1,
        on_result: Callable[[ReplayResult], None] = lambda _: None,
        on_notice: Callable[[CaptureNotice], None] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._calls = calls  # of the capture; each is played as long after the first as it began
        self._copies = copies
        self._rounds = rounds  # how often all calls are played to their end; None is forever
        self._on_result = on_result
        self._notices = NoticeFilter(on_notice)
        self._live: set[ReplayedCall] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> ReplayTotals:
        """Play the calls; a round in which no call is connected is the last."""
        totals = ReplayTotals()
        number = 0
        while not self._stopping.is_set() and number != self._rounds:
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
        """How many calls are live, the frames that they have sent, and the seconds that the longest has lasted."""
        results = [call.result for call in self._live]
        return len(results), sum(one.frames for one in results), max((call.elapsed for call in self._live), default=0.0)

    def stop(self) -> None:
        self._stopping.set()
        for call in list(self._live):
            call.stop()

    async def _play(self, call: CapturedCall, result: ReplayResult, totals: ReplayTotals) -> None:
        if not await self._wait_for_start(call):
            return
        playing = ReplayedCall(self._plan, call, result, sid=str(uuid.uuid4()))
        self._live.add(playing)
        try:
            await playing.run()
        finally:
            self._live.discard(playing)
        self._notices.report(playing.notices)
        totals.add_result(result)
        self._on_result(result)

    async def _wait_for_start(self, call: CapturedCall) -> bool:
        first = min(one.began for one in self._calls)
        if self._plan.speed is not None and call.began > first:
            with suppress(TimeoutError):
                async with asyncio.timeout((call.began - first) / self._plan.speed):
                    await self._stopping.wait()
        return not self._stopping.is_set()
