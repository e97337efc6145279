"""
Find the IP packet in a captured packet, behind VLAN tags, MPLS labels and PPPoE; the fast path of ``tcp_streams`` uses
the table of link headers too.
"""

from dataclasses import dataclass

IPV4, IPV6 = 0x0800, 0x86DD
MPLS, ETHERNET = 0x8847, 0x6558
"""EtherTypes of a stack of MPLS labels, and of a bridged Ethernet frame."""
MAX_TAGS = 16
"""Tags and labels before a packet."""

_VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100, 0x9200, 0x9300})
_MPLS = frozenset({MPLS, 0x8848})
_PPPOE_SESSION = 0x8864
_ETHERNET_HEADER = 14
_CONTROL_WORD = 4
_PPP_ADDRESS = b"\xff\x03"
# Protocol numbers of PPP, also compressed to one byte (RFC 1661 6.5).
_PPP_ETHERTYPES = {0x21: IPV4, 0x57: IPV6, 0x281: MPLS}


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
_NAMES = {
    9: "PPP", 50: "PPP over HDLC", 51: "PPPoE without Ethernet", 104: "Cisco HDLC", 105: "802.11", 107: "Frame Relay",
    109: "OpenBSD enc", 117: "PFLOG", 119: "802.11 with Prism", 127: "802.11 with radiotap", 163: "802.11 with AVS",
    166: "PPP of pppd", 177: "LAPD", 187: "Bluetooth HCI", 189: "USB", 192: "PPI", 195: "802.15.4", 197: "ERF",
    201: "Bluetooth HCI", 204: "PPP with direction", 220: "USB", 227: "CAN", 239: "NFLOG", 242: "IP over InfiniBand",
    247: "InfiniBand", 249: "USBPcap", 251: "Bluetooth LE", 252: "Wireshark upper PDU", 253: "Netlink", 258: "PKTAP",
    271: "vsock",
}  # fmt: skip


def describe_unread_link_type(number: int) -> str:
    """Return why packets of a link type that is not in ``LINK_LAYERS`` are skipped, and what to do."""
    name = f" ({_NAMES[number]})" if number in _NAMES else ""
    return f"link type {number}{name} is not read; capture on a network interface, for example with tcpdump -i any"


def find_ip_packet(link: LinkLayer, block: bytes, start: int, end: int) -> int | None:
    at = start + link.header
    if at >= end:
        return None
    if not link.ethertype:
        # Loopback families for IPv6 differ by system; the IP header has its version.
        return at if is_ip(block, at, end) else None
    return find_behind_ethertype(_number(block, start + link.type_at), block, at, end)


def find_behind_ethertype(ethertype: int, block: bytes, at: int, end: int) -> int | None:
    """Return where the IP packet starts in what an EtherType announces, None if there is none."""
    for _ in range(MAX_TAGS):
        if ethertype in (IPV4, IPV6):
            return at if is_ip(block, at, end) else None
        if ethertype in _MPLS:
            return _find_below_labels(block, at, end)
        if ethertype == _PPPOE_SESSION:
            # The code of a packet with data is 0 (RFC 2516 4).
            return find_behind_ppp(block, at + 6, end) if at + 8 <= end and not block[at + 1] else None
        if ethertype == ETHERNET:
            at += _ETHERNET_HEADER
        elif ethertype in _VLAN_TAGS:
            at += 4
        else:
            return None
        if at > end:
            return None
        ethertype = _number(block, at - 2)
    return None


def find_behind_ppp(block: bytes, at: int, end: int) -> int | None:
    """Return where the IP packet starts in a PPP frame."""
    if block.startswith(_PPP_ADDRESS, at):
        at += 2
    size = 1 if at < end and block[at] & 1 else 2
    if at + size > end:
        return None
    ethertype = _PPP_ETHERTYPES.get(int.from_bytes(block[at : at + size], "big"))
    return find_behind_ethertype(ethertype, block, at + size, end) if ethertype else None


def is_ip(block: bytes, at: int, end: int) -> bool:
    return at < end and block[at] >> 4 in (4, 6)


def _find_below_labels(block: bytes, at: int, end: int) -> int | None:
    """The labels don't name what they carry: IP, or Ethernet with or without a control word (RFC 4448, RFC 4385)."""
    for _ in range(MAX_TAGS):
        if at + 4 > end:
            return None
        is_last, at = block[at + 2] & 1, at + 4
        if is_last:
            break
    # The first byte of an address may look like a version of IP, so Ethernet is tried first.
    inner = find_behind_ethertype(ETHERNET, block, at, end)
    if inner is None and at < end and not block[at] >> 4:
        inner = find_behind_ethertype(ETHERNET, block, at + _CONTROL_WORD, end)
    return at if inner is None and is_ip(block, at, end) else inner


def _number(block: bytes, at: int) -> int:
    return int.from_bytes(block[at : at + 2], "big")
