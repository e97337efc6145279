"""
Cut what is compressed with zstd where its blocks end (RFC 8878 3.1.1).

A decompressor that fails gives out nothing of what it was just fed, so that it is fed no more than a block at once:
then damage costs nothing that comes before it.
"""

from collections.abc import Iterable, Iterator
from enum import Enum, auto

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


def cut_blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield all that there is, in frame headers, blocks and checksums."""
    cutter = _Cutter()
    for chunk in chunks:
        yield from cutter.feed(chunk)
    yield cutter.begun


class _Cutter:
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
