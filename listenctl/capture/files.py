"""
Open files as users have them: plain, gz or zst, or coming out of a pipe.

What is there is given out at once, so that a capture can be followed while it is made.
"""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from itertools import chain

from listenctl.capture.packets import Notice
from listenctl.capture.zstd_blocks import cut_blocks
from listenctl.errors import ListenctlError, UsageError

CHUNK = 1 << 20
START = 64
"""Bytes that tell what a file is."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_STDIN = 0


@dataclass(slots=True)
class OpenFile:
    """A file that is being read: ``start`` says what it is, ``chunks`` has all of it, the start included."""

    name: str
    start: bytes
    chunks: Iterator[bytes]
    notices: list[Notice] = field(default_factory=list)
    """What was wrong with its compression; complete at the end of the chunks."""


def open_file(name: str) -> OpenFile:
    """
    Open a file, or stdin for ``-``, and decompress it if need be.

    Raises:
        UsageError: it can't be read.
        ListenctlError: it is compressed with zstd, and the package for that is missing.
    """
    notices: list[Notice] = []
    start, chunks = _peek(_read(name), len(_ZSTD))
    if start.startswith(_GZIP):
        chunks = _gunzip(chunks, notices)
    elif start.startswith(_ZSTD):
        chunks = _unzstd(chunks, notices, name)
    start, chunks = _peek(chunks, START)
    return OpenFile(name, start, chunks, notices)


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


def _gunzip(chunks: Iterator[bytes], notices: list[Notice]) -> Iterator[bytes]:
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


def _unzstd(chunks: Iterator[bytes], notices: list[Notice], name: str) -> Iterator[bytes]:
    """Decompress all frames of a zstd file, as far as they go."""
    try:
        import zstandard
    except ImportError as exc:
        raise ListenctlError(f"{name}: is compressed with zstd; pip install 'listenctl[zstd]' to read it") from exc
    count = 0
    frame = zstandard.ZstdDecompressor().decompressobj()
    try:
        for piece in cut_blocks(chunks):
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


def _damaged(count: int, how: str, detail: str) -> Notice:
    return Notice(
        f"byte {count}", f"the {how} compression is damaged from here on ({detail}); what is before it is used"
    )


def _cut(count: int, how: str) -> Notice:
    return Notice(f"byte {count}", f"the {how} file ends too early; what is there is used")
