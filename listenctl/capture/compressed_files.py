"""
Open files as users have them: plain, gz or zst, or coming out of a pipe.

What is there is given out at once, so that a capture can be followed while it is made.
"""

import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from io import FileIO
from itertools import chain

from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.errors import ListenctlError, UsageError

LONGEST_HEADER = 18
STEP = 1024
"""Bytes fed at once where no block is known: each 4 of them may become 128 KiB."""

_BLOCK_HEADER, _CHECKSUM, _SKIPPED_HEADER = 3, 4, 8
_SKIPPED = b"\x2a\x4d\x18"
_RUN = 1
_LONGEST_BLOCK = 1 << 17


class _Due(Enum):
    HEADER = auto()
    BLOCK = auto()
    CHECKSUM = auto()
    REST = auto()
    """Something that can't be told apart."""


def split_zstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield all that there is, in frame headers, blocks and checksums."""
    cutter = _ZstdSplitter()
    for chunk in chunks:
        yield from cutter.feed(chunk)
    yield cutter.begun


class _ZstdSplitter:
    """
    Follow frames through their parts.

    Attributes:
        begun: the part that isn't whole yet.
    """

    def __init__(self) -> None:
        self.begun = b""
        self._due = _Due.HEADER
        self._checked = False
        self._passed_over = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the parts that are whole."""
        data, at = self.begun + chunk, 0
        while at < len(data) and (size := self._size(data, at)) and at + size <= len(data):
            self._take(data, at)
            yield data[at : at + size]
            at += size
        self.begun = data[at:]

    def _size(self, data: bytes, at: int) -> int:
        """Return the size of the next part, 0 if that takes more to be told."""
        left = len(data) - at
        if self._passed_over or self._due is _Due.REST:
            return min(left, STEP, self._passed_over or STEP)
        if self._due is _Due.CHECKSUM:
            return _CHECKSUM
        if self._due is _Due.HEADER:
            return self._header_size(data[at : at + LONGEST_HEADER])
        return _BLOCK_HEADER + _block(data, at)[1] if left >= _BLOCK_HEADER else 0

    def _header_size(self, data: bytes) -> int:
        import zstandard

        if data[1:4] == _SKIPPED:
            return _SKIPPED_HEADER
        if len(data) < LONGEST_HEADER:
            return 0
        try:
            self._checked = zstandard.get_frame_parameters(data).has_checksum
            return int(zstandard.frame_header_size(data))
        except zstandard.ZstdError:
            self._due = _Due.REST
            return min(STEP, len(data))

    def _take(self, data: bytes, at: int) -> None:
        """Go on behind a part that is whole."""
        if self._passed_over:
            self._passed_over -= self._size(data, at)
        elif self._due is _Due.HEADER and data[at + 1 : at + 4] == _SKIPPED:
            self._passed_over = int.from_bytes(data[at + 4 : at + 8], "little")
        elif self._due is _Due.HEADER:
            self._due = _Due.BLOCK
        elif self._due is _Due.CHECKSUM:
            self._due = _Due.HEADER
        elif self._due is _Due.BLOCK:
            last, size = _block(data, at)
            if size > _LONGEST_BLOCK:
                self._due = _Due.REST
            elif last:
                self._due = _Due.CHECKSUM if self._checked else _Due.HEADER


def _block(data: bytes, at: int) -> tuple[bool, int]:
    """Return whether a block is the last of its frame, and the bytes that follow its header."""
    header = int.from_bytes(data[at : at + _BLOCK_HEADER], "little")
    return bool(header & 1), 1 if header >> 1 & 3 == _RUN else header >> 3


CHUNK = 1 << 20
START = 64
"""Bytes that tell what a file is."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_STDIN = 0


@dataclass(slots=True)
class CaptureFile:
    """A file that is being read: ``start`` says what it is, ``chunks`` has all of it, the start included."""

    name: str
    start: bytes
    chunks: Iterator[bytes]
    notices: list[CaptureNotice] = field(default_factory=list)
    """What was wrong with its compression; complete at the end of the chunks."""


def open_capture_file(name: str) -> CaptureFile:
    """
    Open a file, or stdin for ``-``, and decompress it if need be.

    Raises:
        UsageError: it can't be read.
        ListenctlError: it is compressed with zstd, and the package for that is missing.
    """
    notices: list[CaptureNotice] = []
    start, chunks = _peek(_read(name), len(_ZSTD))
    if start.startswith(_GZIP):
        chunks = _gunzip(chunks, notices)
    elif start.startswith(_ZSTD):
        chunks = _unzstd(chunks, notices, name)
    start, chunks = _peek(chunks, START)
    return CaptureFile(name, start, chunks, notices)


def _read(name: str) -> Iterator[bytes]:
    try:
        if name == "-" and os.isatty(_STDIN):
            raise UsageError("-: stdin is a terminal; pipe a capture in")
        with FileIO(_STDIN if name == "-" else name, closefd=name != "-") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as exc:
        raise UsageError(f"{name}: can't be read: {exc.strerror}; name a capture") from exc


def _peek(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return at least ``size`` bytes, if there are so many, and all chunks, those included."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= size:
            break
    return start, chain([start], chunks) if start else chunks


def _gunzip(chunks: Iterator[bytes], notices: list[CaptureNotice]) -> Iterator[bytes]:
    """Decompress all members of a gzip file, as far as they go."""
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
        data = b"".join(_inflated_until_it_fails(before, left))
        if data:
            yield data
        notices.append(_damaged(count + len(data), "gzip", str(exc)))
        return
    if not inflate.eof:
        notices.append(_cut(count, "gzip"))


def _inflated_until_it_fails(inflate: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    """Yield what comes before an error; together with that, nothing would be given out."""
    try:
        for at in range(len(data)):
            yield inflate.decompress(data[at : at + 1])
    except zlib.error:
        return


def _unzstd(chunks: Iterator[bytes], notices: list[CaptureNotice], name: str) -> Iterator[bytes]:
    """Decompress all frames of a zstd file, as far as they go."""
    try:
        import zstandard
    except ImportError as exc:
        raise ListenctlError(f"{name}: is compressed with zstd; pip install 'listenctl[zstd]' to read it") from exc
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
    return CaptureNotice(
        f"byte {count}", f"the {how} compression is damaged from here on ({detail}); what is before it is used"
    )


def _cut(count: int, how: str) -> CaptureNotice:
    return CaptureNotice(f"byte {count}", f"the {how} file ends too early; what is there is used")
