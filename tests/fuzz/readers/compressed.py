"""gzip and zstd: everything before the damage is decompressed."""

import gzip
import zlib
from collections.abc import Callable
from functools import cache

import zstandard

from listenctl.capture.compressed_files import open_capture_file
from tests.fuzz.reader import Reader, Seed, undamaged, written
from tests.fuzz.seeds import packet_seeds

_PLAIN = 24_000


def check(data: bytes) -> None:
    file = open_capture_file(str(written(data, "fuzz.pcap")))
    found = b"".join(chunk for chunk, _ in zip(file.chunks, range(1000), strict=False))
    seed, whole = undamaged(data, _seeds())
    if whole > 4:
        expected = _known()[seed.data](seed.data[:whole])
        assert found.startswith(expected), f"{len(expected)} bytes come before the damage, {len(found)} are found"


@cache
def _seeds() -> list[Seed]:
    return [Seed(data, _places(data)) for data in _known()]


def _places(data: bytes) -> list[int]:
    return [*range(12), len(data) // 2, *range(len(data) - 10, len(data))]


@cache
def _known() -> dict[bytes, Callable[[bytes], bytes]]:
    """Return compressed inputs, each with a function that decompresses its beginning."""
    plain = packet_seeds()[0].data[:_PLAIN]
    compress = zstandard.ZstdCompressor(write_checksum=True).compress
    few = zstandard.ZstdCompressor(level=1).compress
    return {
        gzip.compress(plain): _gunzip,
        gzip.compress(plain[:9000]) + gzip.compress(plain[9000:]): _gunzip,
        compress(plain): _unzstd,
        compress(plain[:9000]) + few(plain[9000:]): _unzstd,
    }


def _gunzip(data: bytes) -> bytes:
    """Decompress byte by byte, so that an error loses nothing."""
    plain, inflate = b"", zlib.decompressobj(wbits=31)
    for at in range(len(data)):
        if inflate.eof:
            inflate = zlib.decompressobj(wbits=31)
        plain += inflate.decompress(data[at : at + 1])
    return plain


def _unzstd(data: bytes) -> bytes:
    plain, frame = b"", zstandard.ZstdDecompressor().decompressobj()
    for at in range(len(data)):
        if frame.eof:
            frame = zstandard.ZstdDecompressor().decompressobj()
        plain += frame.decompress(data[at : at + 1])
    return plain


READER = Reader("compressed", _seeds, check)
