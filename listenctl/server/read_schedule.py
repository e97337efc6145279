"""When a connection is read: in batches, by one timer for all connections, or as soon as data arrives."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from listenctl.net.nonblocking_socket import NonblockingSocket
from listenctl.protocol.audio import AudioFormat

TICK = 0.1
SPOKES = 16

logger = logging.getLogger(__name__)

CATCH_UP = 0.0
"""What a visit returns that has left something to do: the next one is soon, but after those that are due."""
CATCH_UP_TIME = TICK / 2
"""Seconds of a tick for visits that catch up."""

Visit: TypeAlias = Callable[[float], float | None]
"""Does what is due; returns the seconds until the next visit, at most a turn of the wheel, None for the last one."""


class TimingWheel:
    """
    Call functions at the intervals that they ask for, with one timer. ``after_tick`` follows each batch, with the times
    when it was due and when it began.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, after_tick: Callable[[float, float], None]) -> None:
        self._loop = loop
        self._after_tick = after_tick
        self._spokes: list[list[Visit]] = [[] for _ in range(SPOKES)]
        self._behind: deque[Visit] = deque()
        self._at = 0
        self._due = 0.0
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def add_visit(self, visit: Visit, delay: float) -> None:
        """Call ``visit`` from now on, first after about ``delay`` seconds, on the emptiest spoke near that."""
        self._count += 1
        last = min(SPOKES - 1, max(1, round(delay / TICK)))
        spokes = [(self._at + ahead) % SPOKES for ahead in range(max(1, last // 2), last + 1)]
        min((self._spokes[spoke] for spoke in spokes), key=len).append(visit)
        if self._timer is None:
            self._due = self._loop.time()
            self._schedule()

    def _schedule(self) -> None:
        self._due += TICK
        self._timer = self._loop.call_at(self._due, self._tick) if self._count else None

    def _tick(self) -> None:
        began = self._loop.time()
        try:
            self._visit_spoke()
            self._after_tick(self._due, began)
        finally:
            self._schedule()

    def _visit_spoke(self) -> None:
        self._at = (self._at + 1) % SPOKES
        spoke, self._spokes[self._at] = self._spokes[self._at], []
        for visit in spoke:
            self._visit(visit)
        until = self._loop.time() + CATCH_UP_TIME
        for _ in range(len(self._behind)):
            if self._loop.time() >= until:
                break
            self._visit(self._behind.popleft())

    def _visit(self, visit: Visit) -> None:
        # A visit that takes long delays the next one.
        try:
            delay = visit(self._loop.time())
        except Exception:
            # Those after it, and the wheel, must go on.
            logger.exception("a visit failed unexpectedly")
            delay = None
        if delay is None:
            self._count -= 1
        elif delay == CATCH_UP:
            self._behind.append(visit)
        else:
            ahead = min(SPOKES - 1, max(1, round(delay / TICK)))
            self._spokes[(self._at + ahead) % SPOKES].append(visit)


READ_SIZE = 56 * 1024
"""Bytes that one read of a call should bring; calls with more audio are read more often, to keep the buffer free."""
FIRST_READ = 0.1
"""Seconds until the first read of a call: the metadata directly follows the handshake."""
CHECK_INTERVAL = 0.25
"""Seconds between two checks of the deadlines of a connection that is opening or closing."""


MOST_OVERDUE = 0.5
"""Seconds by which a visit may be overdue; in a longer time audio may be lost because nobody reads it."""


class ReadSchedule:
    """Read a connection in batches, or as soon as data arrives."""

    def __init__(self, connection: NonblockingSocket, read_now: Callable[[], None]) -> None:
        self.interval = CHECK_INTERVAL  # seconds until the timing wheel visits the connection again
        self.at_once = False  # whether ``read_now`` is called as soon as data arrives
        self.audio_waits = False  # whether audio that is read at once may wait for a visit of the timing wheel
        self._socket = connection
        self._read_now = read_now
        self._batch_interval = self._next_interval = FIRST_READ
        self._wants_at_once = False
        self._stalled = False
        self._behind_since: float | None = None
        self._visited_at: float | None = None

    def set_format(self, audio_format: AudioFormat, read_interval: float) -> None:
        """Read the call as often as its audio needs it."""
        self._batch_interval = self._next_interval = min(read_interval, READ_SIZE / audio_format.byte_rate)
        self._update()

    def read_in_batches(self, interval: float | None = None) -> None:
        """Read every ``interval`` seconds from now on; None is as often as the audio needs it."""
        self._wants_at_once = self.audio_waits = False
        self._next_interval = self._batch_interval if interval is None else interval
        self._update()

    def read_at_once(self, *, audio_waits: bool = False) -> None:
        self._wants_at_once, self.audio_waits = True, audio_waits
        self._update()

    def note_stall(self, stalled: bool) -> None:
        """Read at once while audio is late, because the time at which it arrives decides what is missing."""
        if stalled != self._stalled:
            self._stalled = stalled
            self._next_interval = self._batch_interval
            self._update()

    def fall_behind(self, now: float) -> None:
        """Read once a tick, if there is time, because more has arrived than one visit may take."""
        if self._behind_since is None:
            self._behind_since = now
            self._update()

    def catch_up(self, now: float) -> float:
        """Read as before, because all that had arrived is taken; return for how many seconds it was not."""
        if self._behind_since is None:
            return 0.0
        seconds, self._behind_since = now - self._behind_since, None
        self._update()
        return seconds

    def visit(self, now: float) -> float:
        """Return the seconds for which nobody has read the connection though it was due."""
        overdue = self._overdue(now)
        self._visited_at = now
        return overdue

    def note_read(self, now: float) -> bool:
        """Record a read between two visits; return False, and record nothing, if it takes a visit as it was overdue."""
        if self._overdue(now):
            return False
        self._visited_at = now
        return True

    def _overdue(self, now: float) -> float:
        if self._visited_at is None or self._behind_since is not None:  # ``catch_up`` returns the whole time.
            return 0.0
        overdue = now - self._visited_at - self.interval
        return overdue if overdue > MOST_OVERDUE else 0.0

    def _update(self) -> None:
        behind = self._behind_since is not None
        at_once = (self._wants_at_once or self._stalled) and not behind
        self.interval = CATCH_UP if behind else CHECK_INTERVAL if at_once else self._next_interval
        if at_once != self.at_once:
            self.at_once = at_once
            self._socket.call_when_readable(self._read_now if at_once else None)
