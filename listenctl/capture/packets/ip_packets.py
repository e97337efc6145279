"""Extract TCP segments from IP packets: IPv4 with options, IPv6 with extension headers, fragments and tunnels."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tunnels import MAX_NESTED, find_tunneled_packet

TCP_PROTOCOL = 6
MAX_DATAGRAMS = 64
"""Incomplete datagrams that are kept; beyond that, the oldest is dropped."""
MAX_DATAGRAM = 65_535

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_ENCRYPTED = 50
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION})
_IPV4 = Struct(">BxHHHxB2x4s4s").unpack_from
_TCP = Struct(">4sIIBB").unpack_from
_TCP_HEADER = 20


class TcpSegment(NamedTuple):
    """
    One TCP segment; ``key`` is both addresses and both ports as in the packet, sender first. ``missing`` bytes of the
    payload, after ``data``, were on the wire but not captured.
    """

    at: float
    packet: int
    key: bytes
    sequence: int
    ack: int
    flags: int
    data: bytes
    missing: int


class IpPayload(NamedTuple):
    """The payload of an IP packet: ``addresses`` sender first, ``missing`` bytes after ``data`` not captured."""

    addresses: bytes
    protocol: int
    data: bytes
    missing: int


@dataclass(slots=True)
class _Datagram:
    """A fragmented packet being reassembled: ``parts`` by offset, ``size`` once the last part is there."""

    packet: int
    addresses: bytes
    protocol: int
    parts: dict[int, bytes] = field(default_factory=dict)
    got: int = 0
    size: int | None = None


class IpReader:
    def __init__(self) -> None:
        self._datagrams: dict[bytes, _Datagram] = {}

    def read_packet(self, packet: bytes, *, at: float, number: int, size: int) -> Iterator[TcpSegment | CaptureNotice]:
        """
        Yield the TCP segment that a packet carries or completes, or a notice. ``packet`` has at least one byte;
        ``size`` is that on the wire, which the header lacks with segmentation offload.
        """
        payload = self._payload(packet, number, size)
        for _ in range(MAX_NESTED):
            if not isinstance(payload, IpPayload) or payload.protocol == TCP_PROTOCOL:
                break
            start = find_tunneled_packet(payload.protocol, payload.data)
            if start is None:
                break
            payload = self._payload(payload.data[start:], number, len(payload.data) + payload.missing - start)
        if isinstance(payload, CaptureNotice):
            yield payload
        elif payload is not None and payload.protocol == TCP_PROTOCOL:
            yield _segment(payload, at, number)
        elif payload is not None and payload.protocol == _ENCRYPTED:
            what = "encrypted by IPsec (ESP); packet skipped; capture where it is decrypted"
            yield CaptureNotice(f"packet {number}", what, unread=True)
        while len(self._datagrams) > MAX_DATAGRAMS:
            yield _incomplete(self._datagrams.pop(next(iter(self._datagrams))))

    def drop_fragments(self) -> Iterator[CaptureNotice]:
        """Report the fragments whose other parts never came."""
        yield from map(_incomplete, self._datagrams.values())
        self._datagrams.clear()

    def _payload(self, packet: bytes, number: int, size: int) -> IpPayload | CaptureNotice | None:
        if packet[0] >> 4 == 4:
            return self._payload_v4(packet, number, size)
        return self._payload_v6(packet, number, size)

    def _payload_v4(self, packet: bytes, number: int, size: int) -> IpPayload | CaptureNotice | None:
        header = (packet[0] & 0x0F) * 4
        if len(packet) < max(header, 20):
            return _cut_packet(packet, number, size)
        _, total, identity, fragment, protocol, source, destination = _IPV4(packet)
        end = total or max(size, len(packet))
        if header < 20 or end < header:
            return CaptureNotice(f"packet {number}", "its IP header has an impossible length; packet skipped")
        payload = IpPayload(source + destination, protocol, packet[header:end], max(0, end - len(packet)))
        if not fragment & 0x3FFF:
            return _without_authentication(payload)
        key = b"%b%b%b" % (payload.addresses, identity.to_bytes(2, "big"), bytes([protocol]))
        return self._fragment(key, payload, number, (fragment & 0x1FFF) * 8, more=bool(fragment & 0x2000))

    def _payload_v6(self, packet: bytes, number: int, size: int) -> IpPayload | CaptureNotice | None:
        if len(packet) < 40:
            return _cut_packet(packet, number, size)
        length = int.from_bytes(packet[4:6], "big")
        end = 40 + length if length else max(size, len(packet))
        following, at = packet[6], 40
        while following in _EXTENSIONS:
            if at + 8 > min(end, len(packet)):
                return CaptureNotice(f"packet {number}", "its IPv6 extension headers are cut off; packet skipped")
            if following == _FRAGMENT:
                return self._fragment_v6(packet, number, at, end)
            header = (packet[at + 1] + 2) * 4 if following == _AUTHENTICATION else (packet[at + 1] + 1) * 8
            following, at = packet[at], at + header
        return IpPayload(packet[8:40], following, packet[at:end], max(0, end - max(at, len(packet))))

    def _fragment_v6(self, packet: bytes, number: int, at: int, end: int) -> IpPayload | CaptureNotice | None:
        following, where = packet[at], int.from_bytes(packet[at + 2 : at + 4], "big")
        payload = IpPayload(packet[8:40], following, packet[at + 8 : end], max(0, end - len(packet)))
        if not where & 0xFFF9:
            return payload
        key = payload.addresses + packet[at + 4 : at + 8]
        return self._fragment(key, payload, number, where & 0xFFF8, more=bool(where & 1))

    def _fragment(
        self, key: bytes, part: IpPayload, number: int, offset: int, *, more: bool
    ) -> IpPayload | CaptureNotice | None:
        if part.missing or offset + len(part.data) > MAX_DATAGRAM:
            return CaptureNotice(f"packet {number}", "fragment not captured completely; skipped")
        datagram = self._datagrams.setdefault(key, _Datagram(number, part.addresses, part.protocol))
        if offset == 0:
            # In IPv6, only the first fragment has the protocol of the whole.
            datagram.protocol = part.protocol
        if offset not in datagram.parts:
            datagram.parts[offset] = part.data
            datagram.got += len(part.data)
        if not more:
            datagram.size = offset + len(part.data)
        data = _joined(datagram)
        if data is None:
            return None
        del self._datagrams[key]
        return IpPayload(datagram.addresses, datagram.protocol, data, 0)


def _cut_packet(packet: bytes, number: int, size: int) -> CaptureNotice:
    what = f"only {len(packet)} bytes of its IP packet were captured; packet skipped"
    return CaptureNotice(f"packet {number}", what, unread=size > len(packet))


def _without_authentication(payload: IpPayload) -> IpPayload:
    """Skip the header of IPsec AH (RFC 4302), which leaves the data readable."""
    if payload.protocol != _AUTHENTICATION or len(payload.data) < 2:
        return payload
    header = (payload.data[1] + 2) * 4
    return payload._replace(protocol=payload.data[0], data=payload.data[header:])


def _joined(datagram: _Datagram) -> bytes | None:
    if datagram.size is None or datagram.got < datagram.size:
        return None
    data = bytearray()
    for offset, part in sorted(datagram.parts.items()):
        if offset > len(data):
            return None
        data[offset:] = part
    return bytes(data[: datagram.size])


def _incomplete(datagram: _Datagram) -> CaptureNotice:
    return CaptureNotice(f"packet {datagram.packet}", "fragment whose other parts are not in the capture; skipped")


def _segment(payload: IpPayload, at: float, number: int) -> TcpSegment | CaptureNotice:
    data = payload.data
    if len(data) < _TCP_HEADER:
        cut = bool(payload.missing)
        what = "its TCP header was not captured completely" if cut else "its TCP header is too short"
        return CaptureNotice(f"packet {number}", f"{what}; packet skipped", unread=cut)
    ports, sequence, ack, offset, flags = _TCP(data)
    header = (offset >> 4) * 4
    if header < _TCP_HEADER or header > len(data) + payload.missing:
        return CaptureNotice(f"packet {number}", "its TCP header has an impossible length; packet skipped")
    key = payload.addresses + ports
    missing = payload.missing - max(0, header - len(data))
    return TcpSegment(at, number, key, sequence, ack, flags, data[header:], missing)
