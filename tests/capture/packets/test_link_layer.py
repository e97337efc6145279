"""TCP connections on every link type."""

from collections.abc import Sequence

import pytest

from listenctl.capture.packets.link_layer import LINK_LAYERS
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.packets.tcp_events import TcpData
from tests.helpers.pcap import (
    CLIENT,
    COOKED,
    COOKED_2,
    ETHERNET,
    LOOPBACK,
    OPENBSD_LOOPBACK,
    RAW,
    SERVER,
    Packet,
    Side,
    notices,
    on_link,
    read_packets,
    short_dialog,
    stream_data,
)

CLIENT_6, SERVER_6 = Side("2001:db8::1", 40_000), Side("2001:db8::2", 8080)
LINK_TYPES = [ETHERNET, LOOPBACK, RAW, OPENBSD_LOOPBACK, COOKED, COOKED_2, 12, 14, 228, 229]


@pytest.mark.parametrize("link_type", LINK_TYPES)
@pytest.mark.parametrize("sides", [(CLIENT, SERVER), (CLIENT_6, SERVER_6)], ids=["IPv4", "IPv6"])
def test_every_link_type_carries_both_versions_of_ip(link_type: int, sides: tuple[Side, Side]) -> None:
    found = read_packets(short_dialog(*sides, link_type=link_type).packets, link_type)

    assert stream_data(found) == [b"questionthanks", b"answer"]
    assert notices(found) == []


def test_all_link_types_that_are_read_are_tried_here() -> None:
    assert set(LINK_TYPES) == set(LINK_LAYERS)


@pytest.mark.parametrize("tags", [[0x8100], [0x88A8, 0x8100], [0x9100, 0x8100, 0x8100]])
@pytest.mark.parametrize("link_type", [ETHERNET, COOKED, COOKED_2])
def test_vlan_tags_are_looked_through(tags: Sequence[int], link_type: int) -> None:
    packets = [Packet(one.at, on_link(one.data, link_type, tags=tags)) for one in short_dialog(link_type=RAW).packets]

    assert stream_data(read_packets(packets, link_type)) == [b"questionthanks", b"answer"]


def test_an_address_has_its_usual_form() -> None:
    found = read_packets(short_dialog(CLIENT_6, SERVER_6).packets)

    connections = {str(one.stream.connection) for one in found if isinstance(one, TcpData)}
    assert connections == {"[2001:db8::1]:40000 → [2001:db8::2]:8080"}


@pytest.mark.parametrize(("number", "name"), [(239, "239 (NFLOG)"), (258, "258 (PKTAP)"), (9999, "9999")])
def test_a_link_type_that_is_not_read_is_named_with_what_to_do(number: int, name: str) -> None:
    packets = short_dialog().packets

    found = read_packets(packets, number)

    what = f"link type {name} is not read; capture on a network interface, for example with tcpdump -i any"
    more = f"the whole capture: {len(packets) - 1} more packets: {what}"
    assert notices(found) == [f"packet 1: {what}", more]
    assert next(one for one in found if isinstance(one, CaptureNotice)).unread


def test_padding_of_short_ethernet_packets_is_no_data() -> None:
    packets = [Packet(one.at, one.data.ljust(60, b"\x00")) for one in short_dialog().packets]

    assert stream_data(read_packets(packets)) == [b"questionthanks", b"answer"]
