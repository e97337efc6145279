"""Compressed, incomplete and damaged files, and files that are not captures."""

import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture import compressed_files as files
from listenctl.capture.compressed_files import open_capture_file, split_zstd
from listenctl.capture.packets.packet_batches import CaptureNotice, PacketBatch
from listenctl.capture.read_capture import is_packet_capture, read_packets
from listenctl.errors import ListenctlError, UsageError
from tests.helpers.pcap import Packet, TcpDialog, pcap, pcapng, read_items, stream_data

ANSWER = os.urandom(3000)
TALK = TcpDialog().open().client(b"question").server(ANSWER).close().packets
SENT = [b"question", ANSWER]
Compress = Callable[[bytes], bytes]


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def checked(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd], ids=["plain", "gz", "zst"])
@pytest.mark.parametrize("capture", [pcap(TALK), pcapng(TALK)], ids=["pcap", "pcapng"])
def test_a_capture_is_read_whatever_its_name_and_compression(
    tmp_path: Path, compress: Compress, capture: bytes
) -> None:
    file = open_capture_file(written(tmp_path / "any.name", compress(capture)))

    assert is_packet_capture(file.start)
    found = read_items(read_packets(file))
    assert stream_data(found) == SENT
    assert not any(isinstance(one, CaptureNotice) for one in found)


@pytest.mark.parametrize("compress", [gzip.compress, zstd], ids=["gz", "zst"])
def test_files_compressed_one_after_another_are_one(tmp_path: Path, compress: Compress) -> None:
    capture = pcap(TALK)

    file = open_capture_file(written(tmp_path / "two", compress(capture[:99]) + compress(capture[99:])))

    assert stream_data(read_items(read_packets(file))) == SENT


@pytest.mark.parametrize(("compress", "kind"), [(gzip.compress, "gzip"), (zstd, "zstd")])
def test_what_is_left_of_a_compressed_file_that_was_cut_is_used(tmp_path: Path, compress: Compress, kind: str) -> None:
    # zstd returns whole blocks of 128 KiB.
    packets = [*TALK, *(Packet(one.at, os.urandom(1000)) for one in TALK * 60)]

    file = open_capture_file(written(tmp_path / "cut", compress(pcap(packets))[:-100_000]))

    found = list(read_packets(file))
    assert sum(len(one.records) for one in found if isinstance(one, PacketBatch)) > len(packets) // 4
    assert str(found[-1]).endswith(f"the {kind} file is incomplete; using the available data")


@pytest.mark.parametrize(("compress", "kind"), [(gzip.compress, "gzip"), (zstd, "zstd")])
def test_a_damaged_compressed_file_is_used_up_to_the_damage(tmp_path: Path, compress: Compress, kind: str) -> None:
    file = open_capture_file(written(tmp_path / "damaged", compress(pcap(TALK)) + b"garbage" * 9))

    found = read_items(read_packets(file))

    assert stream_data(found) == SENT
    assert f"the {kind} data is damaged from here on" in " ".join(map(str, found))


@pytest.mark.parametrize("compress", [gzip.compress, zstd], ids=["gz", "zst"])
def test_a_file_that_becomes_huge_is_given_out_in_small_chunks(tmp_path: Path, compress: Compress) -> None:
    file = open_capture_file(written(tmp_path / "bomb", compress(bytes(100_000_000))))

    sizes = [len(chunk) for chunk in file.chunks]

    assert sum(sizes) == 100_000_000
    assert max(sizes) <= 40_000_000


def test_zstd_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)

    with pytest.raises(ListenctlError, match=r"reading zstd needs the package zstandard: pip install zstandard"):
        open_capture_file(written(tmp_path / "x", zstd(pcap(TALK))))


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)

    with pytest.raises(UsageError, match=f"^{path}: can't be read: "):
        open_capture_file(path)


def test_a_terminal_as_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda _: True)

    with pytest.raises(UsageError, match=r"^-: stdin is a terminal; pipe a capture in$"):
        open_capture_file("-")


@pytest.mark.parametrize("size", [9, 1 << 20])
@pytest.mark.parametrize(("compress", "end"), [(gzip.compress, 8), (checked, 4)], ids=["gz", "zst"])
def test_damage_costs_nothing_of_what_was_decompressed_together_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: Compress, end: int, size: int
) -> None:
    monkeypatch.setattr(files, "CHUNK", size)
    plain = pcap(TALK)
    damaged = bytearray(compress(plain))
    damaged[-end] ^= 1

    file = open_capture_file(written(tmp_path / "damaged", bytes(damaged)))

    assert b"".join(file.chunks) == plain
    assert [notice.where for notice in file.notices] == [f"byte {len(plain)}"]


@pytest.mark.parametrize("skipped", [0, 5, 5000])
def test_skippable_frames_of_zstd_are_skipped(tmp_path: Path, skipped: int) -> None:
    plain = pcap(TALK)
    frame = b"\x53\x2a\x4d\x18" + skipped.to_bytes(4, "little") + bytes(skipped)

    file = open_capture_file(written(tmp_path / "skipped", zstd(plain[:50]) + frame + checked(plain[50:]) + frame))

    assert (b"".join(file.chunks), file.notices) == (plain, [])


@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(1, 40), st.booleans())
def test_blocks_of_zstd_are_found_whatever_the_chunks(plain: list[bytes], size: int, check: bool) -> None:
    compressor = zstandard.ZstdCompressor(write_checksum=check)
    compressed = b"".join(map(compressor.compress, plain))

    pieces = list(split_zstd(compressed[at : at + size] for at in range(0, len(compressed), size)))

    assert b"".join(pieces) == compressed


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_has_the_bytes_of_all_chunks(size: int) -> None:
    data = bytes(range(256)) * 3
    chunks = iter([b"", *(data[at : at + size] for at in range(0, len(data), size)), b""])

    assert files.OpenedCapture("x", b"", chunks).open_stream().read() == data


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_file_that_grows_as_no_capture_does_is_read_in_part(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_INFLATED", 1 << 20)
    data = bytes(64 << 20)
    path = tmp_path / "zeros"
    path.write_bytes(gzip.compress(data) if kind == "gzip" else zstd(data))

    opened = open_capture_file(str(path))
    size = sum(map(len, opened.chunks))

    assert size < 10 << 20
    (notice,) = opened.notices
    assert notice.unread
    assert notice.what == "the compressed file grows to more than 64 times its size; the rest is not read"
