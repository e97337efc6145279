"""Run a load: place its calls on time, from one process and one core."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from listenctl.load.echo_pattern import BLOCK
from listenctl.load.frame_scheduler import FrameScheduler
from listenctl.load.load_call import LoadCall
from listenctl.load.load_call_outcome import LoadCallEnding, LoadCallOutcome
from listenctl.load.load_frames import LoadFrames, pattern_frames, speech_frames
from listenctl.load.plan import CallFormat, LoadPlan
from listenctl.load.report import LoadReport, summarize_load


@dataclass(frozen=True, slots=True)
class LoadSnapshot:
    """The progress of a load: ``live`` calls send audio, ``over`` calls have ended, some of them ``failed``."""

    elapsed: float
    planned: int
    placed: int
    live: int
    over: int
    failed: int
    lost_samples: int


class LoadRun:
    def __init__(self, plan: LoadPlan, on_outcome: Callable[[LoadCallOutcome], None] = lambda _: None) -> None:
        self._plan = plan
        self._on_outcome = on_outcome
        self._prebuilt: dict[CallFormat, LoadFrames] = {}
        self._calls: dict[int, LoadCall] = {}
        self._outcomes: list[LoadCallOutcome] = []
        self._placed = 0
        self._start = 0.0
        self._stop = asyncio.Event()
        self.timed_out = False

    async def run(self) -> LoadReport:
        loop = asyncio.get_running_loop()
        for share in self._plan.mix:
            self._prebuilt[share.format] = self._build_frames(share.format)
        scheduler = FrameScheduler(loop)
        with _garbage_collection_paused():
            self._start = loop.time()
            timer = None if self._plan.timeout is None else loop.call_later(self._plan.timeout, self._time_out)
            async with asyncio.TaskGroup() as group:
                while self._placed < self._plan.calls and not await self._stops_before(
                    self._start + self._placed / self._plan.arrivals
                ):
                    group.create_task(self._place(self._placed, scheduler))
                    self._placed += 1
        if timer is not None:
            timer.cancel()
        return summarize_load(
            self._plan, self._outcomes, seconds=loop.time() - self._start, interrupted=self._stop.is_set()
        )

    def stop(self) -> None:
        self._stop.set()
        for call in self._calls.values():
            call.hang_up_now()

    def snapshot(self) -> LoadSnapshot:
        calls = self._calls.values()
        return LoadSnapshot(
            elapsed=asyncio.get_running_loop().time() - self._start,
            planned=self._plan.calls,
            placed=self._placed,
            live=sum(call.is_live for call in calls),
            over=len(self._outcomes),
            failed=sum(outcome.ending is LoadCallEnding.FAILED for outcome in self._outcomes),
            lost_samples=sum(outcome.lost_samples for outcome in self._outcomes)
            + sum(call.outcome.lost_samples for call in calls),
        )

    def _build_frames(self, call_format: CallFormat) -> LoadFrames:
        if self._plan.echo:
            return pattern_frames(call_format, max(self._plan.hold, BLOCK))
        return speech_frames(call_format)

    def _time_out(self) -> None:
        self.timed_out = True
        self.stop()

    async def _stops_before(self, moment: float) -> bool:
        try:
            async with asyncio.timeout_at(moment):
                await self._stop.wait()
        except TimeoutError:
            # Both may have happened at once.
            return self._stop.is_set()
        return True

    async def _place(self, number: int, scheduler: FrameScheduler) -> None:
        call = LoadCall(number, self._plan, self._prebuilt[self._plan.format(number)], asyncio.get_running_loop())
        self._calls[number] = call
        if self._stop.is_set():
            call.hang_up_now()
        try:
            outcome = await call.run(scheduler)
        finally:
            del self._calls[number]
        self._outcomes.append(outcome)
        self._on_outcome(outcome)


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Pause garbage collection, which takes longer than a frame; the cycles of a call are only a few kilobytes."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
