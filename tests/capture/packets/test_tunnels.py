"""TCP connections inside tunnels; Wireshark reads the same packets."""

import struct
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.packets.link_layer import MAX_TAGS
from listenctl.capture.packets.tcp_events import TcpGap
from listenctl.capture.packets.tunnels import MAX_NESTED, find_tunneled_packet
from tests.helpers.pcap import (
    COOKED,
    COOKED_2,
    ETHERNET,
    RAW,
    START,
    Packet,
    Side,
    notices,
    on_link,
    pcap,
    read_packets,
    short_dialog,
    stream_data,
    tshark,
)

Wrap = Callable[[bytes], bytes]
DATA = [b"questionthanks", b"answer"]
MACS = bytes.fromhex("02000000000102000000000a")
CLIENT_6, SERVER_6 = Side("2001:db8::1", 40_000), Side("2001:db8::2", 8080)


def ethertype(inner: bytes) -> bytes:
    return b"\x86\xdd" if inner[0] >> 4 == 6 else b"\x08\x00"


def frame(inner: bytes) -> bytes:
    return MACS + ethertype(inner) + inner


def outer(protocol: int, payload: bytes, *, six: bool = False) -> bytes:
    """Return an IP packet of a tunnel's ends."""
    if six:
        ends = ip_address("2001:db8:f::5").packed + ip_address("2001:db8:f::6").packed
        return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0, 64, protocol, 0)
    return head + ip_address("10.9.0.5").packed + ip_address("10.9.0.6").packed + payload


def udp(port: int, payload: bytes) -> bytes:
    return outer(17, struct.pack(">HHHH", 50_000, port, 8 + len(payload), 0) + payload)


def gre(kind: int, payload: bytes, *, flags: int = 0, fields: bytes = b"") -> bytes:
    return outer(47, struct.pack(">HH", flags, kind) + fields + payload)


def vxlan(inner: bytes, port: int = 4789) -> bytes:
    return udp(port, bytes.fromhex("0800000000002a00") + frame(inner))


def gtp(inner: bytes, *, flags: int = 0x30, optional: bytes = b"") -> bytes:
    return udp(2152, struct.pack(">BBHI", flags, 0xFF, len(optional) + len(inner), 1) + optional + inner)


def labels(*numbers: int) -> bytes:
    last = len(numbers) - 1
    return b"".join(struct.pack(">I", number << 12 | (at == last) << 8 | 64) for at, number in enumerate(numbers))


TUNNELS: dict[str, Wrap] = {
    "4in4 and 6in4": lambda inner: outer(41 if inner[0] >> 4 == 6 else 4, inner),
    "4in6 and 6in6": lambda inner: outer(41 if inner[0] >> 4 == 6 else 4, inner, six=True),
    "GRE": lambda inner: gre(int.from_bytes(ethertype(inner), "big"), inner),
    "GRE with all fields": lambda inner: gre(
        int.from_bytes(ethertype(inner), "big"), inner, flags=0xB000, fields=bytes(4) + b"key!" + b"\0\0\0\x01"
    ),
    "GRE over IPv6": lambda inner: outer(47, b"\0\0" + ethertype(inner) + inner, six=True),
    "gretap": lambda inner: gre(0x6558, frame(inner)),
    "NVGRE": lambda inner: gre(0x6558, frame(inner), flags=0x2000, fields=b"\0\0\x2a\0"),
    "ERSPAN 1": lambda inner: gre(0x88BE, frame(inner)),
    "ERSPAN 2": lambda inner: gre(0x88BE, b"\x10\x01\0\x0a\0\0\0\0" + frame(inner), flags=0x1000, fields=b"\0\0\0\x01"),
    "ERSPAN 3": lambda inner: gre(
        0x22EB, b"\x20\x01\0\x0a" + bytes(6) + b"\0\x00" + frame(inner), flags=0x1000, fields=b"\0\0\0\x01"
    ),
    "ERSPAN 3 with a subheader": lambda inner: gre(
        0x22EB, b"\x20\x01\0\x0a" + bytes(6) + b"\0\x01" + bytes(8) + frame(inner), flags=0x1000, fields=b"\0\0\0\x01"
    ),
    "PPTP": lambda inner: gre(
        0x880B,
        b"\xff\x03\0" + (b"\x57" if inner[0] >> 4 == 6 else b"\x21") + inner,
        flags=0x3081,
        fields=struct.pack(">HHII", len(inner) + 4, 9, 1, 1),
    ),
    "VXLAN": vxlan,
    "VXLAN on the port of Linux": lambda inner: vxlan(inner, 8472),
    "VXLAN-GPE": lambda inner: udp(
        4790, b"\x0c\0\0" + (b"\x02" if inner[0] >> 4 == 6 else b"\x01") + b"\0\0\x2a\0" + inner
    ),
    "Geneve": lambda inner: udp(6081, bytes.fromhex("0000655800002a00") + frame(inner)),
    "Geneve with options": lambda inner: udp(
        6081, bytes.fromhex("0200655800002a00") + bytes.fromhex("0102000100000007") + frame(inner)
    ),
    "Geneve with IP": lambda inner: udp(6081, b"\0\0" + ethertype(inner) + b"\0\0\x2a\0" + inner),
    "GTP-U": gtp,
    "GTP-U with a sequence number": lambda inner: gtp(inner, flags=0x32, optional=b"\0\x01\0\0"),
    "GTP-U of 5G": lambda inner: gtp(inner, flags=0x34, optional=b"\0\0\0\x85\x01\x00\x09\0"),
    "MPLS in UDP": lambda inner: udp(6635, labels(16) + inner),
    "MPLS in IP": lambda inner: outer(137, labels(16, 17) + inner),
    "MPLS in GRE": lambda inner: gre(0x8847, labels(16) + inner),
    "EtherIP": lambda inner: outer(97, b"\x30\0" + frame(inner)),
    "IPsec AH": lambda inner: outer(51, bytes([41 if inner[0] >> 4 == 6 else 4, 4]) + bytes(22) + inner),
    "VXLAN in GRE in VXLAN": lambda inner: vxlan(gre(0x6558, frame(vxlan(inner)))),
}
ETHERNET_PAYLOADS: dict[str, Wrap] = {
    "MPLS": lambda inner: b"\x88\x47" + labels(16, 1000, 17) + inner,
    "MPLS multicast": lambda inner: b"\x88\x48" + labels(16) + inner,
    "Ethernet over MPLS": lambda inner: b"\x88\x47" + labels(16) + frame(inner),
    "Ethernet over MPLS, control word": lambda inner: b"\x88\x47" + labels(16) + bytes(4) + frame(inner),
    "PPPoE": lambda inner: b"\x88\x64" + ppp(inner),
    "PPPoE in VLANs": lambda inner: b"\x88\xa8\0\x2a\x81\0\0\x2b\x88\x64" + ppp(inner),
    "MPLS in a VLAN": lambda inner: b"\x81\0\0\x2a\x88\x47" + labels(16) + inner,
}


def ppp(inner: bytes) -> bytes:
    kind = b"\0\x57" if inner[0] >> 4 == 6 else b"\0\x21"
    return b"\x11\0\0\x07" + struct.pack(">H", len(inner) + 2) + kind + inner


def inner_packets(*, six: bool = False) -> list[Packet]:
    dialog = short_dialog(CLIENT_6, SERVER_6, link_type=RAW) if six else short_dialog(link_type=RAW)
    return dialog.packets


def wrapped(wrap: Wrap, *, six: bool = False) -> list[Packet]:
    return [Packet(one.at, wrap(one.data)) for one in inner_packets(six=six)]


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", TUNNELS)
def test_a_connection_in_a_tunnel_is_read_as_without_it(name: str, six: bool) -> None:
    found = read_packets(wrapped(TUNNELS[name], six=six), RAW)

    assert stream_data(found) == DATA
    assert notices(found) == []


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", ETHERNET_PAYLOADS)
@pytest.mark.parametrize("link_type", [ETHERNET, COOKED, COOKED_2])
def test_labels_tags_and_sessions_below_ip_are_looked_through(name: str, six: bool, link_type: int) -> None:
    def on(inner: bytes) -> bytes:
        payload = ETHERNET_PAYLOADS[name](inner)
        head = {ETHERNET: bytes(12), COOKED: bytes(14), COOKED_2: b""}[link_type]
        return head + payload[:2] + (bytes(18) if link_type == COOKED_2 else b"") + payload[2:]

    found = read_packets(wrapped(on, six=six), link_type)

    assert stream_data(found) == DATA
    assert notices(found) == []


def test_wireshark_sees_the_same_in_every_tunnel(tmp_path: Path) -> None:
    path = tmp_path / "tunnels.pcap"
    inner = inner_packets()[3].data  # the question
    packets = [on_link(wrap(inner)) for wrap in TUNNELS.values()]
    # Labels don't name what they carry; Wireshark takes these two addresses for something else.
    others = [wrap for name, wrap in ETHERNET_PAYLOADS.items() if not name.startswith("Ethernet")]
    packets += [MACS + wrap(inner) for wrap in others]
    path.write_bytes(pcap(Packet(START, packet) for packet in packets))

    lines = tshark(path, "-d", "udp.port==8472,vxlan", "-T", "fields", "-e", "tcp.payload").split()

    assert lines == [b"question".hex()] * len(packets)


def test_vxlan_is_recognized_on_any_port() -> None:
    assert stream_data(read_packets(wrapped(lambda inner: vxlan(inner, 14_789)), RAW)) == DATA


def test_fragments_of_a_tunnel_are_put_together() -> None:
    packets: list[Packet] = []
    for one in inner_packets():
        whole = vxlan(one.data)
        head, payload = whole[:20], whole[20:]
        for at in range(0, len(payload), 48):
            part = payload[at : at + 48]
            more = (at + 48 < len(payload)) << 13
            identity = struct.pack(">HH", len(packets) - at // 48, more | at // 8)
            packets.append(Packet(one.at, head[:2] + struct.pack(">H", 20 + len(part)) + identity + head[8:] + part))

    found = read_packets(packets, RAW)

    assert stream_data(found) == DATA
    assert notices(found) == []


def test_a_tunneled_packet_that_is_cut_off_lacks_only_its_end() -> None:
    whole = wrapped(vxlan)
    packets = [Packet(one.at, one.data[:-4], len(one.data)) if one.data.endswith(b"question") else one for one in whole]

    found = read_packets(packets, RAW)

    assert stream_data(found) == [b"questhanks", b"answer"]
    assert [one.size for one in found if isinstance(one, TcpGap)] == [4]


def test_encrypted_packets_are_named_once_with_their_count() -> None:
    found = read_packets(wrapped(lambda inner: outer(50, inner)), RAW)

    what = "encrypted by IPsec (ESP); packet skipped; capture where it is decrypted"
    assert notices(found) == [
        f"packet 1: {what}",
        f"the whole capture: {len(inner_packets()) - 1} more packets: {what}",
    ]


def test_tunnels_in_tunnels_end_somewhere() -> None:
    packet = inner_packets()[3].data
    for _ in range(MAX_NESTED + 1):
        packet = outer(4, packet)

    assert stream_data(read_packets([Packet(START, packet)], RAW)) == []


def test_tags_end_somewhere() -> None:
    tagged = bytes(12) + b"\x81\0\0\x01" * MAX_TAGS + b"\x08\0" + inner_packets()[3].data

    assert stream_data(read_packets([Packet(START, tagged)])) == []


@given(st.sampled_from([4, 17, 41, 47, 97, 137]), st.binary(max_size=80), st.data())
def test_no_data_of_a_tunnel_raises(protocol: int, data: bytes, draw: st.DataObject) -> None:
    if protocol == 17:
        port = draw.draw(st.sampled_from([2152, 4754, 4789, 4790, 6081, 6635, 7]))
        data = data[:2] + port.to_bytes(2, "big") + data[2:]

    found = find_tunneled_packet(protocol, data)

    assert found is None or data[found] >> 4 in (4, 6)
