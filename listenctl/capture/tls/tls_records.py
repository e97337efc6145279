"""
TLS records out of what a capture has of one direction (RFC 8446 5.1, RFC 5246 6.2).

Bytes may be missing or damaged. Then the next place is sought where records begin again: a plausible header whose
length leads to another one, or to the end of what arrived together.
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

# The largest of all versions; TLS 1.3 allows less.
MAX_FRAGMENT = 16384 + 2048

# Types 20 to 24 (heartbeat), versions SSL 3.0 to TLS 1.3.
_HEADER_LIKE = re.compile(rb"[\x14-\x18]\x03[\x00-\x04]")


# Made for every record: a named tuple takes a third of the time of a frozen dataclass.
class TlsRecord(NamedTuple):
    """
    One record; ``at`` is when it was complete.

    ``start`` counts the bytes before it in its direction, those that the capture lacks included.
    """

    at: float
    start: int
    header: bytes
    fragment: bytes

    @property
    def type(self) -> int:
        """What the header says that this is; in TLS 1.3 that is application data once anything is encrypted."""
        return self.header[0]

    @property
    def end(self) -> int:
        """Where the next record starts."""
        return self.start + HEADER + len(self.fragment)


@dataclass(frozen=True, slots=True)
class TlsRecordGap:
    """One or more records are missing or damaged here; with ``measured`` the ``start`` of those behind still holds."""

    at: float
    measured: bool = True


RecordOrGap = TlsRecord | TlsRecordGap


def record_size(data: bytes, offset: int = 0) -> int:
    """Return the size of the record that begins at ``offset``, header included; 0 if none does."""
    if len(data) - offset < HEADER or not _HEADER_LIKE.match(data, offset):
        return 0
    length = data[offset + 3] << 8 | data[offset + 4]
    return HEADER + length if 0 < length <= MAX_FRAGMENT else 0


class TlsRecordSplitter:
    """Cut one direction of a TLS connection into records; it keeps less than two of them."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._have = 0
        self._need = HEADER
        # Bytes of the stream before the first that is kept.
        self._position = 0
        # Bytes still to come of a record that is known to be incomplete.
        self._skip = 0
        self._searching = False
        self._last: TlsRecord | None = None
        self._searched_until = 0

    def feed(self, data: bytes, at: float) -> list[RecordOrGap]:
        """Take what follows, and return what is complete with it."""
        if self._skip:
            data = self._skipped(data)
        self._pieces.append(data)
        self._have += len(data)
        return list(self._cut(at)) if self._have >= self._need else []

    def hole(self, size: int | None, at: float) -> list[RecordOrGap]:
        """Take note that ``size`` bytes are missing here, None if that isn't known."""
        items = list(self._cut(at, last=True)) if self._searching else []
        if size is None:
            self._drop(self._have, skip=0)
            self._searching = True
            return [*items, TlsRecordGap(at, measured=False)]
        if self._skip >= size:
            self._skip -= size
            self._position += size
            return items
        # Inside of a record its own length tells where the next one begins.
        rest = self._need - self._have - size if self._have >= HEADER and not self._searching else -1
        self._drop(self._have + size, skip=max(rest, 0))
        self._searching = rest < 0
        return [*items, TlsRecordGap(at)]

    def finish(self, at: float) -> list[RecordOrGap]:
        """Return what can still be found when nothing more comes: a damaged length may have hidden records."""
        if self._have <= HEADER:
            return []
        hidden = not self._searching
        if hidden:
            self._pieces = [self._joined()[1:]]
            self._have -= 1
            self._position += 1
            self._searching = True
        items = list(self._cut(at, last=True))
        return [TlsRecordGap(at), *items] if hidden and items else items

    def _cut(self, at: float, *, last: bool = False) -> Iterator[RecordOrGap]:
        data = self._joined()
        offset = 0
        self._need = HEADER
        while len(data) - offset >= HEADER:
            if self._searching:
                offset = self._search(data, offset, last=last)
                if self._searching:
                    break
            size = record_size(data, offset)
            if not size:
                yield TlsRecordGap(at)
                data, offset = self._back(data, offset)
                self._searching = True
            elif len(data) - offset < size:
                self._need = size
                break
            else:
                end = offset + size
                header = data[offset : offset + HEADER]
                self._last = TlsRecord(at, self._position + offset, header, data[offset + HEADER : end])
                yield self._last
                offset = end
        self._pieces = [data[offset:]] if offset < len(data) else []
        self._have = len(data) - offset
        self._position += offset

    def _search(self, data: bytes, offset: int, *, last: bool) -> int:
        """Return where records begin again, or, still searching, from where on the bytes have to be kept."""
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
        # What is left of a header may stand at the end.
        return max(offset, len(data) - 2)

    def _back(self, data: bytes, offset: int) -> tuple[bytes, int]:
        """
        Return where to search for a lost boundary: the length of the last record may have been wrong already.

        No byte is searched twice in this way, whatever the capture holds.
        """
        last, self._last = self._last, None
        if last is None or last.start < self._searched_until:
            return data, offset
        self._searched_until = last.end
        self._position = last.start + HEADER
        return last.fragment + data[offset:], 0

    def _joined(self) -> bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    def _skipped(self, data: bytes) -> bytes:
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._position += skipped
        return data[skipped:]

    def _drop(self, size: int, *, skip: int) -> None:
        self._pieces, self._have, self._need = [], 0, HEADER
        self._position += size
        self._skip = skip
        self._last = None
