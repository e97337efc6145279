"""
Split one direction of a captured TLS connection into records (RFC 8446 5.1, RFC 5246 6.2).
After missing bytes, records continue at the next header whose length leads to another header or to the end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

HEADER = 5

CHANGE_CIPHER_SPEC = 20
ALERT = 21
HANDSHAKE = 22
APPLICATION_DATA = 23

# The limit of TLS 1.2; that of TLS 1.3 is lower.
MAX_FRAGMENT = 16384 + 2048

# Types 20 to 24 (heartbeat), versions SSL 3.0 to TLS 1.3.
_HEADER_LIKE = re.compile(rb"[\x14-\x18]\x03[\x00-\x04]")


# One per record: a named tuple takes a third of the time of a frozen dataclass.
class TlsRecord(NamedTuple):
    """One record, complete at ``at``; ``start`` counts the bytes before it, including missing ones."""

    at: float
    start: int
    header: bytes
    fragment: bytes

    @property
    def type(self) -> int:
        """The type in the header: in TLS 1.3 application data for every encrypted record."""
        return self.header[0]

    @property
    def end(self) -> int:
        return self.start + HEADER + len(self.fragment)


@dataclass(frozen=True, slots=True)
class TlsRecordGap:
    """Records are missing or damaged; with ``measured`` the ``start`` of those after it is still exact."""

    at: float
    measured: bool = True


RecordOrGap = TlsRecord | TlsRecordGap


def record_size(data: bytes, offset: int = 0) -> int:
    """Return the size of the record at ``offset``, header included; 0 if there is none."""
    if len(data) - offset < HEADER or not _HEADER_LIKE.match(data, offset):
        return 0
    length = data[offset + 3] << 8 | data[offset + 4]
    return HEADER + length if 0 < length <= MAX_FRAGMENT else 0


def whole_record(data: bytes, at: float, start: int) -> TlsRecord | None:
    """Return the record that ``data`` is, if it is exactly one."""
    if not data or record_size(data) != len(data):
        return None
    return TlsRecord(at, start, data[:HEADER], data[HEADER:])


class TlsRecordSplitter:
    """Split one direction into records, keeping less than two of them in memory."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._held_bytes = 0
        self._needed_bytes = HEADER
        # Bytes of the stream before the first held one.
        self._position = 0
        # Remaining bytes of a record that is known to be incomplete.
        self._skip = 0
        self._searching = False
        self._last: TlsRecord | None = None
        self._searched_until = 0

    @property
    def next_start(self) -> int | None:
        """The start of the next record, if the data so far ends with a whole one; else None."""
        return None if self._held_bytes or self._skip or self._searching else self._position

    def continue_after(self, record: TlsRecord) -> None:
        """Continue after a record that the caller cut with ``whole_record`` at ``next_start`` or later."""
        self._last, self._position = record, record.end

    def feed(self, data: bytes, at: float) -> list[RecordOrGap]:
        if self._skip:
            data = self._drop_skipped(data)
        self._chunks.append(data)
        self._held_bytes += len(data)
        return list(self._split(at)) if self._held_bytes >= self._needed_bytes else []

    def skip_missing(self, size: int | None, at: float) -> list[RecordOrGap]:
        """Continue after ``size`` missing bytes, None if unknown."""
        items = list(self._split(at, last=True)) if self._searching else []
        if size is None:
            self._drop(self._held_bytes, skip=0)
            self._searching = True
            return [*items, TlsRecordGap(at, measured=False)]
        if self._skip >= size:
            self._skip -= size
            self._position += size
            return items
        # Inside a record, its length tells where the next one starts.
        rest = (
            self._needed_bytes - self._held_bytes - size if self._held_bytes >= HEADER and not self._searching else -1
        )
        self._drop(self._held_bytes + size, skip=max(rest, 0))
        self._searching = rest < 0
        return [*items, TlsRecordGap(at)]

    def end_data(self, at: float) -> list[RecordOrGap]:
        """Return records that a damaged length has hidden, at the end of the data."""
        if self._held_bytes <= HEADER:
            return []
        hidden = not self._searching
        if hidden:
            self._chunks = [self._joined()[1:]]
            self._held_bytes -= 1
            self._position += 1
            self._searching = True
        items = list(self._split(at, last=True))
        return [TlsRecordGap(at), *items] if hidden and items else items

    def _split(self, at: float, *, last: bool = False) -> Iterator[RecordOrGap]:
        data = self._joined()
        offset = 0
        self._needed_bytes = HEADER
        while len(data) - offset >= HEADER:
            if self._searching:
                offset = self._search(data, offset, last=last)
                if self._searching:
                    break
            size = record_size(data, offset)
            if not size:
                yield TlsRecordGap(at)
                data, offset = self._go_back(data, offset)
                self._searching = True
            elif len(data) - offset < size:
                self._needed_bytes = size
                break
            else:
                end = offset + size
                header = data[offset : offset + HEADER]
                self._last = TlsRecord(at, self._position + offset, header, data[offset + HEADER : end])
                yield self._last
                offset = end
        self._chunks = [data[offset:]] if offset < len(data) else []
        self._held_bytes = len(data) - offset
        self._position += offset

    def _search(self, data: bytes, offset: int, *, last: bool) -> int:
        """Return where records continue or, if still searching, the first byte to keep."""
        for found in _HEADER_LIKE.finditer(data, offset):
            start = found.start()
            if len(data) - start < HEADER:
                return start
            size = record_size(data, start)
            following = start + size
            if not size or (last and following > len(data)):
                continue
            if following == len(data) or record_size(data, following) or (last and len(data) - following < HEADER):
                self._searching = False
                return start
            if len(data) - following < HEADER:
                return start
        # The data may end in the middle of a header.
        return max(offset, len(data) - 2)

    def _go_back(self, data: bytes, offset: int) -> tuple[bytes, int]:
        """Return where to search for a lost boundary, as the last length may be wrong; no byte is searched twice."""
        last, self._last = self._last, None
        if last is None or last.start < self._searched_until:
            return data, offset
        self._searched_until = last.end
        self._position = last.start + HEADER
        return last.fragment + data[offset:], 0

    def _joined(self) -> bytes:
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _drop_skipped(self, data: bytes) -> bytes:
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._position += skipped
        return data[skipped:]

    def _drop(self, size: int, *, skip: int) -> None:
        self._chunks, self._held_bytes, self._needed_bytes = [], 0, HEADER
        self._position += size
        self._skip = skip
        self._last = None
