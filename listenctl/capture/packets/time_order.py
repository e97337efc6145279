"""
Keep what both ends of a connection say in order of time, though what one of them said is known only later.

What is missing in a capture is given up after a while, and until then what came behind it waits. What the other end
says has to wait as well, or what is given out at last would seem to be as late as that.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import TcpConnection, TcpData, TcpEvent, TcpEvents

MOST_HELD = 1 << 20
MOST_HELD_TOGETHER = 1 << 26
"""Bytes; beyond them order is given up, rather than memory."""
EVENT_COST = 300
"""Bytes of memory that an event takes beside its data."""

_TimedEvent = TypeVar("_TimedEvent")


def sort_by_time(
    events: Iterable[_TimedEvent], place: Callable[[_TimedEvent], tuple[float, Hashable]]
) -> list[_TimedEvent]:
    """Sort events by time, but for those of one end: ``place`` tells the time of an event, and whose it is."""
    latest: dict[Hashable, float] = {}
    keyed = []
    for event in events:
        at, whose = place(event)
        latest[whose] = at = max(at, latest.get(whose, at))
        keyed.append((at, event))
    return [event for _, event in sorted(keyed, key=lambda one: one[0])]


class TimeOrderedEvents:
    """Hold what is said on connections that have a hole which isn't given up yet."""

    def __init__(self) -> None:
        self._held: dict[TcpConnection, TcpEvents] = {}
        self._sizes: dict[TcpConnection, int] = {}
        self._together = 0

    def take(self, connection: TcpConnection, said: TcpEvents, events: TcpEvents, *, waits: bool) -> None:
        """Add to ``events`` what can be given out, ``waits`` while something of the connection is missing."""
        held = self._held.get(connection)
        if held is None and not waits:
            events += said
            return
        if held is None:
            held = self._held[connection] = []
            self._sizes[connection] = 0
        held += said
        size = sum(EVENT_COST + (len(one.data) if isinstance(one, TcpData) else 0) for one in said)
        self._sizes[connection] += size
        self._together += size
        if not waits or self._sizes[connection] > MOST_HELD or self._together > MOST_HELD_TOGETHER:
            self._together -= self._sizes.pop(connection)
            events += sort_by_time(self._held.pop(connection), _time_and_stream)


def _time_and_stream(event: TcpEvent | CaptureNotice) -> tuple[float, Hashable]:
    assert not isinstance(event, CaptureNotice)
    return event.at, event.stream
