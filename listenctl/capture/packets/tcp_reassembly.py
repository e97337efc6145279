"""
Put the segments of one direction of a TCP connection in order.

What comes early waits for what is missing. That is given up, as a hole, once the receiver has said that it has it all
the same, or there is too much waiting, or too long. Nothing is given up at the first sign: captures from several
processor queues hold an answer before what it answers.
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
"""No segment of a connection is that far from the one before; more is damage, or another connection."""

ACKNOWLEDGED_PATIENCE = 0.5
"""Seconds of the capture after which what the receiver has, and we haven't, is taken for lost."""
PATIENCE = 30.0
"""Seconds for what the receiver doesn't have either: it will be sent again."""
ONE_WAY_PATIENCE = 2.0
"""Seconds where nothing of the receiver is in the capture."""
MAX_WAITING = 1 << 20
MAX_WAITING_TOGETHER = 1 << 26
SEGMENT_COST = 300
"""Bytes of memory that a waiting segment takes beside its data."""
CHAINED = 2
"""So many far segments in a row that follow one another are where the stream goes on."""

WaitingSegment = tuple[int, int, bytes, int, float]
"""Position, packet, data, bytes missing after it, time."""


@dataclass(slots=True)
class ReassemblyMemory:
    """What all streams of a capture have waiting, in bytes."""

    waiting: int = 0


class TcpReassembly:
    """
    One direction of a connection.

    ``next`` is the sequence number that comes next, None before the first. As long as both directions are ``plain``, a
    segment that has it is delivered by advancing ``next`` and ``position``, which is what the fast lane does.
    """

    __slots__ = (
        "_acked", "_acked_since", "_end", "_far_next", "_far_run", "_gap_since", "_memory", "_origin", "_reset", "_syn",
        "_told", "_waiting", "_waiting_bytes", "at", "closed", "next", "other", "plain", "position", "stream",
    )  # fmt: skip

    def __init__(self, stream: TcpStream, memory: ReassemblyMemory) -> None:
        self.stream = stream
        self.other = self
        self.next: int | None = None
        self.position = 0
        """Bytes before ``next``, those that are missing included."""
        self.at = 0.0
        """When its newest packet was captured."""
        self.closed: StreamEnding | None = None
        self.plain = False
        self._memory = memory
        self._told = 0.0  # time of the last piece that had to be looked at closely
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
    def waits(self) -> bool:
        """Whether something is missing that may still come."""
        return bool(self._waiting) or self._acked_since is not None

    def accepts_syn(self, sequence: int) -> bool:
        """Take the sequence number of a SYN, unless it belongs to another connection than what came before."""
        first = (sequence + 1) % WRAP
        if self._syn is not None:
            return self._syn == sequence
        if self.next is None:
            self._begin(first)
        elif not 0 <= _signed(self._origin - first) < FAR:
            return False
        # Captured after data that follows it, which goes on from where it began.
        self._syn = sequence
        return True

    def is_far(self, sequence: int) -> bool:
        """Tell whether a segment can't belong to what came before."""
        return self.next is not None and abs(_signed(sequence - self.next)) >= FAR

    def take(self, segment: TcpSegment, events: TcpEvents) -> None:
        """Take a segment of this direction; SYN has been dealt with."""
        sequence = (segment.sequence + 1) % WRAP if segment.flags & SYN else segment.sequence
        size = len(segment.data) + segment.missing
        self.at = segment.at
        if size:
            self._take_data(sequence, segment, events)
        if segment.flags & (FIN | RST):
            self._take_end(sequence + size, segment)
        self._settle(segment, events)
        self.other.hear(segment, events)

    def hear(self, segment: TcpSegment, events: TcpEvents) -> None:
        """Take what a segment of the other direction says about this one."""
        self._reset |= bool(segment.flags & RST)
        if segment.flags & ACK:
            self._take_ack(segment, events)
        self._settle(segment, events)

    def finish(self, how: StreamEnding, packet: int, events: TcpEvents) -> None:
        """Give out what waits, and end the stream."""
        while self._waiting:
            self._skip_to(self._waiting[0][0], self._gap_since, packet, events)
        last = max(self._end[0] if self._end else 0, self._acked if self._acked_since is not None else 0)
        self._skip_to(last, self._acked_since, packet, events)
        self._close_if_ended(events)
        if not self.closed and self.next is not None:
            self.closed = how
            events.append(TcpStreamEnded(self.at, self.stream, how))
        self.plain = False

    def _begin(self, sequence: int) -> None:
        self.next = self._origin = sequence

    def _take_data(self, sequence: int, segment: TcpSegment, events: TcpEvents) -> None:
        if self.next is None:
            self._begin(sequence)
            if self.stream.connection.client is None and segment.data.startswith(b"GET "):
                self.stream.connection.client = self.stream
        assert self.next is not None
        ahead = _signed(sequence - self.next)
        if abs(ahead) >= FAR:
            self._take_far(sequence, segment, events)
            return
        self._far_run = 0
        piece = (self.position + ahead, segment.packet, segment.data, segment.missing, segment.at)
        if ahead <= 0:
            self._deliver(piece, events)
            self._drain(events)
            return
        insort(self._waiting, piece)
        self._count(len(segment.data) + SEGMENT_COST)
        if self._gap_since is None:
            self._gap_since = segment.at

    def _take_far(self, sequence: int, segment: TcpSegment, events: TcpEvents) -> None:
        """Leave out what can't belong here, unless more of the same follows it: then the stream goes on there."""
        self._far_run = self._far_run + 1 if self._far_run and sequence == self._far_next else 1
        self._far_next = (sequence + len(segment.data) + segment.missing) % WRAP
        if self._far_run <= CHAINED:
            return
        while self._waiting:
            self._skip_to(self._waiting[0][0], self._gap_since, segment.packet, events)
        events.append(TcpGap(segment.at, self.stream, None, self.position, segment.packet, MissingCause.BROKEN))
        self._far_run = 0
        self._acked_since = None
        self._end = None
        self.next = sequence
        self._deliver((self.position, segment.packet, segment.data, segment.missing, segment.at), events)

    def _take_end(self, sequence: int, segment: TcpSegment) -> None:
        if self._end is not None or self.closed:
            return
        if self.next is None:
            self._begin(sequence % WRAP)
        assert self.next is not None
        how = StreamEnding.RST if segment.flags & RST else StreamEnding.FIN
        ahead = _signed(sequence - self.next)
        if how is StreamEnding.RST and not 0 <= ahead < FAR:
            # What a host sends that knows nothing of the connection has any number.
            ahead = 0
        if 0 <= ahead < FAR:
            self._end = (self.position + ahead, how)

    def _take_ack(self, segment: TcpSegment, events: TcpEvents) -> None:
        """Note what the other end says that it has of this stream."""
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
            self._skip_to(min(first, acked), self._acked_since, segment.packet, events)

    def _settle(self, segment: TcpSegment, events: TcpEvents) -> None:
        """Give up what is missing for too long, end the stream when all of it is there, and note whether it's plain."""
        patience = ONE_WAY_PATIENCE if self.other.next is None else PATIENCE
        while self._waiting and (
            self._waiting_bytes > MAX_WAITING
            or self._memory.waiting > MAX_WAITING_TOGETHER
            or segment.at - (self._gap_since or segment.at) > patience
        ):
            self._skip_to(self._waiting[0][0], self._gap_since, segment.packet, events)
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

    def _skip_to(self, position: int, since: float | None, packet: int, events: TcpEvents) -> None:
        """Give up what is missing before ``position``, and deliver what waited for it."""
        size = position - self.position
        if size > 0:
            at = self.at if since is None else since
            if self._waiting:
                # What waited isn't held up by what is missing only in the capture.
                at = min(at, self._waiting[0][4])
            events.append(TcpGap(at, self.stream, size, self.position, packet, MissingCause.NOT_CAPTURED))
            self._advance(size)
        self._acked_since = None
        self._drain(events)

    def _drain(self, events: TcpEvents) -> None:
        """Deliver what waited and is next."""
        ready = 0
        for piece in self._waiting:
            if piece[0] > self.position:
                break
            self._deliver(piece, events)
            self._count(-len(piece[2]) - SEGMENT_COST)
            ready += 1
        del self._waiting[:ready]
        if not self._waiting:
            self._gap_since = None
        elif ready:
            self._gap_since = self._waiting[0][4]

    def _deliver(self, piece: WaitingSegment, events: TcpEvents) -> None:
        """Give out what is new of a piece that begins at the position or before it."""
        position, packet, data, missing, at = piece
        known = self.position - position
        if known >= len(data) + missing:
            return
        # What waited was of no use to the receiver before what it waited for.
        self._told = at = max(at, self._told)
        if fresh := data[known:]:
            events.append(TcpData(at, self.stream, fresh, packet))
            self._advance(len(fresh))
        missing -= max(0, known - len(data))
        if missing:
            events.append(TcpGap(at, self.stream, missing, self.position, packet, MissingCause.CUT))
            self._advance(missing)

    def _advance(self, size: int) -> None:
        assert self.next is not None
        self.next = (self.next + size) % WRAP
        self.position += size

    def _count(self, size: int) -> None:
        self._waiting_bytes += size
        self._memory.waiting += size


def _signed(difference: int) -> int:
    """Return a difference of sequence numbers, which wrap around, as the nearest one."""
    return (difference + HALF_WAY) % WRAP - HALF_WAY
