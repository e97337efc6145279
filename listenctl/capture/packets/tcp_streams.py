"""
Reassemble the TCP connections of a capture from its packets.

Nearly every packet is unfragmented IPv4 without options, of a known connection, and in order. Those take a fast path:
one unpack, one look-up by the addresses and ports as they are in the packet, and the payload is the next data. All
others go through ``link_layer``, ``ip_packets`` and ``tcp_reassembly``. Measured with reading the file: 1.8 µs a packet
instead of 6.8.
"""

import socket
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import count
from struct import Struct

from listenctl.capture.packets.copied_connections import CopiedConnections
from listenctl.capture.packets.ip_packets import IpReader, TcpSegment
from listenctl.capture.packets.link_layer import LINK_LAYERS, LinkLayer, describe_unread_link_type, find_ip_packet
from listenctl.capture.packets.packet_batches import (
    CaptureNotice,
    EmbeddedSecrets,
    PacketBatch,
    PacketFileItem,
    PacketRecord,
)
from listenctl.capture.packets.tcp_events import (
    StreamEnding,
    TcpConnection,
    TcpData,
    TcpEndpoint,
    TcpEvent,
    TcpEvents,
    TcpStream,
)
from listenctl.capture.packets.tcp_reassembly import (
    ACK,
    FIN,
    HALF_WAY,
    PSH,
    RST,
    SYN,
    URG,
    WRAP,
    ReassemblyMemory,
    TcpReassembly,
)
from listenctl.capture.packets.time_order import TimeOrderedEvents

MAX_CONNECTIONS = 50_000
"""Beyond this number, the half that has been idle for longest is dropped."""
PLAIN_IPV4 = 0x45
FRAGMENT = 0x3FFF
SPECIAL = SYN | FIN | RST
NEVER_WITH_SYN = FIN | RST | PSH | URG


@cache
def _fast_layout(link: LinkLayer) -> Struct:
    """Return the struct of type, version, length, fragment, protocol, flow key, sequence, ack, TCP offset, flags."""
    before, kind = link.type_at, len(link.ipv4)
    return Struct(f">{before}x{kind}s{link.header - before - kind}xBxHxxHxBxx12sIIBB")


class TcpReader:
    def __init__(self) -> None:
        self._flows: dict[bytes, TcpReassembly] = {}
        self._ip = IpReader()
        self._memory = ReassemblyMemory()
        self._copies = CopiedConnections()
        self._numbers = count()
        self._ordered = TimeOrderedEvents()
        self._notices: dict[str, int] = {}

    def read_batch(self, batch: PacketBatch) -> TcpEvents:
        """Return the events of a batch: in order on each stream, nearly so across streams."""
        events: TcpEvents = []
        link = LINK_LAYERS.get(batch.link_type)
        if link is None:
            what = describe_unread_link_type(batch.link_type)
            self._report(events, CaptureNotice(f"packet {batch.first}", what, unread=True), len(batch.records))
            return events
        block, flows, add = batch.block, self._flows, events.append
        layout, ipv4, header = _fast_layout(link), link.ipv4, link.header
        unpack, least, tcp = layout.unpack_from, layout.size, header + 20
        number = batch.first - 1
        for at, start, captured, original in batch.records:
            number += 1
            if captured >= least:
                kind, version, total, fragment, protocol, key, sequence, ack, offset, flags = unpack(block, start)
                if (
                    version == PLAIN_IPV4
                    and protocol == 6
                    and kind == ipv4
                    and not fragment & FRAGMENT
                    and not flags & SPECIAL
                    and header + total <= captured
                    and (flow := flows.get(key)) is not None
                    and flow.plain
                    and flow.next == sequence
                    and (other := flow.other).plain
                    # The other stream has no gap: nothing is acknowledged that the capture lacks.
                    and (other.next - ack) % WRAP < HALF_WAY
                ):
                    payload = tcp + (offset >> 4 << 2)
                    size = header + total - payload
                    if size > 0:
                        # The first data may show that the connection is a copy of another.
                        if position := flow.position:
                            flow.at = at
                            payload += start
                            add(TcpData(at, flow.stream, block[payload : payload + size], number))
                            flow.next = (sequence + size) % WRAP
                            flow.position = position + size
                            continue
                    elif not size:
                        flow.at = at
                        continue
            self._read_other(link, batch.block, (at, start, captured, original), number, events)
        return events

    def end_capture(self) -> TcpEvents:
        events: TcpEvents = []
        for notice in self._ip.drop_fragments():
            self._report(events, notice)
        for flow in dict.fromkeys(self._flows.values()):
            self._finish(flow, StreamEnding.CAPTURE, events)
        self._flows.clear()
        events.extend(
            CaptureNotice("the whole capture", f"{more} more packets: {what}")
            for what, more in self._notices.items()
            if more
        )
        return events

    def _read_other(self, link: LinkLayer, block: bytes, record: PacketRecord, number: int, events: TcpEvents) -> None:
        at, start, captured, original = record
        end = start + captured
        ip = find_ip_packet(link, block, start, end)
        if ip is None:
            return
        for found in self._ip.read_packet(block[ip:end], at=at, number=number, size=start + original - ip):
            if isinstance(found, CaptureNotice):
                self._report(events, found)
            else:
                self._segment(found, events)

    def _segment(self, segment: TcpSegment, events: TcpEvents) -> None:
        if segment.flags & SYN and segment.flags & NEVER_WITH_SYN:
            # Damage: as a SYN it would end a connection that continues.
            segment = segment._replace(flags=segment.flags & ~SYN)
        flow = self._flows.get(segment.key)
        if flow is None:
            flow = self._open(segment, events)
        if segment.flags & SYN:
            again = not segment.flags & ACK and flow.closed and flow.other.closed
            if again or not flow.accept_syn(segment.sequence):
                flow = self._replace(flow, segment, events)
                flow.accept_syn(segment.sequence)
            connection = flow.stream.connection
            connection.has_handshake = True
            connection.client = connection.client or (flow.stream.opposite if segment.flags & ACK else flow.stream)
        elif flow.closed and segment.data and flow.is_far(segment.sequence):
            flow = self._replace(flow, segment, events)
        elif segment.data and not flow.position:
            flow = self._join_copy(flow, segment)
        new: TcpEvents = []
        flow.add_segment(segment, new)
        awaits_data = flow.awaits_data or flow.other.awaits_data
        self._ordered.add_events(flow.stream.connection, new, events, awaits_data=awaits_data)

    def _join_copy(self, flow: TcpReassembly, segment: TcpSegment) -> TcpReassembly:
        """Return the flow that a segment with the first data belongs to: another one if it is a copy of that."""
        if flow.other.position or flow.awaits_data or flow.other.awaits_data:
            return flow
        original = self._copies.find_original(flow, segment)
        if original is None:
            return flow
        # From now on, the packets of the copy are retransmissions, which may also fill gaps.
        self._flows[segment.key] = original
        self._flows[_reverse(segment.key)] = original.other
        return original

    def _finish(self, flow: TcpReassembly, how: StreamEnding, events: TcpEvents) -> None:
        new: TcpEvents = []
        flow.end_stream(how, new)
        self._ordered.add_events(flow.stream.connection, new, events, awaits_data=flow.other.awaits_data)

    def _replace(self, flow: TcpReassembly, segment: TcpSegment, events: TcpEvents) -> TcpReassembly:
        """End a connection whose addresses and ports a new one reuses."""
        for half in (flow, flow.other):
            self._finish(half, StreamEnding.REPLACED, events)
        return self._open(segment, events)

    def _open(self, segment: TcpSegment, events: TcpEvents) -> TcpReassembly:
        if len(self._flows) >= 2 * MAX_CONNECTIONS:
            self._forget(events)
        source, destination = _endpoints(segment.key)
        connection = TcpConnection(next(self._numbers), segment.at)
        connection.streams = (TcpStream(connection, source, destination), TcpStream(connection, destination, source))
        flow, other = (TcpReassembly(stream, self._memory) for stream in connection.streams)
        flow.other, other.other = other, flow
        self._flows[segment.key] = flow
        self._flows[_reverse(segment.key)] = other
        return flow

    def _forget(self, events: TcpEvents) -> None:
        ages = sorted(max(flow.at, flow.other.at) for flow in self._flows.values())
        oldest = ages[len(ages) // 2]
        for key, flow in list(self._flows.items()):
            if max(flow.at, flow.other.at) <= oldest:
                del self._flows[key]
                self._finish(flow, StreamEnding.FORGOTTEN, events)

    def _report(self, events: TcpEvents, notice: CaptureNotice, packets: int = 1) -> None:
        """Report each kind of problem once, and count the others."""
        if notice.what not in self._notices:
            self._notices[notice.what] = -1
            events.append(notice)
        self._notices[notice.what] += packets


def read_tcp(packets: Iterable[PacketFileItem]) -> Iterator[list[TcpEvent | CaptureNotice | EmbeddedSecrets]]:
    reader = TcpReader()
    for found in packets:
        yield [*reader.read_batch(found)] if isinstance(found, PacketBatch) else [found]
    yield [*reader.end_capture()]


def _endpoints(key: bytes) -> tuple[TcpEndpoint, TcpEndpoint]:
    address = (len(key) - 4) // 2
    family = socket.AF_INET if address == 4 else socket.AF_INET6
    source, destination = (socket.inet_ntop(family, key[at : at + address]) for at in (0, address))
    ports = (int.from_bytes(key[at : at + 2], "big") for at in (-4, -2))
    return TcpEndpoint(source, next(ports)), TcpEndpoint(destination, int.from_bytes(key[-2:], "big"))


def _reverse(key: bytes) -> bytes:
    address = (len(key) - 4) // 2
    return key[address : 2 * address] + key[:address] + key[-2:] + key[-4:-2]
