"""When a connection is read, and how it is kept alive."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from listenctl.net.nonblocking_socket import NonblockingSocket
from listenctl.protocol.audio import AudioFormat
from listenctl.server.settings import ServerSettings

TICK = 0.1
SPOKES = 16


class Visited(Protocol):
    """What the wheel visits."""

    def visit(self, now: float) -> float | None:
        """Do what is due; return the seconds until the next visit (at most a turn of the wheel), None to leave it."""


class TimingWheel:
    """
    Visit things at the intervals they ask for.

    Args:
        after_tick: called after each batch of visits, with the time, for what is better done once for all of them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, after_tick: Callable[[float], None]) -> None:
        self._loop = loop
        self._after_tick = after_tick
        self._spokes: list[list[Visited]] = [[] for _ in range(SPOKES)]
        self._at = 0
        self._due = 0.0
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, visited: Visited, delay: float) -> None:
        """Visit from now on, first after about ``delay`` seconds, on the emptiest spoke near it."""
        self._count += 1
        last = min(SPOKES - 1, max(1, round(delay / TICK)))
        spokes = [(self._at + ahead) % SPOKES for ahead in range(max(1, last // 2), last + 1)]
        min((self._spokes[spoke] for spoke in spokes), key=len).append(visited)
        if self._timer is None:
            self._due = self._loop.time()
            self._schedule()

    def _schedule(self) -> None:
        self._due += TICK
        self._timer = self._loop.call_at(self._due, self._tick) if self._count else None

    def _tick(self) -> None:
        self._at = (self._at + 1) % SPOKES
        spoke, self._spokes[self._at] = self._spokes[self._at], []
        now = self._loop.time()
        for visited in spoke:
            delay = visited.visit(now)
            if delay is None:
                self._count -= 1
            else:
                ahead = min(SPOKES - 1, max(1, round(delay / TICK)))
                self._spokes[(self._at + ahead) % SPOKES].append(visited)
        self._after_tick(now)
        self._schedule()


READ_SIZE = 56 * 1024
"""Bytes that one read of a call should bring; faster calls are read more often, lest their socket buffer fills."""
FIRST_READ = 0.1
"""When to look for the metadata, which follows the handshake at once."""
ATTEND_EVERY = 0.25
"""How often a connection that is opening or closing is looked at for its deadlines."""


class ReadSchedule:
    """
    Have a connection read in batches, or as soon as something is there.

    Attributes:
        interval: seconds until the wheel is to look at it again.
        at_once: whether ``read_now`` is called as soon as something is there.
    """

    def __init__(self, connection: NonblockingSocket, read_now: Callable[[], None]) -> None:
        self.interval = ATTEND_EVERY
        self.at_once = False
        self._socket = connection
        self._read_now = read_now
        self._batch_interval = FIRST_READ

    def settle(self, audio_format: AudioFormat, read_interval: float) -> None:
        """Read the call as often as its audio needs it, now that it has begun."""
        self._batch_interval = min(read_interval, READ_SIZE / audio_format.byte_rate)
        if not self.at_once:
            self.interval = self._batch_interval

    def read_in_batches(self, interval: float | None = None) -> None:
        """Read every ``interval`` seconds from now on; None is as often as the call's audio needs it."""
        self.interval = self._batch_interval if interval is None else interval
        if self.at_once:
            self.at_once = False
            self._socket.call_when_readable(None)

    def read_at_once(self) -> None:
        """Read as soon as something is there, from now on."""
        self.interval = ATTEND_EVERY
        if not self.at_once:
            self.at_once = True
            self._socket.call_when_readable(self._read_now)


class KeepAlive:
    """Keep proxies from cutting a connection, and notice a peer that is gone; audio is a sign of life too."""

    def __init__(self, settings: ServerSettings, now: float) -> None:
        self._settings = settings
        self._last_heard = now
        self._unanswered = 0
        self._draining = False

    def hear(self, now: float) -> None:
        """Take notice of a sign of life."""
        self._last_heard = now
        self._unanswered = 0

    def drain(self, now: float) -> float:
        """Ping no more, since the peer is leaving; return when it should have gone, if it says nothing else."""
        self._draining = True
        return now + self._settings.drain_timeout

    def has_drained(self, now: float) -> bool:
        """Tell whether a peer that is leaving has been silent long enough."""
        return self._draining and now - self._last_heard >= self._settings.drain_timeout

    def next_beat(self, now: float) -> float:
        """Return when to look at the connection again."""
        if self._draining:
            return self._last_heard + self._settings.drain_timeout
        return now + self._settings.ping_interval

    @property
    def is_lost(self) -> bool:
        """Whether the peer has left too many pings unanswered."""
        return not self._draining and self._unanswered >= self._settings.unanswered_pings

    def wants_ping(self) -> bool:
        """Tell whether a ping is to be sent, and count it."""
        self._unanswered += not self._draining
        return not self._draining
