"""
Put the segments of one direction of a TCP connection in order.

Segments that arrive early wait for the missing ones. Missing bytes become a gap some time after the receiver has
acknowledged them, or when too much waits, or for too long. The first sign is not enough: a capture from several
processor queues can have an answer before its request.
"""

from bisect import insort
from dataclasses import dataclass

from listenctl.capture.packets.ip_packets import TcpSegment
from listenctl.capture.packets.tcp_events import (
    MissingCause,
    StreamEnding,
    TcpData,
    TcpEvents,
    TcpGap,
    TcpStream,
    TcpStreamEnded,
)

FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
WRAP = 1 << 32
HALF_WAY = 1 << 31
FAR = 1 << 24
"""A larger distance to the segment before is damage, or another connection."""

ACKNOWLEDGED_PATIENCE = 0.5
"""Seconds of capture time after which acknowledged bytes that the capture lacks count as missing."""
PATIENCE = 30.0
"""The same for bytes without acknowledgement, which will be sent again."""
ONE_WAY_PATIENCE = 2.0
"""The same where the capture has nothing from the receiver."""
MAX_WAITING = 1 << 20
MAX_WAITING_TOGETHER = 1 << 26
SEGMENT_COST = 300
"""Memory of a waiting segment in addition to its data."""
CHAINED = 2
"""After more far segments than this in a row, the stream continues there."""

WaitingSegment = tuple[int, int, bytes, int, float]
"""Position, packet, data, bytes missing after it, time."""


@dataclass(slots=True)
class ReassemblyMemory:
    """The waiting bytes of all streams of a capture."""

    waiting: int = 0


class TcpReassembly:
    """
    One direction of a connection.

    ``next`` is the next sequence number, None before the first. While both directions are ``plain``, a segment with
    that number is delivered by advancing ``next`` and ``position``, which the fast path does itself.
    """

    __slots__ = (
        "_acked", "_acked_since", "_delivered_at", "_end", "_far_next", "_far_run", "_gap_since", "_memory", "_origin",
        "_reset", "_syn", "_waiting", "_waiting_bytes", "at", "closed", "next", "other", "plain", "position", "stream",
    )  # fmt: skip

    def __init__(self, stream: TcpStream, memory: ReassemblyMemory) -> None:
        self.stream = stream
        self.other = self
        self.next: int | None = None
        self.position = 0  # bytes before ``next``, including missing ones
        self.at = 0.0  # time of its newest packet
        self.closed: StreamEnding | None = None
        self.plain = False
        self._memory = memory
        self._delivered_at = 0.0  # time of the last data delivered here
        self._syn: int | None = None
        self._origin = 0  # sequence number of the first byte
        self._waiting: list[WaitingSegment] = []
        self._waiting_bytes = 0
        self._gap_since: float | None = None
        self._acked = 0
        self._acked_since: float | None = None
        self._reset = False  # by the receiver
        self._end: tuple[int, StreamEnding] | None = None
        self._far_next = 0
        self._far_run = 0

    @property
    def awaits_data(self) -> bool:
        """Whether data is missing that may still come."""
        return bool(self._waiting) or self._acked_since is not None

    def accept_syn(self, sequence: int) -> bool:
        """Apply the sequence number of a SYN; return False if the SYN belongs to another connection."""
        first = (sequence + 1) % WRAP
        if self._syn is not None:
            return self._syn == sequence
        if self.next is None:
            self._begin(first)
        elif not 0 <= _signed(self._origin - first) < FAR:
            return False
        # It was captured after data that follows it.
        self._syn = sequence
        return True

    def is_far(self, sequence: int) -> bool:
        """Return whether a segment can't belong to this connection."""
        return self.next is not None and abs(_signed(sequence - self.next)) >= FAR

    def add_segment(self, segment: TcpSegment, events: TcpEvents) -> None:
        """Process a segment of this direction, except its SYN."""
        sequence = (segment.sequence + 1) % WRAP if segment.flags & SYN else segment.sequence
        size = len(segment.data) + segment.missing
        self.at = segment.at
        if size:
            self._add_data(sequence, segment, events)
        if segment.flags & (FIN | RST):
            self._add_end(sequence + size, segment)
        self._settle(segment, events)
        self.other.add_opposite(segment, events)

    def add_opposite(self, segment: TcpSegment, events: TcpEvents) -> None:
        """Process what a segment of the other direction says about this one."""
        self._reset |= bool(segment.flags & RST)
        if segment.flags & ACK:
            self._add_ack(segment, events)
        self._settle(segment, events)

    def end_stream(self, how: StreamEnding, events: TcpEvents) -> None:
        while self._waiting:
            self._skip_to(self._waiting[0][0], self._gap_since, events)
        last = max(self._end[0] if self._end else 0, self._acked if self._acked_since is not None else 0)
        self._skip_to(last, self._acked_since, events)
        self._close_if_ended(events)
        if not self.closed and self.next is not None:
            self.closed = how
            events.append(TcpStreamEnded(self.at, self.stream, how))
        self.plain = False

    def _begin(self, sequence: int) -> None:
        self.next = self._origin = sequence

    def _add_data(self, sequence: int, segment: TcpSegment, events: TcpEvents) -> None:
        if self.next is None:
            self._begin(sequence)
            if self.stream.connection.client is None and segment.data.startswith(b"GET "):
                self.stream.connection.client = self.stream
        assert self.next is not None
        ahead = _signed(sequence - self.next)
        if abs(ahead) >= FAR:
            self._add_far(sequence, segment, events)
            return
        self._far_run = 0
        segment_data = (self.position + ahead, segment.packet, segment.data, segment.missing, segment.at)
        if ahead <= 0:
            self._deliver(segment_data, events)
            self._drain(events)
            return
        insort(self._waiting, segment_data)
        self._count(len(segment.data) + SEGMENT_COST)
        if self._gap_since is None:
            self._gap_since = segment.at

    def _add_far(self, sequence: int, segment: TcpSegment, events: TcpEvents) -> None:
        """Skip a segment that can't belong here, unless several follow it in order: then the stream continues there."""
        self._far_run = self._far_run + 1 if self._far_run and sequence == self._far_next else 1
        self._far_next = (sequence + len(segment.data) + segment.missing) % WRAP
        if self._far_run <= CHAINED:
            return
        while self._waiting:
            self._skip_to(self._waiting[0][0], self._gap_since, events)
        events.append(TcpGap(segment.at, self.stream, None, self.position, MissingCause.BROKEN))
        self._far_run = 0
        self._acked_since = None
        self._end = None
        self.next = sequence
        self._deliver((self.position, segment.packet, segment.data, segment.missing, segment.at), events)

    def _add_end(self, sequence: int, segment: TcpSegment) -> None:
        if self._end is not None or self.closed:
            return
        if self.next is None:
            self._begin(sequence % WRAP)
        assert self.next is not None
        how = StreamEnding.RST if segment.flags & RST else StreamEnding.FIN
        ahead = _signed(sequence - self.next)
        if how is StreamEnding.RST and not 0 <= ahead < FAR:
            # A host that doesn't know the connection sends any number.
            ahead = 0
        if 0 <= ahead < FAR:
            self._end = (self.position + ahead, how)

    def _add_ack(self, segment: TcpSegment, events: TcpEvents) -> None:
        if self.next is None:
            return
        ahead = _signed(segment.ack - self.next)
        limit = self._end[0] if self._end else self.position + ahead
        acked = min(self.position + ahead, limit)
        if not self.position < acked < self.position + FAR:
            self._acked_since = None
        elif self._acked_since is None:
            self._acked, self._acked_since = acked, segment.at
        elif segment.at - self._acked_since > ACKNOWLEDGED_PATIENCE:
            first = self._waiting[0][0] if self._waiting else acked
            self._skip_to(min(first, acked), self._acked_since, events)

    def _settle(self, segment: TcpSegment, events: TcpEvents) -> None:
        """Turn what is missing for too long into gaps, end a complete stream, and update ``plain``."""
        patience = ONE_WAY_PATIENCE if self.other.next is None else PATIENCE
        while self._waiting and (
            self._waiting_bytes > MAX_WAITING
            or self._memory.waiting > MAX_WAITING_TOGETHER
            or segment.at - (self._gap_since or segment.at) > patience
        ):
            self._skip_to(self._waiting[0][0], self._gap_since, events)
        self._close_if_ended(events)
        odd = self._waiting or self._acked_since is not None or self._end or self._reset
        self.plain = self.next is not None and not odd

    def _close_if_ended(self, events: TcpEvents) -> None:
        if self.closed or self.next is None:
            return
        if self._end is not None and self.position >= self._end[0]:
            self.closed = self._end[1]
        elif self._reset and not self._waiting and self._acked_since is None:
            self.closed = StreamEnding.RESET_BY_RECEIVER
        else:
            return
        events.append(TcpStreamEnded(max(self.at, self.other.at), self.stream, self.closed))

    def _skip_to(self, position: int, since: float | None, events: TcpEvents) -> None:
        """Report the bytes before ``position`` as missing, and deliver what waited for them."""
        size = position - self.position
        if size > 0:
            at = self.at if since is None else since
            if self._waiting:
                # Bytes missing only in the capture didn't delay what follows them.
                at = min(at, self._waiting[0][4])
            events.append(TcpGap(at, self.stream, size, self.position, MissingCause.NOT_CAPTURED))
            self._advance(size)
        self._acked_since = None
        self._drain(events)

    def _drain(self, events: TcpEvents) -> None:
        ready = 0
        for segment_data in self._waiting:
            if segment_data[0] > self.position:
                break
            self._deliver(segment_data, events)
            self._count(-len(segment_data[2]) - SEGMENT_COST)
            ready += 1
        del self._waiting[:ready]
        if not self._waiting:
            self._gap_since = None
        elif ready:
            self._gap_since = self._waiting[0][4]

    def _deliver(self, segment_data: WaitingSegment, events: TcpEvents) -> None:
        """Deliver the new bytes of a segment that starts at or before the position."""
        position, packet, data, missing, at = segment_data
        known = self.position - position
        if known >= len(data) + missing:
            return
        # The receiver could not use data before the data that it waited for.
        self._delivered_at = at = max(at, self._delivered_at)
        if fresh := data[known:]:
            events.append(TcpData(at, self.stream, fresh, packet))
            self._advance(len(fresh))
        missing -= max(0, known - len(data))
        if missing:
            events.append(TcpGap(at, self.stream, missing, self.position, MissingCause.CUT))
            self._advance(missing)

    def _advance(self, size: int) -> None:
        assert self.next is not None
        self.next = (self.next + size) % WRAP
        self.position += size

    def _count(self, size: int) -> None:
        self._waiting_bytes += size
        self._memory.waiting += size


def _signed(difference: int) -> int:
    """Return the shortest distance between sequence numbers, which wrap around."""
    return (difference + HALF_WAY) % WRAP - HALF_WAY
