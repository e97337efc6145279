"""TCP segments in all kinds of IP packets."""

import struct
from collections.abc import Sequence

import pytest

from listenctl.capture.packets.ip_packets import MAX_DATAGRAMS, IpReader
from tests.helpers.pcap import (
    ACK,
    CLIENT,
    RAW,
    SERVER,
    START,
    Packet,
    Side,
    ip,
    notices,
    read_packets,
    short_dialog,
    stream_data,
    tcp,
)

CLIENT_6, SERVER_6 = Side("2001:db8::1", 40_000), Side("2001:db8::2", 8080)


def test_a_packet_of_segmentation_offload_has_no_length() -> None:
    packets = [Packet(one.at, one.data[:16] + b"\0\0" + one.data[18:]) for one in short_dialog().packets]

    assert stream_data(read_packets(packets)) == [b"questionthanks", b"answer"]


def test_options_of_ip_are_skipped() -> None:
    def with_options(data: bytes) -> bytes:
        length = int.from_bytes(data[16:18], "big") + 4
        head = data[:14] + b"\x46" + data[15:16] + length.to_bytes(2, "big") + data[18:34]
        return head + b"\1\1\1\0" + data[34:]

    packets = [Packet(one.at, with_options(one.data)) for one in short_dialog().packets]

    assert stream_data(read_packets(packets)) == [b"questionthanks", b"answer"]


def test_extension_headers_of_ipv6_are_skipped() -> None:
    def extended(packet: bytes) -> bytes:
        hop_by_hop, authentication = b"\x33\x00" + bytes(6), b"\x3c\x04" + bytes(22)
        routing = b"\x06\x00" + bytes(6)
        more = hop_by_hop + authentication + routing
        length = int.from_bytes(packet[4:6], "big") + len(more)
        return packet[:4] + length.to_bytes(2, "big") + b"\x00" + packet[7:40] + more + packet[40:]

    packets = [Packet(one.at, extended(one.data)) for one in short_dialog(CLIENT_6, SERVER_6, link_type=RAW).packets]

    assert stream_data(read_packets(packets, RAW)) == [b"questionthanks", b"answer"]


def fragments(data: bytes, *, six: bool) -> list[bytes]:
    """Return a segment with data in IP fragments of 200 bytes."""
    source, destination = (CLIENT_6, SERVER_6) if six else (CLIENT, SERVER)
    segment = tcp(source, destination, 1001, 1, ACK, data)
    parts = [(at, segment[at : at + 200], at + 200 < len(segment)) for at in range(0, len(segment), 200)]
    if not six:
        return [ip(source, destination, part, fragment=more << 13 | at // 8) for at, part, more in parts]
    packets = [ip(source, destination, struct.pack(">BBHI", 6, 0, at | more, 77) + part) for at, part, more in parts]
    return [packet[:6] + b"\x2c" + packet[7:] for packet in packets]


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 1, 0, 2)])
def test_fragments_are_put_together_in_any_order(six: bool, order: Sequence[int]) -> None:
    data = bytes(range(256)) * 2
    parts = fragments(data, six=six)

    found = read_packets([Packet(START, parts[index]) for index in order], RAW)

    assert stream_data(found) == [data]
    assert notices(found) == []


def test_a_fragment_whose_others_are_missing_is_named() -> None:
    found = read_packets([Packet(START, fragments(b"x" * 400, six=False)[0])], RAW)

    assert notices(found) == ["packet 1: fragment whose other parts are not in the capture; skipped"]


def test_fragments_that_stay_alone_take_little_memory() -> None:
    reader = IpReader()

    for number in range(1000):
        alone = ip(CLIENT, SERVER, b"x" * 800, fragment=1 << 13, identity=number)
        list(reader.read_packet(alone, at=START, number=number, size=len(alone)))

    assert len(list(reader.drop_fragments())) == MAX_DATAGRAMS


def test_packets_too_short_to_use_are_reported_once_with_their_count() -> None:
    packets = [Packet(one.at, one.data[:40], len(one.data)) for one in short_dialog().packets]

    found = read_packets(packets)

    what = "its TCP header was not captured completely; packet skipped"
    assert notices(found) == [f"packet 1: {what}", f"the whole capture: {len(packets) - 1} more packets: {what}"]
