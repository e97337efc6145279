"""
Find the start of a WebSocket frame in the middle of a stream.
A single header proves nothing, so several have to form a chain, and preferably the first starts a packet. Beware of
silence: masked, it is the same four bytes again and again, which can look like an endless chain.
"""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate

from websockets.frames import Opcode

from listenctl.protocol.frames.frame_format import CONTROL, FIN, LENGTH_16, LENGTH_BITS, MASKED, OPCODES

CHAIN = 3
"""Headers of a chain that starts with a packet."""
LONG_CHAIN = 5
"""Headers of a chain that starts elsewhere."""
PATIENCE = 65_536
"""Bytes without a frame at the start of a packet before frames are searched inside packets."""
MAX_FRAME = 1 << 24
LIKENESS = 8
"""Bytes at the start of a frame that include the random mask, so that real frames differ in them."""
MAX_HELD = 1 << 18
"""Bytes searched at once; of a longer stretch without a frame, the first half is dropped."""
PIECE_COST = 200
"""Memory of a piece in addition to its data."""

# The first frame of a message, compressed or not, or a control frame; masked, unmasked or either.
_START = {
    True: re.compile(rb"(?s)(?=[\x81\x82\x88-\x8a\xc1\xc2][\x80-\xff])"),
    False: re.compile(rb"(?s)(?=[\x81\x82\x88-\x8a\xc1\xc2][\x00-\x7f])"),
    None: re.compile(rb"(?s)(?=[\x81\x82\x88-\x8a\xc1\xc2].)"),
}

_FILLER = b"\xff"
"""Replaces missing bytes; as a header, all its reserved bits would be set."""

HeldBytes = tuple[float, bytes, bool]
"""Time, data, and whether the data is a filler for missing bytes."""


class _FrameOrder:
    """The order of frames on one side: zeros and other binary data look like continuations of nothing."""

    def __init__(self) -> None:
        self._unfinished = False  # whether a fragmented message has begun and not ended
        self._closed = False

    def accepts_frame(self, header: bytes) -> bool:
        """Return whether a frame with these first bytes, which may be incomplete, can follow the ones before."""
        if len(header) < 2:
            return True
        final, opcode, empty = header[0] >= FIN, header[0] & 15, not header[1] & LENGTH_BITS
        if self._closed or (opcode < CONTROL and self._unfinished is not (opcode == 0)) or (empty and not final):
            return False
        self._closed = opcode == Opcode.CLOSE
        if opcode < CONTROL:
            self._unfinished = not final
        return True


class FrameStartSearch:
    """Collect the data of one side until the start of a frame is certain."""

    def __init__(self, masked: bool | None = None, *, compressed: bool = False) -> None:
        self.masked = masked  # whether its frames are masked, None if unknown
        self._reserved = 0x30 if compressed else 0x70
        self.skipped = 0  # bytes before the first frame, or dropped
        self._pieces: list[HeldBytes] = []
        self._held = 0
        self._next = 0

    @property
    def held_bytes(self) -> int:
        return self._held + PIECE_COST * len(self._pieces)

    def skip_missing(self, at: float, size: int) -> list[HeldBytes] | None:
        """Add missing bytes, which a chain may skip; return the same as ``feed``."""
        return self.feed(at, _FILLER * size, missing=True)

    def feed(self, at: float, data: bytes, *, missing: bool = False) -> list[HeldBytes] | None:
        """Add data; return everything from the first frame on, None while none is found."""
        self._pieces.append((at, data, missing))
        self._held += len(data)
        # Search again only after half as much more data: this keeps the total effort linear.
        if self._held < self._next:
            return None
        self._next = self._held * 3 // 2
        found = self._search(ended=False)
        if found is None and self.held_bytes > 2 * MAX_HELD:
            self._drop(self._held // 2)
            self._next = self._held * 3 // 2
        return found

    def end_data(self) -> list[HeldBytes] | None:
        """Return everything from the first frame on; a shorter chain is enough if it ends with the data."""
        return self._search(ended=True)

    def _search(self, *, ended: bool) -> list[HeldBytes] | None:
        held = b"".join(data for _, data, _ in self._pieces)
        *starts, _ = accumulate((len(data) for _, data, _ in self._pieces), initial=0)
        ends = {start for start, (_, _, missing) in zip(starts, self._pieces, strict=True) if missing}
        if ended:
            ends.add(len(held))
        at = self._find_at_packet_start(held, starts, ends)
        if at is None and (ended or len(held) > PATIENCE):
            at = self._find_anywhere(held, len(held), LONG_CHAIN, frozenset())
        if at is None:
            return None
        # Frames that lead to it are certain too, wherever in a packet.
        before = self._find_anywhere(held, at, None, {at})
        at = at if before is None else before
        self.masked = held[at + 1] >= MASKED
        self._drop(at)
        return self._pieces

    def _find_at_packet_start(self, held: bytes, starts: Sequence[int], ends: AbstractSet[int]) -> int | None:
        """Return the first start of a packet with a chain, which may also end at missing bytes."""
        may_start = _START[self.masked]
        return next(
            (at for at in starts if may_start.match(held, at) and self._has_chain(held, at, ends, most=CHAIN, least=1)),
            None,
        )

    def _find_anywhere(self, held: bytes, end: int, most: int | None, ends: AbstractSet[int]) -> int | None:
        """Return the first position before ``end`` with a chain, which may also end at one of ``ends``."""
        for match in _START[self.masked].finditer(held, 0, end):
            if self._has_chain(held, match.start(), ends, most=most, least=2, differing=True):
                return match.start()
        return None

    def _has_chain(
        self, data: bytes, at: int, ends: AbstractSet[int], *, most: int | None, least: int, differing: bool = False
    ) -> bool:
        """
        Return whether frames follow one another from a position on, and end at one of ``ends`` if they are fewer than
        ``most``; ``differing`` rejects frames that are all alike, as silence looks.
        """
        masked = data[at + 1] >= MASKED
        begun, count, alike = at, 0, differing
        order = _FrameOrder()
        while count != most:
            if at in ends:
                return count >= least and not alike
            if not order.accepts_frame(data[at : at + 2]):
                return False
            after = _frame_end(data, at, masked=masked, reserved=self._reserved)
            if after is None:
                return False
            if after > len(data):
                # The last frame needs only its header.
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
    """Return the end of the frame at a position, None if there is no valid header."""
    if at + 2 > len(data):
        return None
    first, second = data[at], data[at + 1]
    opcode, length, body = first & 15, second & LENGTH_BITS, at + 2
    if first & reserved or opcode not in OPCODES or (second >= MASKED) is not masked:
        return None
    if opcode >= CONTROL and (length >= LENGTH_16 or first < FIN):
        return None
    if length >= LENGTH_16:
        body += 2 if length == LENGTH_16 else 8
        extended = int.from_bytes(data[at + 2 : body], "big")
        # Lengths must use the shortest form (RFC 6455 5.2).
        if body > len(data) or not (125 if length == LENGTH_16 else 65_535) < extended <= MAX_FRAME:
            return None
        length = extended
    return body + (4 if masked else 0) + length
