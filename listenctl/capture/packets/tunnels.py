"""
Find the IP packet that a tunnel carries in the payload of another one: IP in IP, GRE (also with Ethernet, ERSPAN, PPP),
MPLS and EtherIP, and over UDP VXLAN, Geneve, GTP-U, GRE and MPLS.
"""

from collections.abc import Callable

from listenctl.capture.packets.link_layer import (
    ETHERNET,
    IPV4,
    IPV6,
    MPLS,
    find_behind_ethertype,
    find_behind_ppp,
    is_ip,
)

MAX_NESTED = 8
"""Tunnels inside tunnels that are followed."""

_UDP_HEADER = 8
# Next protocols of VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).
_GPE_TYPES = {1: IPV4, 2: IPV6, 3: ETHERNET}


def find_tunneled_packet(protocol: int, data: bytes) -> int | None:
    """Return where an IP packet starts in the payload of another one that has this protocol; None if there is none."""
    find = _PROTOCOLS.get(protocol)
    return find(data, 0) if find else None


def _find_ip(data: bytes, at: int) -> int | None:
    return at if is_ip(data, at, len(data)) else None


def _find_in_gre(data: bytes, at: int) -> int | None:
    """RFC 2784, RFC 2890; version 1 is that of PPTP (RFC 2637)."""
    if len(data) < at + 4:
        return None
    flags, version, ethertype = data[at], data[at + 1] & 7, _number(data, at + 2)
    checksum, routing, key, sequence = (flags & bit for bit in (0x80, 0x40, 0x20, 0x10))
    if version > 1 or routing:
        return None
    acknowledged = version == 1 and data[at + 1] & 0x80
    at += 4 + 4 * sum(map(bool, (checksum, key, sequence, acknowledged)))
    match ethertype:
        case 0x880B:  # PPP
            return find_behind_ppp(data, at, len(data))
        case 0x88BE:  # ERSPAN; without a sequence number it is version 1, which has no header.
            return find_behind_ethertype(ETHERNET, data, at + 8 if sequence else at, len(data))
        case 0x22EB:  # ERSPAN 3
            has_subheader = at + 12 <= len(data) and data[at + 11] & 1
            return find_behind_ethertype(ETHERNET, data, at + (20 if has_subheader else 12), len(data))
    return find_behind_ethertype(ethertype, data, at, len(data))


def _find_in_udp(data: bytes, at: int) -> int | None:
    if len(data) < at + _UDP_HEADER:
        return None
    find = _PORTS.get(_number(data, at + 2), _find_in_unnamed_vxlan)
    return find(data, at + _UDP_HEADER)


def _find_in_vxlan(data: bytes, at: int) -> int | None:
    return find_behind_ethertype(ETHERNET, data, at + 8, len(data))


def _find_in_unnamed_vxlan(data: bytes, at: int) -> int | None:
    """RFC 7348: VXLAN has any port; its reserved bytes are 0, and what it carries is Ethernet."""
    is_vxlan = data.startswith(b"\x08\0\0\0", at) and data[at + 7 : at + 8] == b"\0"
    return _find_in_vxlan(data, at) if is_vxlan else None


def _find_in_vxlan_gpe(data: bytes, at: int) -> int | None:
    if len(data) < at + 8:
        return None
    ethertype = _GPE_TYPES.get(data[at + 3], ETHERNET)
    return find_behind_ethertype(ethertype, data, at + 8, len(data))


def _find_in_geneve(data: bytes, at: int) -> int | None:
    """RFC 8926."""
    if len(data) < at + 8 or data[at] >> 6:
        return None
    options = (data[at] & 0x3F) * 4
    return find_behind_ethertype(_number(data, at + 2), data, at + 8 + options, len(data))


def _find_in_gtp(data: bytes, at: int) -> int | None:
    """3GPP TS 29.281: a G-PDU, with its extension headers."""
    if len(data) < at + 12 or data[at] & 0xF0 != 0x30 or data[at + 1] != 0xFF:
        return None
    following = data[at + 11] if data[at] & 0x04 else 0
    at += 12 if data[at] & 0x07 else 8
    while following:
        size = data[at] * 4 if at < len(data) else 0
        if not size or at + size > len(data):
            return None
        following = data[at + size - 1]
        at += size
    return _find_ip(data, at)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


_Finder = Callable[[bytes, int], int | None]
_PORTS: dict[int, _Finder] = {
    2152: _find_in_gtp,
    4754: _find_in_gre,
    4789: _find_in_vxlan,
    4790: _find_in_vxlan_gpe,
    6081: _find_in_geneve,
    6635: lambda data, at: find_behind_ethertype(MPLS, data, at, len(data)),
    8472: _find_in_vxlan,
}
_PROTOCOLS: dict[int, _Finder] = {
    4: _find_ip,
    17: _find_in_udp,
    41: _find_ip,
    47: _find_in_gre,
    97: lambda data, at: find_behind_ethertype(ETHERNET, data, at + 2, len(data)),
    137: lambda data, at: find_behind_ethertype(MPLS, data, at, len(data)),
}
