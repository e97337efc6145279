"""The script of a replayed call: what both sides did. Each call reads the file a little ahead, as it may be large."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from websockets.frames import Opcode

from listenctl.capture.capture_events import CapturedFrame, CaptureEvent, FramesLost, SessionClosed
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.read_capture import read_capture
from listenctl.capture.tls.key_log import KeyLog
from listenctl.errors import ListenctlError, UsageError
from listenctl.protocol.listen_session import Sender

STDIN = "-"
BATCH_STEPS = 64
BATCH_BYTES = 1 << 20
"""Payload bytes after which a batch ends; two batches of a call are in memory at once."""

MAX_PAUSE = 3600.0
"""A longer pause, in seconds, is considered a fault of the capture and skipped."""

MAX_NOTICES = 20

MAX_COUNTING = 1.0
"""Seconds for counting the rest of an interrupted call."""


@dataclass(frozen=True, slots=True)
class CaptureFile:
    """A capture that can be read repeatedly."""

    path: str  # a temporary file for stdin
    name: str
    secrets: KeyLog = field(default_factory=KeyLog)  # for encrypted calls

    def read(self) -> Iterator[CaptureEvent]:
        with _as_failure():
            events = read_capture(self.path, keylog=self.secrets.copy())
        return _failing(events)


@contextmanager
def _as_failure() -> Iterator[None]:
    """Turn the usage error of an unusable file into a failure (status 1), as in `inspect`."""
    try:
        yield
    except UsageError as exc:
        raise ListenctlError(str(exc)) from exc


def _failing(events: Iterator[CaptureEvent]) -> Iterator[CaptureEvent]:
    with _as_failure():
        yield from events


@dataclass(frozen=True, slots=True)
class CapturedCall:
    number: int
    began: float


class ReplayStep(NamedTuple):
    at: float
    event: CapturedFrame | FramesLost | SessionClosed


@contextmanager
def open_capture(path: str, secrets: KeyLog) -> Iterator[CaptureFile]:
    if path != STDIN:
        yield CaptureFile(path, path, secrets)
        return
    with tempfile.NamedTemporaryFile(prefix="listenctl-") as stored:
        shutil.copyfileobj(sys.stdin.buffer, stored)
        stored.flush()
        yield CaptureFile(stored.name, STDIN, secrets)


def _is_played(step: ReplayStep, sender: Sender) -> bool:
    event = step.event
    return (
        isinstance(event, CapturedFrame)
        and event.sender is sender
        and event.frame.opcode not in (Opcode.CLOSE, Opcode.PONG)
    )


class ReplayScript:
    def __init__(self, capture: CaptureFile, call: CapturedCall) -> None:
        self._call = call
        self._events = capture.read()
        self._origin = self._other_origin = call.began
        self._time_before = 0.0
        self._over = self._given_up = False
        self._next: asyncio.Future[list[ReplayStep]] | None = None
        self.notices: list[CaptureNotice] = []

    def start_reading(self) -> None:
        if self._next is None:
            self._next = asyncio.get_running_loop().run_in_executor(None, self._read_batch)

    async def __aiter__(self) -> AsyncIterator[ReplayStep]:
        self.start_reading()
        while self._next is not None:
            steps = await self._next
            self._next = None
            if not self._over:
                self.start_reading()
            for step in steps:
                yield step

    async def count_rest(self, steps: AsyncIterator[ReplayStep], sender: Sender) -> int | None:
        """Return how many frames of one side are left, without Close and pongs; None if counting takes too long."""
        count = 0
        try:
            async with asyncio.timeout(MAX_COUNTING):
                async for step in steps:
                    count += _is_played(step, sender)
        except TimeoutError:
            return None
        return count

    async def close(self) -> None:
        self._given_up = True
        if self._next is not None:
            await asyncio.gather(self._next, return_exceptions=True)

    def _read_batch(self) -> list[ReplayStep]:
        steps: list[ReplayStep] = []
        size = 0
        for event in self._events:
            if self._given_up:
                break
            if isinstance(event, CaptureNotice):
                self._add_notice(event)
            elif event.session.number == self._call.number and isinstance(
                event, CapturedFrame | FramesLost | SessionClosed
            ):
                steps.append(ReplayStep(self._time_of(event.at), event))
                if isinstance(event, SessionClosed) and event.sender is None:
                    break
                size += len(event.frame.payload) if isinstance(event, CapturedFrame) else 0
                if len(steps) >= BATCH_STEPS or size >= BATCH_BYTES:
                    return steps
        self._over = True
        return steps

    def _time_of(self, at: float) -> float:
        """Return the seconds since the start of the call; one wrong time in a damaged file shifts no other."""
        if abs(at - self._origin - self._time_before) > MAX_PAUSE:
            self._add_notice(
                CaptureNotice(f"call {self._call.number}", "its times jump by more than an hour; the pause is skipped")
            )
            before, self._other_origin = self._other_origin, self._origin
            back = 0 <= at - before - self._time_before <= MAX_PAUSE
            self._origin = before if back else at - self._time_before
        self._time_before = max(0.0, at - self._origin)
        return self._time_before

    def _add_notice(self, notice: CaptureNotice) -> None:
        if len(self.notices) < MAX_NOTICES and notice not in self.notices:
            self.notices.append(notice)


class NoticeFilter:
    """Report each notice about a capture once, though every call reads the file, and no more than ``MAX_NOTICES``."""

    def __init__(self, on_notice: Callable[[CaptureNotice], None]) -> None:
        self._on_notice = on_notice
        self._reported: set[CaptureNotice] = set()

    def report(self, notices: Iterable[CaptureNotice]) -> None:
        for notice in notices:
            if notice not in self._reported and len(self._reported) < MAX_NOTICES:
                self._reported.add(notice)
                self._on_notice(notice)
