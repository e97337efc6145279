"""
Calls made up as lists of arrivals, and the two ways in which a server reads them.

Each test says what happened to a call on its way, and so what has to be found.
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap_ledger import Gap, GapLedger

MONO = AudioFormat(8000, 1)
FRAME = 320
FRAME_TIME = 0.02
POLL_AT_ONCE = 0.25
POLL_IN_BATCHES = 0.4

Arrival = tuple[float, int]
Arrivals = list[Arrival]
Read = tuple[float, list[int]]


@dataclass(frozen=True, slots=True)
class Blocked:
    """Our own process does nothing from ``start`` to ``end``; what arrives meanwhile waits in the kernel."""

    start: float = 0.0
    end: float = 0.0

    def delay(self, at: float) -> float:
        return self.end if self.start <= at < self.end else at


NEVER = Blocked()


def call(
    seconds: float,
    *,
    ptime: float = FRAME_TIME,
    jitter: float = 0.0,
    ppm: float = 0,
    start: float = 0.05,
) -> Arrivals:
    """Return a call of mono frames at 8 kHz; ``ppm`` is how much slower its clock is than ours."""
    chance = random.Random(1)
    arrivals, latest = [], 0.0
    for index in range(round(seconds / ptime)):
        latest = max(latest, start + (index + 1) * ptime * (1 + ppm * 1e-6) + chance.random() * jitter)
        arrivals.append((latest, round(16_000 * ptime)))
    return arrivals


def without(arrivals: Arrivals, start: float, seconds: float) -> Arrivals:
    """Leave out what would arrive from ``start`` on for ``seconds``."""
    return [arrival for arrival in arrivals if not start < arrival[0] <= start + seconds]


def held_up(arrivals: Arrivals, start: float, seconds: float) -> Arrivals:
    """Let what would arrive within ``seconds`` arrive at their end."""
    end = start + seconds
    return [(end if start < at <= end else at, size) for at, size in arrivals]


def samples(arrivals: Arrivals, before: float = float("inf")) -> int:
    return sum(size for at, size in arrivals if at <= before) // 2


def read_at_once(arrivals: Arrivals, end: float, blocked: Blocked) -> Iterator[Read]:
    """Read whatever arrives, and look for more from time to time."""
    polls = [(min(end, 0.013 + count * POLL_AT_ONCE), 0) for count in range(int(end / POLL_AT_ONCE) + 1)]
    due = sorted((blocked.delay(at), size) for at, size in arrivals + polls)
    for at, group in groupby(due, key=itemgetter(0)):
        yield at, [size for _, size in group if size]


def read_in_batches(arrivals: Arrivals, end: float, blocked: Blocked) -> Iterator[Read]:
    """Read the first audio at once, and what has come together four tenths of a second later, and so on."""
    waiting = deque(sorted(arrivals, key=itemgetter(0)))
    at, last = waiting[0][0], False
    while not last:
        last = at >= end
        now = blocked.delay(at)
        sizes = []
        while waiting and waiting[0][0] <= now:
            sizes.append(waiting.popleft()[1])
        yield now, sizes
        at = max(now, at + POLL_IN_BATCHES)


def read_all(ledger: GapLedger, reads: Iterator[Read]) -> list[Gap]:
    gaps: list[Gap] = []
    at = 0.0
    for at, sizes in reads:
        for size in sizes:
            ledger.add_messages(size)
        gaps += ledger.find_gaps(at)
    gaps += ledger.end_call(at)
    assert gaps == ledger.gaps
    return gaps


class Way:
    """One of the two ways to read a call."""

    def __init__(self, name: str) -> None:
        self._in_batches = name == "in batches"
        self.poll = POLL_IN_BATCHES if self._in_batches else POLL_AT_ONCE

    def listen(
        self,
        arrivals: Arrivals,
        *,
        end: float | None = None,
        started_at: float = 0.0,
        audio_format: AudioFormat = MONO,
        blocked: Blocked = NEVER,
    ) -> GapLedger:
        ledger = GapLedger(audio_format, started_at)
        read = read_in_batches if self._in_batches else read_at_once
        read_all(ledger, read(arrivals, end or arrivals[-1][0] + 0.001, blocked))
        return ledger


def overrun(*, kernel: float, stop: float, ptime: float = FRAME_TIME) -> Arrivals:
    """
    Return a call whose server stops reading, as jambonz sends it (V14).

    The kernel takes ``kernel`` seconds, jambonz queues 3 seconds and throws them away when that is full; what
    is queued then comes as one message, without its first 16 bytes.
    """
    arrivals: Arrivals = []
    in_kernel = queued = slip = 0
    start = 10.06
    end = start + stop
    for at, size in call(start + stop + 20, ptime=ptime):
        if at > end and queued:
            arrivals.append((end, queued - slip))
            queued = 0
        if not start < at <= end:
            arrivals.append((at, size))
        elif in_kernel + size <= kernel * 16_000:
            in_kernel += size
            arrivals.append((end, size))
        else:
            if queued + size > 48_000:
                queued, slip = 0, 16
            queued += size
    return arrivals
