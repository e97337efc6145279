"""Complete and damaged pcapng files."""

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.packets import packet_batches
from listenctl.capture.packets.packet_batches import CaptureNotice, EmbeddedSecrets, PacketBatch
from listenctl.capture.packets.read_pcapng import read_pcapng
from tests.helpers.pcap import (
    ETHERNET,
    RAW,
    START,
    Packet,
    TcpDialog,
    block,
    enhanced,
    in_pieces,
    interface,
    option,
    pcapng,
    section,
)

TALK = TcpDialog().open().client(b"question").server(b"answer" * 50).client(b"\x00" * 300).close().packets
PACKET = Packet(START, b"first packet")
OTHER = Packet(START + 1, b"second packet")


def found(capture: bytes, *, size: int = 1 << 20) -> list[tuple[int, Packet] | str]:
    """Return the packets of a capture with their link types, the notices and the secrets."""
    return [
        one
        for item in read_pcapng(iter(in_pieces(capture, size)))
        for one in (_packets(item) if isinstance(item, PacketBatch) else [_text(item)])
    ]


def _text(item: CaptureNotice | EmbeddedSecrets) -> str:
    return str(item) if isinstance(item, CaptureNotice) else item.text


def _packets(batch: PacketBatch) -> Iterator[tuple[int, Packet]]:
    for at, start, captured, original in batch.records:
        assert start + captured <= len(batch.block)
        yield batch.link_type, Packet(at, batch.block[start : start + captured], original)


def whole(*packets: Packet, link_type: int = ETHERNET) -> list[tuple[int, Packet]]:
    return [(link_type, Packet(round(packet.at, 6), packet.data, len(packet.data))) for packet in packets]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_both_byte_orders_give_their_packets_whatever_the_chunks(order: str, size: int) -> None:
    assert found(pcapng(TALK, order=order), size=size) == whole(*TALK)


def test_sections_have_byte_order_and_interfaces_of_their_own() -> None:
    capture = pcapng([PACKET], order="<") + pcapng([OTHER], order=">", link_type=RAW)

    assert found(capture) == [*whole(PACKET), *whole(OTHER, link_type=RAW)]


def test_packets_of_several_interfaces_keep_their_order_and_link_types() -> None:
    blocks = [enhanced(PACKET), enhanced(OTHER, number=1), enhanced(PACKET)]

    capture = section() + interface(ETHERNET) + interface(RAW) + b"".join(blocks)

    assert found(capture) == [*whole(PACKET), *whole(OTHER, link_type=RAW), *whole(PACKET)]


@pytest.mark.parametrize(
    ("options", "ticks", "at"),
    [
        (b"", 1_790_000_000_123_456, 1_790_000_000.123456),
        (option(9, b"\x09"), 1_790_000_000_123_456_789, 1_790_000_000.123456789),
        (option(9, b"\x00"), 1_790_000_000, 1_790_000_000.0),
        # The upper bit selects powers of two.
        (option(9, b"\x8a"), 1_790_000_000 * 1024 + 512, 1_790_000_000.5),
        (option(14, struct.pack("<q", -3600)), 1_790_003_600_000_000, 1_790_000_000.0),
        (option(2, b"eth0") + option(9, b"\x03") + option(0, b""), 1_790_000_000_250, 1_790_000_000.25),
    ],
    ids=["default", "nanoseconds", "seconds", "power of two", "offset", "after a name"],
)
def test_times_obey_the_options_of_the_interface(options: bytes, ticks: int, at: float) -> None:
    capture = section() + interface(options=options) + enhanced(PACKET, ticks=ticks)

    assert found(capture) == [(ETHERNET, Packet(at, PACKET.data, len(PACKET.data)))]


def test_old_and_simple_packet_blocks_are_read() -> None:
    high, low = divmod(round(START * 1e6), 2**32)
    old = block(2, struct.pack("<HHIIII", 0, 0, high, low, 5, 400) + b"12345")
    simple = block(3, struct.pack("<I", 3) + b"abc")

    assert found(section() + interface() + old + simple) == [
        (ETHERNET, Packet(START, b"12345", 400)),
        # It has no time.
        (ETHERNET, Packet(START, b"abc", 3)),
    ]


def test_a_simple_packet_is_cut_to_the_snap_length() -> None:
    capture = section() + interface(snap_length=6) + block(3, struct.pack("<I", 400) + b"123456")

    assert found(capture) == [(ETHERNET, Packet(0.0, b"123456", 400))]


def test_tls_secrets_are_given_to_the_caller_and_others_are_not() -> None:
    log = b"CLIENT_RANDOM 00 11\n"
    tls = block(10, struct.pack("<II", 0x544C534B, len(log)) + log)
    wireguard = block(10, struct.pack("<II", 0x57474B4C, len(log)) + log)

    assert found(section() + tls + wireguard + interface() + enhanced(PACKET)) == [log.decode(), *whole(PACKET)]


def test_unknown_blocks_are_skipped() -> None:
    capture = section() + block(0x0BAD, b"x" * 99) + interface() + block(5, b"statistics") + enhanced(PACKET)

    assert found(capture) == whole(PACKET)


def test_a_packet_of_an_interface_that_nothing_describes_is_skipped() -> None:
    capture = section() + interface() + enhanced(PACKET, number=7) + enhanced(OTHER)

    assert found(capture) == [
        "packet 1: its interface 7 is not described; packet skipped",
        *whole(OTHER),
    ]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("garbage", [b"\xff" * 1000, b"\x00" * 1000, b"garbage" * 41], ids=["ones", "zeros", "text"])
@pytest.mark.parametrize("size", [61, 1 << 20])
def test_reading_continues_after_garbage(order: str, garbage: bytes, size: int) -> None:
    before = pcapng([PACKET], order=order)

    read = found(before + garbage + enhanced(OTHER, order=order), size=size)

    notice = f"byte {len(before)}: no valid block after packet 1; continuing at byte {len(before) + len(garbage)}"
    assert [one for one in read if not isinstance(one, str)] == whole(PACKET, OTHER)
    assert notice in read


def test_a_packet_that_says_too_much_is_used_as_far_as_it_goes() -> None:
    wrong = block(6, struct.pack("<5I", 0, 0, 0, 400, 400) + b"1234")

    assert found(section() + interface() + wrong) == [
        "packet 1: it claims 400 bytes but has 4; using those",
        (ETHERNET, Packet(0.0, b"1234", 400)),
    ]


def test_a_file_that_ends_in_a_packet_gives_what_is_there() -> None:
    capture = section() + interface() + enhanced(PACKET)

    assert found(capture[:-8]) == [
        f"byte {len(section() + interface())}: the file ends in a block, after 36 of its bytes",
        "packet 1: it claims 12 bytes but has 8; using those",
        (ETHERNET, Packet(START, PACKET.data[:8], 12)),
    ]


@given(st.binary(max_size=600), st.integers(0, 2000), st.integers(0, 300), st.integers(1, 3000))
def test_damage_of_any_kind_costs_nothing_before_it_and_never_raises(
    garbage: bytes, at: int, lost: int, size: int
) -> None:
    capture = pcapng(TALK)
    start = len(section() + interface())
    at = start + at % (len(capture) - start)
    damaged = capture[:at] + garbage + capture[at + lost :]

    packets = [one for one in found(damaged, size=size) if not isinstance(one, str)]

    untouched = sum(len(pcapng(TALK[: index + 1])) <= at for index in range(len(TALK)))
    assert packets[:untouched] == whole(*TALK[:untouched])
    assert packets == [one for one in found(damaged) if not isinstance(one, str)]


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 5, 6, 10]), st.binary(max_size=60)), max_size=9),
    st.sampled_from("<>"),
)
def test_blocks_of_random_data_never_raise(blocks: list[tuple[int, bytes]], order: str) -> None:
    found(section(order=order) + b"".join(block(kind, body, order=order) for kind, body in blocks))


def test_a_time_beyond_the_calendar_is_that_of_the_packet_before() -> None:
    blocks = [enhanced(Packet(START, b"a")), *(enhanced(Packet(0, b"b"), ticks=1 << 63) for _ in range(2))]
    capture = section() + interface() + b"".join([*blocks, enhanced(Packet(START + 1, b"c"))])

    read = list(read_pcapng(iter([capture])))

    times = [at for one in read if isinstance(one, PacketBatch) for at, *_ in one.records]
    assert times == [START, START, START, START + 1]
    assert [str(one) for one in read if isinstance(one, CaptureNotice)] == [
        "packet 2: its time is impossible; it and others like it get the time of the packet before"
    ]


def test_a_file_with_nothing_but_damage_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_batches, "MAX_DAMAGE", 1 << 20)
    chunks = iter([pcapng([Packet(START, b"x" * 60)]), *[bytes(1 << 16)] * 100])

    *_, notice = read_pcapng(chunks)

    assert isinstance(notice, CaptureNotice)
    assert notice.what == "no valid block after packet 1 in 1 MiB; the rest is not read"
    assert len(list(chunks)) > 80
