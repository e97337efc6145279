"""Keep the events of both ends of a connection in order of time: what follows a gap waits until the gap is certain."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import TcpConnection, TcpData, TcpEvent, TcpEvents

MOST_HELD = 1 << 20
MOST_HELD_TOGETHER = 1 << 26
"""Bytes; beyond these limits, memory is more important than order."""
EVENT_COST = 300
"""Memory of an event in addition to its data."""

_TimedEvent = TypeVar("_TimedEvent")


def sort_by_time(
    events: Iterable[_TimedEvent], place: Callable[[_TimedEvent], tuple[float, Hashable]]
) -> list[_TimedEvent]:
    """Sort events by time, but keep the order of each sender; ``place`` returns the time and the sender of an event."""
    latest: dict[Hashable, float] = {}
    keyed = []
    for event in events:
        at, sender = place(event)
        latest[sender] = at = max(at, latest.get(sender, at))
        keyed.append((at, event))
    return [event for _, event in sorted(keyed, key=lambda one: one[0])]


class TimeOrderedEvents:
    def __init__(self) -> None:
        self._held: dict[TcpConnection, TcpEvents] = {}
        self._sizes: dict[TcpConnection, int] = {}
        self._together = 0

    def add_events(self, connection: TcpConnection, new: TcpEvents, events: TcpEvents, *, awaits_data: bool) -> None:
        """Move events to ``events`` as soon as the connection no longer awaits missing data."""
        held = self._held.get(connection)
        if held is None and not awaits_data:
            events += new
            return
        if held is None:
            held = self._held[connection] = []
            self._sizes[connection] = 0
        held += new
        size = sum(EVENT_COST + (len(one.data) if isinstance(one, TcpData) else 0) for one in new)
        self._sizes[connection] += size
        self._together += size
        if not awaits_data or self._sizes[connection] > MOST_HELD or self._together > MOST_HELD_TOGETHER:
            self._together -= self._sizes.pop(connection)
            events += sort_by_time(self._held.pop(connection), _time_and_stream)


def _time_and_stream(event: TcpEvent | CaptureNotice) -> tuple[float, Hashable]:
    assert not isinstance(event, CaptureNotice)
    return event.at, event.stream
