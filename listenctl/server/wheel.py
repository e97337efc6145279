"""
When to look at which connection: a timing wheel instead of a readiness event for every frame.

A call sends fifty frames a second; read a few times a second, each read returns a batch, and the cost of waking,
reading and parsing is shared by all of it. Calls are spread over the wheel, so the work comes in small even pieces.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

TICK = 0.1
SPOKES = 16


class Visited(Protocol):
    """What the wheel visits."""

    def visit(self, now: float) -> float | None:
        """Do what is due; return the seconds until the next visit (at most a turn of the wheel), None to leave it."""


class Wheel:
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
