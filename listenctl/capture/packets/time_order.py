"""
Keep what both ends of a connection say in order of time, though what one of them said is known only later.

What is missing in a capture is given up after a while, and until then what came behind it waits. What the other end
says has to wait as well, or what is given out at last would seem to be as late as that.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from listenctl.capture.packets.packet_batches import Notice
from listenctl.capture.packets.tcp_connections import Connection, Event, Events, Piece

MOST_HELD = 1 << 20
MOST_HELD_TOGETHER = 1 << 26
"""Bytes; beyond them order is given up, rather than memory."""
EVENT_COST = 300
"""Bytes of memory that an event takes beside its data."""

_Timed = TypeVar("_Timed")


def in_order(events: Iterable[_Timed], place: Callable[[_Timed], tuple[float, Hashable]]) -> list[_Timed]:
    """Sort events by time, but for those of one end: ``place`` tells the time of an event, and whose it is."""
    latest: dict[Hashable, float] = {}
    keyed = []
    for event in events:
        at, whose = place(event)
        latest[whose] = at = max(at, latest.get(whose, at))
        keyed.append((at, event))
    return [event for _, event in sorted(keyed, key=lambda one: one[0])]


class InStep:
    """Hold what is said on connections that have a hole which isn't given up yet."""

    def __init__(self) -> None:
        self._held: dict[Connection, Events] = {}
        self._sizes: dict[Connection, int] = {}
        self._together = 0

    def take(self, connection: Connection, said: Events, events: Events, *, waits: bool) -> None:
        """Add to ``events`` what can be given out, ``waits`` while something of the connection is missing."""
        held = self._held.get(connection)
        if held is None and not waits:
            events += said
            return
        if held is None:
            held = self._held[connection] = []
            self._sizes[connection] = 0
        held += said
        size = sum(EVENT_COST + (len(one.data) if isinstance(one, Piece) else 0) for one in said)
        self._sizes[connection] += size
        self._together += size
        if not waits or self._sizes[connection] > MOST_HELD or self._together > MOST_HELD_TOGETHER:
            self._together -= self._sizes.pop(connection)
            events += in_order(self._held.pop(connection), _place)


def _place(event: Event | Notice) -> tuple[float, Hashable]:
    assert not isinstance(event, Notice)
    return event.at, event.stream
