"""
Find where a WebSocket frame begins in the middle of a stream.

One header is two to fourteen bytes that much else could be as well. So headers have to follow one another, each where
the one before says that it is, and most of all where a packet begins: jambonz and most applications send a frame at a
time. Silence is the trap: under a mask it is the same four bytes again and again, in which a chain never ends.
"""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate

CHAIN = 3
"""So many headers do where a packet begins,"""
LONG_CHAIN = 5
"""and so many elsewhere."""
PATIENCE = 65_536
"""Bytes in which no packet begins with a frame before frames are sought within packets."""
MAX_FRAME = 1 << 24
LIKENESS = 8
"""Bytes by which frames differ that are random; their masks do."""
FIN, MASKED = 0x80, 0x80
MAX_HELD = 1 << 18
"""Bytes that are searched at once; of a longer stretch without a frame the begin is dropped."""
PIECE_COST = 200
"""Bytes of memory that a piece takes beside its data."""

_LENGTH_16 = 126
_CONTROL = 8
# A message's first frame, compressed or not, or a control frame; then whether it is masked.
_START = {
    True: re.compile(rb"(?s)(?=[\x81\x82\x88-\x8a\xc1\xc2][\x80-\xff])"),
    False: re.compile(rb"(?s)(?=[\x81\x82\x88-\x8a\xc1\xc2][\x00-\x7f])"),
    None: re.compile(rb"(?s)(?=[\x81\x82\x88-\x8a\xc1\xc2].)"),
}
_OPCODES = frozenset({0, 1, 2, 8, 9, 10})

_FILLER = b"\xff"
"""Stands for what is missing: as a header it would have all reserved bits."""

HeldBytes = tuple[float, bytes, bool]
"""Time, data, and whether the data are only as long as what is missing."""


class FrameStartSearch:
    """
    Collect what is sent until it is clear where a frame begins.

    Args:
        masked: whether its frames are, None if that isn't known; all in a chain are alike.
        compressed: whether they may be.
    """

    def __init__(self, masked: bool | None = None, *, compressed: bool = False) -> None:
        self.masked = masked
        self._reserved = 0x30 if compressed else 0x70
        self.skipped = 0
        """Bytes before the first frame, or that were dropped."""
        self._pieces: list[HeldBytes] = []
        self._held = 0
        self._next = 0

    @property
    def hopeless(self) -> bool:
        """Whether so much went by that this is probably no WebSocket."""
        return self.skipped > 0

    @property
    def held(self) -> int:
        """Bytes of memory that it takes."""
        return self._held + PIECE_COST * len(self._pieces)

    def miss(self, at: float, size: int) -> list[HeldBytes] | None:
        """Take note that bytes are missing, over which a chain may lead; return what ``feed`` does."""
        return self.feed(at, _FILLER * size, missing=True)

    def feed(self, at: float, data: bytes, *, missing: bool = False) -> list[HeldBytes] | None:
        """Return all from the first frame on, with its times; None while it isn't found."""
        self._pieces.append((at, data, missing))
        self._held += len(data)
        # Searched again only when there is a good part more, which keeps the whole linear.
        if self._held < self._next:
            return None
        self._next = self._held * 3 // 2
        found = self._search(ended=False)
        if found is None and self.held > 2 * MAX_HELD:
            self._drop(self._held // 2)
            self._next = self._held * 3 // 2
        return found

    def finish(self) -> list[HeldBytes] | None:
        """Return what there is before an end or a hole, where a shorter chain will do that ends with it."""
        return self._search(ended=True)

    def _search(self, *, ended: bool) -> list[HeldBytes] | None:
        held = b"".join(data for _, data, _ in self._pieces)
        *starts, _ = accumulate((len(data) for _, data, _ in self._pieces), initial=0)
        ends = {start for start, (_, _, missing) in zip(starts, self._pieces, strict=True) if missing}
        if ended:
            ends.add(len(held))
        at = self._at_a_begin(held, starts, ends)
        if at is None and (ended or len(held) > PATIENCE):
            at = self._first(held, len(held), LONG_CHAIN, frozenset())
        if at is None:
            return None
        # What leads there is certain as well, whatever its place in a packet.
        before = self._first(held, at, None, {at})
        at = at if before is None else before
        self.masked = held[at + 1] >= MASKED
        self._drop(at)
        return self._pieces

    def _at_a_begin(self, held: bytes, starts: Sequence[int], ends: AbstractSet[int]) -> int | None:
        """Return the first begin of a packet from which a chain leads on, or to where packets are missing."""
        may_start = _START[self.masked]
        return next(
            (at for at in starts if may_start.match(held, at) and self._chained(held, at, ends, most=CHAIN, least=1)),
            None,
        )

    def _first(self, held: bytes, end: int, most: int | None, ends: AbstractSet[int]) -> int | None:
        """Return the first place before ``end`` from which a chain leads on, or to one of ``ends``."""
        for match in _START[self.masked].finditer(held, 0, end):
            if self._chained(held, match.start(), ends, most=most, least=2, differing=True):
                return match.start()
        return None

    def _chained(
        self, data: bytes, at: int, ends: AbstractSet[int], *, most: int | None, least: int, differing: bool = False
    ) -> bool:
        """
        Tell whether frames follow one another from a place on.

        Args:
            ends: where a chain may end with fewer than ``most`` frames; without ``most`` it has to end there.
            differing: refuse frames that are alike, as those in silence seem to be.
        """
        masked = data[at + 1] >= MASKED
        begun, count, alike = at, 0, differing
        while count != most:
            if at in ends:
                return count >= least and not alike
            after = _frame_end(data, at, masked=masked, reserved=self._reserved)
            if after is None:
                return False
            if after > len(data):
                # Of the last one only the header is needed.
                return most is not None and count == most - 1 and not alike
            if count:
                alike = alike and data[at : at + LIKENESS] == data[begun : begun + LIKENESS]
            count, at = count + 1, after
        return not alike

    def _drop(self, size: int) -> None:
        self.skipped += size
        self._held -= size
        dropped = 0
        while size:
            at, data, missing = self._pieces[dropped]
            if len(data) > size:
                self._pieces[dropped] = (at, data[size:], missing)
                break
            size -= len(data)
            dropped += 1
        del self._pieces[:dropped]


def _frame_end(data: bytes, at: int, *, masked: bool, reserved: int) -> int | None:
    """Return where the frame at a place would end, None if there can't be one."""
    if at + 2 > len(data):
        return None
    first, second = data[at], data[at + 1]
    opcode, length, body = first & 15, second & 0x7F, at + 2
    if first & reserved or opcode not in _OPCODES or (second >= MASKED) is not masked:
        return None
    if opcode >= _CONTROL and (length >= _LENGTH_16 or first < FIN):
        return None
    if length >= _LENGTH_16:
        body += 2 if length == _LENGTH_16 else 8
        extended = int.from_bytes(data[at + 2 : body], "big")
        # A length that would fit into fewer bytes is none.
        if body > len(data) or not (125 if length == _LENGTH_16 else 65_535) < extended <= MAX_FRAME:
            return None
        length = extended
    return body + (4 if masked else 0) + length
