"""Packets that are captured twice: by two interfaces, by a mirror port, or before and after NAT."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from listenctl.capture.packets.copied_connections import MAX_DELAY
from listenctl.capture.packets.tcp_events import TcpData
from tests.helpers.pcap import (
    RAW,
    Packet,
    Side,
    TcpDialog,
    call_packets,
    read_packets,
    read_sessions,
    sessions,
    short_dialog,
    stream_data,
    timed_frames,
)

DATA = [b"questionthanks", b"answer"]
CLIENT, SERVER = Side("10.0.0.1", 40_000, 3_000_000_000), Side("10.0.0.2", 8080, 2_000_000_000)
INSIDE = Side("172.17.0.2", 3000, SERVER.first)
ROUTER = Side("10.0.0.9", 61_000, CLIENT.first)


def joined(*captures: Sequence[Packet], delay: float) -> list[Packet]:
    """Return all packets in order of time, those of each capture ``delay`` later than those of the one before."""
    late = (replace(one, at=one.at + number * delay) for number, packets in enumerate(captures) for one in packets)
    return sorted(late, key=lambda one: one.at)


def data_of(packets: Sequence[Packet]) -> list[bytes]:
    return stream_data(read_packets(packets, RAW))


@pytest.mark.parametrize("delay", [0.00002, 0.015, 0.5])
@pytest.mark.parametrize(
    "others",
    [
        [(CLIENT, INSIDE)],
        [(ROUTER, SERVER)],
        [(CLIENT, INSIDE), (ROUTER, INSIDE)],
        [(CLIENT, replace(SERVER, port=8443))],
        [(Side("2001:db8::1", 40_000, CLIENT.first), Side("2001:db8::2", 8080, SERVER.first))],
    ],
    ids=["destination", "source", "both", "port of the server", "NAT64"],
)
def test_copies_before_and_after_nat_are_one_connection(others: list[tuple[Side, Side]], delay: float) -> None:
    copies = [short_dialog(*sides, link_type=RAW).packets for sides in [(CLIENT, SERVER), *others]]

    assert data_of(joined(*copies, delay=delay)) == DATA


def test_a_copy_that_begins_midway_is_recognized_by_its_first_data() -> None:
    one, other = (short_dialog(CLIENT, server, link_type=RAW).packets[3:] for server in (SERVER, INSIDE))

    assert data_of(joined(one, other, delay=0.0001)) == DATA


def test_a_copy_fills_the_gaps_of_the_first() -> None:
    one, other = (short_dialog(CLIENT, server, link_type=RAW).packets for server in (SERVER, INSIDE))

    assert data_of(joined([*one[:7], *one[8:]], other, delay=0.0001)) == DATA


def test_the_next_connection_of_the_same_ports_is_recognized_again() -> None:
    def twice(server: Side) -> list[Packet]:
        first = short_dialog(CLIENT, server, link_type=RAW)
        client, again = (replace(side, first=side.first + 90_000) for side in (CLIENT, server))
        second = TcpDialog(client, again, link_type=RAW, start=first.now + 1).open().client(b"more").close()
        return first.packets + second.packets

    assert data_of(joined(twice(SERVER), twice(INSIDE), delay=0.0001)) == [*DATA, b"more"]


@pytest.mark.parametrize(
    ("client", "server", "delay"),
    [
        pytest.param(replace(CLIENT, port=40_001), SERVER, 0.001, id="another port of the client"),
        pytest.param(replace(CLIENT, first=3_000_000_001), INSIDE, 0.001, id="other sequence numbers"),
        pytest.param(CLIENT, INSIDE, MAX_DELAY + 1, id="long after it"),
    ],
)
def test_connections_that_only_look_alike_stay_apart(client: Side, server: Side, delay: float) -> None:
    one, other = (
        short_dialog(CLIENT, SERVER, link_type=RAW).packets,
        short_dialog(client, server, link_type=RAW).packets,
    )

    assert sorted(data_of(joined(one, other, delay=delay))) == sorted(DATA * 2)


def test_connections_of_a_capture_that_is_made_up_stay_apart() -> None:
    one, other = (Side(f"10.0.0.{number}", 40_000, 1000) for number in (1, 2))

    assert sorted(
        data_of(joined(*(short_dialog(side, SERVER, link_type=RAW).packets for side in (one, other)), delay=0.001))
    ) == sorted(DATA * 2)


def test_other_data_with_the_same_numbers_is_another_connection() -> None:
    one = TcpDialog(CLIENT, SERVER, link_type=RAW).open().client(b"one").packets
    other = TcpDialog(CLIENT, INSIDE, link_type=RAW).open().client(b"two").packets

    assert data_of(joined(one, other, delay=0.001)) == [b"one", b"two"]


def with_tag(packet: Packet) -> Packet:
    return replace(packet, data=packet.data[:12] + b"\x81\0\0\x2a" + packet.data[12:])


def translated(packet: Packet) -> Packet:
    """Return a packet of the captured calls behind NAT, which has another address and port for the server."""
    head, addresses, data = packet.data[:26], packet.data[26:34], packet.data[34:]
    ports = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    inside = bytes([172, 17, 0, 2])
    if ports[0] < ports[1]:
        return replace(packet, data=head + inside + addresses[4:] + b"\x0b\xb8" + data[2:])
    return replace(packet, data=head + addresses[:4] + inside + data[:2] + b"\x0b\xb8" + data[4:])


@pytest.mark.parametrize("copy", [lambda packet: packet, with_tag, translated], ids=["same", "VLAN", "NAT"])
@pytest.mark.parametrize("delay", [0.00001, 0.0015])
def test_a_call_that_is_captured_twice_is_one_call(copy: Callable[[Packet], Packet], delay: float) -> None:
    packets = call_packets("f_pause_graceful")
    copies = [copy(packet) for packet in packets]

    once, twice = read_sessions(packets), read_sessions(joined(packets, copies, delay=delay))

    assert len(sessions(twice)) == 1
    assert [(one.at, one.sender, one.frame) for one in timed_frames(twice)] == [
        (one.at, one.sender, one.frame) for one in timed_frames(once)
    ]


def test_the_address_of_a_connection_is_the_one_captured_first() -> None:
    one, other = (short_dialog(CLIENT, server, link_type=RAW).packets for server in (SERVER, INSIDE))

    found = read_packets(joined(one, other, delay=0.0001), RAW)

    assert {str(one.stream.connection) for one in found if isinstance(one, TcpData)} == {
        "10.0.0.1:40000 → 10.0.0.2:8080"
    }
