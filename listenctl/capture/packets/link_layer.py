"""Find the IP packet in a captured packet; the fast path of ``tcp_streams`` uses the table of link headers too."""

from dataclasses import dataclass

IPV4, IPV6 = 0x0800, 0x86DD
VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
MAX_TAGS = 8


@dataclass(frozen=True, slots=True)
class LinkLayer:
    """The header of a link type: ``header`` bytes, with the payload's type at ``type_at``."""

    header: int
    type_at: int = 0
    ipv4: bytes = b""  # the type that means IPv4; empty where the link carries nothing but IP
    ethertype: bool = False  # whether the type is an EtherType, which may be a VLAN tag


_ETHERTYPE = IPV4.to_bytes(2, "big")
_RAW = LinkLayer(0)
# Numbers from https://www.tcpdump.org/linktypes.html; some systems write 12 and 14 for raw IP.
LINK_LAYERS = {
    # BSD loopback: the family in the byte order of the capturing machine, nearly always little-endian.
    0: LinkLayer(4, 0, (2).to_bytes(4, "little")),
    # OpenBSD loopback.
    108: LinkLayer(4, 0, (2).to_bytes(4, "big")),
    # Ethernet, Linux cooked 1 and 2.
    1: LinkLayer(14, 12, _ETHERTYPE, ethertype=True),
    113: LinkLayer(16, 14, _ETHERTYPE, ethertype=True),
    276: LinkLayer(20, 0, _ETHERTYPE, ethertype=True),
    12: _RAW,
    14: _RAW,
    101: _RAW,
    228: _RAW,
    229: _RAW,
}


def find_ip_packet(link: LinkLayer, block: bytes, start: int, end: int) -> int | None:
    at = start + link.header
    if at >= end:
        return None
    if not link.ethertype:
        # Loopback families for IPv6 differ by system; the IP header has its version.
        return at if block[at] >> 4 in (4, 6) else None
    ethertype = int.from_bytes(block[start + link.type_at : start + link.type_at + 2], "big")
    for _ in range(MAX_TAGS):
        if ethertype in (IPV4, IPV6):
            return at if at < end else None
        if ethertype not in VLAN_TAGS or at + 4 > end:
            return None
        ethertype = int.from_bytes(block[at + 2 : at + 4], "big")
        at += 4
    return None
