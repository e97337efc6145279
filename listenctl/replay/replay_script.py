"""
A call of a capture, read as it is played: what both sides did, in time from the begin of the call.

A capture may be far larger than memory, so each call that is played reads the file for itself, a little ahead.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
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
"""Payload after which a batch ends; two batches of a call are in memory at once."""

MAX_PAUSE = 3600.0
"""Seconds after which a pause is taken for a fault of the capture, and left out."""

MAX_NOTICES = 20

MAX_COUNTING = 1.0
"""Seconds that the rest of an interrupted call may take to be counted."""


@dataclass(frozen=True, slots=True)
class CaptureFile:
    """
    A capture, to be read any number of times.

    Attributes:
        path: where it is, which is a temporary file for stdin.
        name: what the user calls it.
        secrets: a key log for calls under TLS, as text.
    """

    path: str
    name: str
    secrets: str = ""

    def read(self) -> Iterator[CaptureEvent]:
        """
        Read it from the begin.

        Raises:
            ListenctlError: it can't be read, or is no capture.
        """
        with _as_failure():
            events = read_capture(self.path, keylog=KeyLog(self.secrets))
        return _failing(events)


@contextmanager
def _as_failure() -> Iterator[None]:
    """A file that can't be used is a failure (status 1), as it is where `inspect` reads several."""
    try:
        yield
    except UsageError as exc:
        raise ListenctlError(str(exc)) from exc


def _failing(events: Iterator[CaptureEvent]) -> Iterator[CaptureEvent]:
    with _as_failure():
        yield from events


@dataclass(frozen=True, slots=True)
class CapturedCall:
    """A call of a capture by its number, and the Unix time from which its times count."""

    number: int
    began: float


class ReplayStep(NamedTuple):
    """What happened in a call, ``at`` seconds after its begin."""

    at: float
    event: CapturedFrame | FramesLost | SessionClosed


@contextmanager
def open_capture(path: str, secrets: str = "") -> Iterator[CaptureFile]:
    """Make a capture ready to be read several times; stdin is stored on the disk meanwhile."""
    if path != STDIN:
        yield CaptureFile(path, path, secrets)
        return
    with tempfile.NamedTemporaryFile(prefix="listenctl-") as stored:
        shutil.copyfileobj(sys.stdin.buffer, stored)
        stored.flush()
        yield CaptureFile(stored.name, STDIN, secrets)


def read_secrets(path: Path) -> str:
    """
    Return the text of a key log.

    Raises:
        UsageError: it can't be read, or holds no secrets.
    """
    try:
        text = path.read_text("ascii", "replace")
    except OSError as exc:
        raise UsageError(f"{path}: can't read the key log: {exc.strerror or exc}") from exc
    if not KeyLog(text):
        raise UsageError(f"{path}: holds no secrets of TLS sessions; name a file that SSLKEYLOGFILE made")
    return text


def _is_played(step: ReplayStep, sender: Sender) -> bool:
    event = step.event
    return (
        isinstance(event, CapturedFrame)
        and event.sender is sender
        and event.frame.opcode not in (Opcode.CLOSE, Opcode.PONG)
    )


class ReplayScript:
    """
    What happened in one call, read ahead in a thread.

    Attributes:
        notices: what is wrong with the file, as far as it was read.
    """

    def __init__(self, capture: CaptureFile, call: CapturedCall) -> None:
        self._call = call
        self._events = capture.read()
        self._origin = self._other_origin = call.began
        self._moment_before = 0.0
        self._over = self._given_up = False
        self._next: asyncio.Task[list[ReplayStep]] | None = None
        self.notices: list[CaptureNotice] = []

    def begin(self) -> None:
        """Start to read."""
        if self._next is None:
            self._next = asyncio.create_task(asyncio.to_thread(self._read))

    async def __aiter__(self) -> AsyncIterator[ReplayStep]:
        """Yield the steps in order of time."""
        self.begin()
        while self._next is not None:
            steps = await self._next
            self._next = None
            if not self._over:
                self.begin()
            for step in steps:
                yield step

    async def count_rest(self, steps: AsyncIterator[ReplayStep], sender: Sender) -> int | None:
        """
        Return how many frames of one side are still to come, None if that takes long.

        Its Close and what it answers to pings isn't counted.
        """
        count = 0
        try:
            async with asyncio.timeout(MAX_COUNTING):
                async for step in steps:
                    count += _is_played(step, sender)
        except TimeoutError:
            return None
        return count

    async def close(self) -> None:
        """Read no more."""
        self._given_up = True
        if self._next is not None:
            await asyncio.gather(self._next, return_exceptions=True)

    def _read(self) -> list[ReplayStep]:
        steps: list[ReplayStep] = []
        size = 0
        for event in self._events:
            if self._given_up:
                break
            if isinstance(event, CaptureNotice):
                self._note(event)
            elif event.session.number == self._call.number and isinstance(
                event, CapturedFrame | FramesLost | SessionClosed
            ):
                steps.append(ReplayStep(self._moment(event.at), event))
                if isinstance(event, SessionClosed) and event.sender is None:
                    break
                size += len(event.frame.payload) if isinstance(event, CapturedFrame) else 0
                if len(steps) >= BATCH_STEPS or size >= BATCH_BYTES:
                    return steps
        self._over = True
        return steps

    def _moment(self, at: float) -> float:
        """Return a time since the begin of the call; one wrong time, as in a damaged file, moves no other."""
        if abs(at - self._origin - self._moment_before) > MAX_PAUSE:
            self._note(
                CaptureNotice(f"call {self._call.number}", "its times jump by more than an hour; played without")
            )
            before, self._other_origin = self._other_origin, self._origin
            back = 0 <= at - before - self._moment_before <= MAX_PAUSE
            self._origin = before if back else at - self._moment_before
        self._moment_before = max(0.0, at - self._origin)
        return self._moment_before

    def _note(self, notice: CaptureNotice) -> None:
        if len(self.notices) < MAX_NOTICES and notice not in self.notices:
            self.notices.append(notice)
