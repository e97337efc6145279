"""
The calls of a capture, found and read as they are played: what both sides did, in time from the begin of the call.

A capture may be far larger than memory, so each call that is played reads the file for itself, a little ahead.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from websockets.frames import Opcode

from listenctl.capture.captured import CapturedSession, CaptureEvent, FrameSeen, FramesLost, SessionClosed
from listenctl.capture.packets import Notice
from listenctl.capture.reading import read_capture
from listenctl.capture.tls_keylog import KeyLog
from listenctl.errors import ListenctlError, NotFoundError, UsageError
from listenctl.protocol.metadata import CallMetadata
from listenctl.protocol.session import Sender

STDIN = "-"
LATEST = "@latest"
BATCH_STEPS = 64
BATCH_BYTES = 1 << 20
"""Payload after which a batch ends; two batches of a call are in memory at once."""

MAX_PAUSE = 3600.0
"""Seconds after which a pause is taken for a fault of the capture, and left out."""

MAX_NOTICES = 20

MAX_COUNTING = 1.0
"""Seconds that the rest of an interrupted call may take to be counted."""

_TEXT = 1


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
        try:
            yield from read_capture(self.path, keylog=KeyLog(self.secrets))
        except UsageError as exc:
            # A file that can't be used is a failure, as it is where several are read.
            raise ListenctlError(str(exc)) from exc


@dataclass(frozen=True, slots=True)
class CapturedCall:
    """A call of a capture by its number, and the Unix time from which its times count."""

    number: int
    began: float


class Step(NamedTuple):
    """What happened in a call, ``at`` seconds after its begin."""

    at: float
    event: FrameSeen | FramesLost | SessionClosed


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


def find_calls(capture: CaptureFile, wanted: str | None = None, *, every: bool = False) -> list[CapturedCall]:
    """
    Return the calls to play, in the order of their begin; the file is read as far as that takes.

    Args:
        wanted: number or callSid of one, a prefix that no other callSid has, or ``@latest``; without it the first
            that is a listen call.
        every: all listen calls.

    Raises:
        ListenctlError: the file can't be read, or is no capture.
        UsageError: a prefix can mean several calls.
        NotFoundError: it holds no such call, or none whose content can be read.
    """
    search = _Search(capture.name, wanted, every=every)
    for event in capture.read():
        if search.take(event):
            break
    return search.result()


@dataclass(slots=True)
class _Seen:
    session: CapturedSession
    began: float
    sid: str | None = None
    """The callSid of its first text, empty where that has none."""

    @property
    def call(self) -> CapturedCall:
        return CapturedCall(self.session.number, self.began)


class _Search:
    """Look for calls in what a file holds."""

    def __init__(self, name: str, wanted: str | None, *, every: bool) -> None:
        self._name = name
        self._wanted = wanted
        self._every = every
        self._seen: dict[int, _Seen] = {}
        self._unreadable: dict[int, str] = {}

    def take(self, event: CaptureEvent) -> bool:
        """Take what happened; return whether nothing more need be looked at."""
        if isinstance(event, Notice):
            return False
        session = event.session
        if session.unreadable:
            self._unreadable[session.number] = session.unreadable
        if not isinstance(event, FrameSeen):
            return False
        seen = self._seen.get(session.number)
        if seen is None:
            # Where the begin isn't known, or comes from another clock, the first frame is the begin.
            began = session.began if 0 < session.began <= event.at else event.at
            seen = self._seen[session.number] = _Seen(session, began)
        self._look_for_sid(seen, event)
        return not self._every and self._is_wanted(seen)

    def result(self) -> list[CapturedCall]:
        """Return what was found."""
        seen = sorted(self._seen.values(), key=lambda one: one.session.number)
        if self._every:
            found = [one for one in seen if one.session.is_listen is not False]
        elif self._wanted is None:
            found = [one for one in seen if one.session.is_listen] or [
                one for one in seen if one.session.is_listen is None
            ]
        elif self._wanted == LATEST:
            found = sorted((one for one in seen if one.session.is_listen is not False), key=lambda one: -one.began)
        else:
            found = [one for one in seen if self._is_wanted(one)] or self._with_prefix(seen, self._wanted)
        if not found:
            raise NotFoundError(f"{self._name}: {self._complaint()}")
        return [one.call for one in (found if self._every else found[:1])]

    def _is_wanted(self, seen: _Seen) -> bool:
        if self._wanted is None:
            return seen.session.is_listen is True
        return self._wanted in (seen.sid, str(seen.session.number))

    def _with_prefix(self, seen: Sequence[_Seen], prefix: str) -> list[_Seen]:
        found = [one for one in seen if prefix and one.sid and one.sid.startswith(prefix)]
        if len({one.sid for one in found}) > 1:
            raise UsageError(f"{self._name}: --call {prefix} can mean {len(found)} calls; give more of the callSid")
        return found

    def _look_for_sid(self, seen: _Seen, event: FrameSeen) -> None:
        if self._wanted and seen.sid is None and event.sender is Sender.JAMBONZ and event.frame.opcode == _TEXT:
            seen.sid = CallMetadata.parse(event.frame.payload).call_sid or ""

    def _complaint(self) -> str:
        if self._unreadable:
            number, reason = next(iter(self._unreadable.items()))
            return f"call {number} can't be read: {reason}"
        if self._wanted is not None:
            return f"holds no call {self._wanted} of which a frame could be read; `listenctl inspect` lists its calls"
        others = len(self._seen)
        if not others:
            return "holds no listen call of which a frame could be read"
        return f"holds {others} WebSocket connections, and none is a listen call; name one with --call NUMBER"


def _is_played(step: Step, sender: Sender) -> bool:
    event = step.event
    return (
        isinstance(event, FrameSeen)
        and event.sender is sender
        and event.frame.opcode not in (Opcode.CLOSE, Opcode.PONG)
    )


class Script:
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
        self._next: asyncio.Task[list[Step]] | None = None
        self.notices: list[Notice] = []

    def begin(self) -> None:
        """Start to read."""
        if self._next is None:
            self._next = asyncio.create_task(asyncio.to_thread(self._read))

    async def __aiter__(self) -> AsyncIterator[Step]:
        """Yield the steps in order of time."""
        self.begin()
        while self._next is not None:
            steps = await self._next
            self._next = None
            if not self._over:
                self.begin()
            for step in steps:
                yield step

    async def count_rest(self, steps: AsyncIterator[Step], sender: Sender) -> int | None:
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

    def _read(self) -> list[Step]:
        steps: list[Step] = []
        size = 0
        for event in self._events:
            if self._given_up:
                break
            if isinstance(event, Notice):
                self._note(event)
            elif event.session.number == self._call.number and isinstance(
                event, FrameSeen | FramesLost | SessionClosed
            ):
                steps.append(Step(self._moment(event.at), event))
                if isinstance(event, SessionClosed) and event.sender is None:
                    break
                size += len(event.frame.payload) if isinstance(event, FrameSeen) else 0
                if len(steps) >= BATCH_STEPS or size >= BATCH_BYTES:
                    return steps
        self._over = True
        return steps

    def _moment(self, at: float) -> float:
        """Return a time since the begin of the call; one wrong time, as in a damaged file, moves no other."""
        if abs(at - self._origin - self._moment_before) > MAX_PAUSE:
            self._note(Notice(f"call {self._call.number}", "its times jump by more than an hour; played without"))
            before, self._other_origin = self._other_origin, self._origin
            back = 0 <= at - before - self._moment_before <= MAX_PAUSE
            self._origin = before if back else at - self._moment_before
        self._moment_before = max(0.0, at - self._origin)
        return self._moment_before

    def _note(self, notice: Notice) -> None:
        if len(self.notices) < MAX_NOTICES and notice not in self.notices:
            self.notices.append(notice)
