"""Complete and damaged pcap files."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.packets import packet_batches
from listenctl.capture.packets.packet_batches import CaptureNotice, PacketBatch
from listenctl.capture.packets.read_pcap import MAGICS, read_pcap
from tests.helpers.pcap import START, Packet, TcpDialog, in_pieces, pcap

TALK = TcpDialog().open().client(b"question").server(b"answer" * 50).client(b"\x00" * 300).close().packets
HEADER, RECORD = 24, 16


def read(capture: bytes, *, size: int = 1 << 20) -> tuple[list[Packet], list[str]]:
    """Return the packets and the notices of a capture that is read in chunks of ``size``."""
    packets: list[Packet] = []
    notices = []
    for found in read_pcap(iter(in_pieces(capture, size))):
        if isinstance(found, CaptureNotice):
            notices.append(str(found))
        else:
            assert found.first == len(packets) + 1
            packets += _packets(found)
    return packets, notices


def _packets(batch: PacketBatch) -> Iterator[Packet]:
    for at, start, captured, original in batch.records:
        assert start + captured <= len(batch.block)
        yield Packet(round(at, 6), batch.block[start : start + captured], original)


def whole(packets: list[Packet]) -> list[Packet]:
    return [Packet(round(packet.at, 6), packet.data, len(packet.data)) for packet in packets]


def offset_of(index: int) -> int:
    return HEADER + sum(RECORD + len(packet.data) for packet in TALK[:index])


@pytest.mark.parametrize("magic", sorted(MAGICS), ids=bytes.hex)
@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_every_kind_of_file_gives_its_packets_whatever_the_chunks(magic: bytes, size: int) -> None:
    packets, notices = read(pcap(TALK, magic=magic), size=size)

    assert packets == whole(TALK)
    assert notices == []


def test_a_packet_that_is_cut_says_how_long_it_was() -> None:
    packets, notices = read(pcap([Packet(START, b"12345", 400)]))

    assert packets == [Packet(START, b"12345", 400)]
    assert notices == []


def test_packets_are_given_out_as_soon_as_they_are_there() -> None:
    capture = pcap(TALK)
    chunks = iter([capture[: offset_of(3)], capture[offset_of(3) :]])

    first = next(read_pcap(chunks))

    assert isinstance(first, PacketBatch)
    assert len(first.records) == 3
    assert next(chunks) == capture[offset_of(3) :]


def test_a_file_with_nothing_but_damage_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_batches, "MAX_DAMAGE", 1 << 20)
    chunks = iter([pcap(TALK), *[bytes(1 << 16)] * 100])

    *_, notice = read_pcap(chunks)

    assert isinstance(notice, CaptureNotice)
    assert notice.what == f"no valid packet after packet {len(TALK)} in 1 MiB; the rest is not read"
    assert notice.unread
    assert len(list(chunks)) > 80


def test_a_file_that_ends_in_a_packet_gives_what_is_there() -> None:
    packets, notices = read(pcap(TALK)[: offset_of(5) + RECORD + 60])

    assert packets[:5] == whole(TALK[:5])
    assert packets[5:] == [Packet(round(TALK[5].at, 6), TALK[5].data[:60], len(TALK[5].data))]
    assert notices == ["packet 6: the file ends in this packet, after 60 of 354 bytes"]


@pytest.mark.parametrize("left", [1, 15, 16])
def test_a_file_that_ends_in_the_header_of_a_packet_says_so(left: int) -> None:
    packets, notices = read(pcap(TALK)[: offset_of(5) + left])

    assert packets == whole(TALK[:5])
    assert notices == ["packet 6: the file ends in the header of this packet"]


@pytest.mark.parametrize("size", [0, 4, 23])
def test_a_file_that_ends_in_its_own_header_says_so(size: int) -> None:
    assert read(pcap(TALK)[:size]) == ([], [f"byte {size}: the file ends in its header; it has no packets"])


@pytest.mark.parametrize("magic", sorted(MAGICS), ids=bytes.hex)
@pytest.mark.parametrize("garbage", [b"\xff" * 1000, b"\x00" * 1000, b"garbage!" * 41], ids=["ones", "zeros", "text"])
@pytest.mark.parametrize("size", [61, 1 << 20])
def test_reading_continues_after_garbage(magic: bytes, garbage: bytes, size: int) -> None:
    before, after = pcap(TALK[:3], magic=magic), pcap(TALK[3:], magic=magic)[HEADER:]

    packets, notices = read(before + garbage + after, size=size)

    assert packets == whole(TALK)
    found = len(before) + len(garbage)
    assert notices == [f"byte {len(before)}: no valid packet after packet 3; continuing at byte {found}"]


@pytest.mark.parametrize(("length", "misread"), [(0x7FFFFFFF, 0), (300, 1)], ids=["impossible", "leads astray"])
def test_a_wrong_length_costs_its_packet_only(length: int, misread: int) -> None:
    capture = bytearray(pcap(TALK))
    capture[offset_of(3) + 8 : offset_of(3) + 12] = length.to_bytes(4, "little")

    packets, notices = read(bytes(capture))

    assert packets[:3] == whole(TALK[:3])
    assert packets[3 + misread :] == whole(TALK[4:])
    assert len(notices) == 1
    assert misread or notices[0].startswith(f"byte {offset_of(3)}: no valid packet after packet 3; continuing at byte ")


def test_garbage_at_the_end_is_reported() -> None:
    packets, notices = read(pcap(TALK) + b"\xff" * 100)

    assert packets == whole(TALK)
    assert notices == [
        f"byte {offset_of(len(TALK))}: no valid packet after packet {len(TALK)} up to the end of the file"
    ]


@given(st.binary(max_size=600), st.integers(0, 2000), st.integers(0, 300), st.integers(1, 3000))
def test_damage_of_any_kind_costs_nothing_before_it_and_never_raises(
    garbage: bytes, at: int, lost: int, size: int
) -> None:
    capture = pcap(TALK)
    at = HEADER + at % (len(capture) - HEADER)
    damaged = capture[:at] + garbage + capture[at + lost :]

    packets, notices = read(damaged, size=size)

    untouched = sum(offset_of(index + 1) <= at for index in range(len(TALK)))
    assert packets[:untouched] == whole(TALK[:untouched])
    assert (packets, notices) == read(damaged)
