"""Open plain, gzip and zstd files and pipes, also while they are written; data before damage is still used."""

import io
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import chain
from typing import TYPE_CHECKING

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.errors import ListenctlError, UsageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1 << 20
START = 64
"""Bytes for the detection of the file type."""

MAX_INFLATED = 1 << 28
"""Bytes that a compressed file may become, in addition to ``MAX_GROWTH`` times its size."""
MAX_GROWTH = 64
"""Dumps of silence are compressed to a fortieth, a bomb to a thousandth or less."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_STDIN = 0


@dataclass(slots=True)
class OpenedCapture:
    """An open file: ``start`` for the detection of its type, ``chunks`` with all data, the start included."""

    name: str
    start: bytes
    chunks: Iterator[bytes]
    notices: list[CaptureNotice] = field(default_factory=list)
    """Problems of its compression; complete at the end of the chunks."""

    def read_up_to(self, limit: int) -> tuple[bytearray, bool]:
        """Return at most ``limit`` bytes, and whether these are all."""
        data = bytearray()
        for chunk in self.chunks:
            data += chunk
            if len(data) > limit:
                del data[limit:]
                return data, False
        return data, True

    def open_stream(self) -> io.BufferedReader:
        """Return the chunks as a binary file; reading returns available data without waiting for more."""
        return io.BufferedReader(_ChunkStream(self.chunks))


class _ChunkStream(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def open_capture_file(name: str) -> OpenedCapture:
    """Open a file or stdin (``-``); raises UsageError if it can't be read, ListenctlError if zstd is not installed."""
    notices: list[CaptureNotice] = []
    start, chunks = _peek(_read(name), len(_ZSTD))
    if start.startswith((_GZIP, _ZSTD)):
        size = _Counter(chunks)
        inflated = _gunzip(size.chunks, notices) if start.startswith(_GZIP) else _unzstd(size.chunks, notices, name)
        chunks = _limit(inflated, size, notices)
    start, chunks = _peek(chunks, START)
    return OpenedCapture(name, start, chunks, notices)


def _read(name: str) -> Iterator[bytes]:
    try:
        if name == "-" and os.isatty(_STDIN):
            raise UsageError("-: stdin is a terminal; pipe a capture in")
        with io.FileIO(_STDIN if name == "-" else name, closefd=name != "-") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as exc:
        raise UsageError(f"{name}: can't be read: {exc.strerror}; name a capture") from exc


def _peek(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return at least ``size`` bytes, or all if there are fewer, and all chunks, including those."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= size:
            break
    return start, chain([start], chunks) if start else chunks


class _Counter:
    """Counts the bytes of chunks that were read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.bytes = 0
        self.chunks = self._count(chunks)

    def _count(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.bytes += len(chunk)
            yield chunk


def _limit(inflated: Iterator[bytes], compressed: _Counter, notices: list[CaptureNotice]) -> Iterator[bytes]:
    """Yield the data of a compressed file, up to what no capture becomes."""
    count = 0
    for data in inflated:
        count += len(data)
        if count > MAX_INFLATED + MAX_GROWTH * compressed.bytes:
            what = f"the compressed file grows to more than {MAX_GROWTH} times its size; the rest is not read"
            notices.append(CaptureNotice(f"byte {count}", what, unread=True))
            return
        yield data


def _gunzip(chunks: Iterator[bytes], notices: list[CaptureNotice]) -> Iterator[bytes]:
    count = 0
    inflate = before = zlib.decompressobj(wbits=31)
    left = b""
    try:
        for chunk in chunks:
            left = chunk
            while left:
                if inflate.eof:
                    inflate = zlib.decompressobj(wbits=31)
                before = inflate.copy()
                data = inflate.decompress(left, CHUNK)
                count += len(data)
                left = inflate.unconsumed_tail or inflate.unused_data
                if data:
                    yield data
    except zlib.error as exc:
        data = b"".join(_inflate_until_error(before, left))
        if data:
            yield data
        notices.append(_damaged(count + len(data), "gzip", str(exc)))
        return
    if not inflate.eof:
        notices.append(_cut(count, "gzip"))


def _inflate_until_error(inflate: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    """Yield the data before an error, byte by byte: zlib returns nothing of a call that fails."""
    try:
        for at in range(len(data)):
            yield inflate.decompress(data[at : at + 1])
    except zlib.error:
        return


def _unzstd(chunks: Iterator[bytes], notices: list[CaptureNotice], name: str) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError as exc:
        raise ListenctlError(f"{name}: reading zstd needs the package zstandard: pip install zstandard") from exc
    count = 0
    frame = zstandard.ZstdDecompressor().decompressobj()
    try:
        for piece in split_zstd(chunks):
            left = piece
            while left:
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                data = frame.decompress(left)
                left = frame.unused_data
                count += len(data)
                if data:
                    yield data
    except zstandard.ZstdError as exc:
        notices.append(_damaged(count, "zstd", str(exc)))
        return
    if not frame.eof:
        notices.append(_cut(count, "zstd"))


def _damaged(count: int, how: str, detail: str) -> CaptureNotice:
    what = f"the {how} data is damaged from here on ({detail}); using the data before it"
    return CaptureNotice(f"byte {count}", what, unread=True)


def _cut(count: int, how: str) -> CaptureNotice:
    return CaptureNotice(f"byte {count}", f"the {how} file is incomplete; using the available data", unread=True)


LONGEST_HEADER = 18
STEP = 1024
"""Bytes fed at once outside known blocks: every 4 of them can become 128 KiB."""

_BLOCK_HEADER, _CHECKSUM, _SKIPPED_HEADER = 3, 4, 8
_SKIPPED = b"\x2a\x4d\x18"
_RUN = 1
_LONGEST_BLOCK = 1 << 17


class _ZstdPart(Enum):
    HEADER = auto()
    BLOCK = auto()
    CHECKSUM = auto()
    REST = auto()  # data that can't be split


def split_zstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Split zstd data into frame headers, blocks and checksums, so that each call decompresses a bounded amount."""
    splitter = _ZstdSplitter()
    for chunk in chunks:
        yield from splitter.feed(chunk)
    yield splitter.rest


class _ZstdSplitter:
    def __init__(self) -> None:
        self.rest = b""  # the incomplete part
        self._next = _ZstdPart.HEADER
        self._has_checksum = False
        self._skippable = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        data, at = self.rest + chunk, 0
        while at < len(data) and (size := self._part_size(data, at)) and at + size <= len(data):
            self._skip_part(data, at)
            yield data[at : at + size]
            at += size
        self.rest = data[at:]

    def _part_size(self, data: bytes, at: int) -> int:
        """Return the size of the next part, 0 if more data is needed."""
        left = len(data) - at
        if self._skippable or self._next is _ZstdPart.REST:
            return min(left, STEP, self._skippable or STEP)
        if self._next is _ZstdPart.CHECKSUM:
            return _CHECKSUM
        if self._next is _ZstdPart.HEADER:
            return self._header_size(data[at : at + LONGEST_HEADER])
        return _BLOCK_HEADER + _block(data, at)[1] if left >= _BLOCK_HEADER else 0

    def _header_size(self, data: bytes) -> int:
        import zstandard

        if data[1:4] == _SKIPPED:
            return _SKIPPED_HEADER
        if len(data) < LONGEST_HEADER:
            return 0
        try:
            self._has_checksum = zstandard.get_frame_parameters(data).has_checksum
            return int(zstandard.frame_header_size(data))
        except zstandard.ZstdError:
            self._next = _ZstdPart.REST
            return min(STEP, len(data))

    def _skip_part(self, data: bytes, at: int) -> None:
        if self._skippable:
            self._skippable -= self._part_size(data, at)
        elif self._next is _ZstdPart.HEADER and data[at + 1 : at + 4] == _SKIPPED:
            self._skippable = int.from_bytes(data[at + 4 : at + 8], "little")
        elif self._next is _ZstdPart.HEADER:
            self._next = _ZstdPart.BLOCK
        elif self._next is _ZstdPart.CHECKSUM:
            self._next = _ZstdPart.HEADER
        elif self._next is _ZstdPart.BLOCK:
            last, size = _block(data, at)
            if size > _LONGEST_BLOCK:
                self._next = _ZstdPart.REST
            elif last:
                self._next = _ZstdPart.CHECKSUM if self._has_checksum else _ZstdPart.HEADER


def _block(data: bytes, at: int) -> tuple[bool, int]:
    """Return whether a block is the last of its frame, and the bytes that follow its header."""
    header = int.from_bytes(data[at : at + _BLOCK_HEADER], "little")
    return bool(header & 1), 1 if header >> 1 & 3 == _RUN else header >> 3
