"""
Read classic pcap: both byte orders, micro- and nanoseconds, and the modified format with its longer record headers.

Nothing in a file is trusted: where a record header can't be one, reading goes on at the next place where several
records follow one another, and a notice says what was skipped.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from listenctl.capture.packets.packet_batches import CaptureNotice, PacketBatch, PacketRecord

MAX_CAPTURED = 262_144
"""Bytes of one packet: what libpcap takes at most from nearly all link types."""
FILE_HEADER = 24
CHAIN = 3
"""So many record headers in a row don't come about by chance."""

_MICROSECONDS, _NANOSECONDS, _MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
MAGICS = frozenset(
    magic.to_bytes(4, order) for magic in (_MICROSECONDS, _NANOSECONDS, _MODIFIED) for order in ("little", "big")
)


@dataclass(frozen=True, slots=True)
class _PcapLayout:
    """How this file writes its records."""

    little_endian: bool
    per_second: int
    header: Struct
    max_captured: int
    link_type: int


def read_pcap(chunks: Iterator[bytes]) -> Iterator[PacketBatch | CaptureNotice]:
    """Yield the packets of a file that begins with one of ``MAGICS``, a batch for each chunk."""
    block = b""
    for chunk in chunks:
        block += chunk
        if len(block) >= FILE_HEADER:
            yield from _PcapReader(_layout(block)).read(block, chunks)
            return
    yield CaptureNotice(f"byte {len(block)}", "the file ends in its header; there is no packet in it")


def _layout(header: bytes) -> _PcapLayout:
    magic = int.from_bytes(header[:4], "little")
    little_endian = magic in (_MICROSECONDS, _NANOSECONDS, _MODIFIED)
    order = "<" if little_endian else ">"
    magic, _, _, _, _, snap_length, link = Struct(f"{order}IHHIIII").unpack_from(header)
    return _PcapLayout(
        little_endian=little_endian,
        per_second=1_000_000_000 if magic == _NANOSECONDS else 1_000_000,
        header=Struct(f"{order}IIII8x" if magic == _MODIFIED else f"{order}IIII"),
        max_captured=max(MAX_CAPTURED, min(snap_length, 0xFFFFFF)),
        # The upper bits say how long the frame check sequence is.
        link_type=link & 0xFFFF,
    )


class _PcapReader:
    def __init__(self, layout: _PcapLayout) -> None:
        self._layout = layout
        self._offset = 0  # of the block in the file
        self._at = FILE_HEADER  # of the next record in the block
        self._previous = FILE_HEADER  # of the record before it
        self._count = 0
        self._lost_from: int | None = None

    def read(self, block: bytes, chunks: Iterator[bytes]) -> Iterator[PacketBatch | CaptureNotice]:
        yield from self._block(block, ended=False)
        for chunk in chunks:
            # From the record before on: it may turn out to have been too long.
            keep = min(self._previous, len(block))
            block = block[keep:] + chunk
            self._offset += keep
            self._at -= keep
            self._previous -= keep
            yield from self._block(block, ended=False)
        yield from self._block(block, ended=True)

    def _block(self, block: bytes, *, ended: bool) -> Iterator[PacketBatch | CaptureNotice]:
        while True:
            if self._lost_from is None:
                records: list[PacketRecord] = []
                damaged = self._records(block, records)
                if records:
                    yield PacketBatch(self._layout.link_type, block, records, self._count - len(records) + 1)
                if not damaged:
                    break
                self._lost_from = self._offset + self._at
                # A wrong length leads astray, so that what is sought may lie inside the record before.
                self._at = min(self._previous + 1, self._at)
            if not self._resynchronise(block, ended=ended):
                break
            yield self._skipped()
        if ended:
            yield from self._end(block)

    def _records(self, block: bytes, records: list[PacketRecord]) -> bool:
        """Add the whole records from here on; tell whether something that can't be a record follows."""
        layout = self._layout
        unpack, header, most, per_second = (
            layout.header.unpack_from,
            layout.header.size,
            layout.max_captured,
            layout.per_second,
        )
        add = records.append
        size, at, previous = len(block), self._at, self._previous
        damaged = False
        while (start := at + header) <= size:
            seconds, fraction, captured, original = unpack(block, at)
            if captured > most or fraction >= per_second or not original:
                damaged = True
                break
            if start + captured > size:
                break
            add((seconds + fraction / per_second, start, captured, original))
            previous = at
            at = start + captured
        self._at, self._previous = at, previous
        self._count += len(records)
        return damaged

    def _resynchronise(self, block: bytes, *, ended: bool) -> bool:
        """Move to the next place where records follow one another, if the block has one already."""
        for match in _record_start(self._layout).finditer(block, self._at):
            self._at = match.start()
            chained = self._chained(block, match.start(), ended=ended)
            if chained is not False:
                self._previous = self._at
                return chained is True
        if not ended:
            self._at = max(self._at, len(block) - self._layout.header.size + 1)
        self._previous = self._at
        return False

    def _chained(self, block: bytes, at: int, *, ended: bool) -> bool | None:
        """Tell whether records follow one another from here on; None if that can only be told with more of the file."""
        header = self._layout.header
        for links in range(CHAIN):
            if at + header.size > len(block):
                return (at == len(block) or links > 1) if ended else None
            _, fraction, captured, original = header.unpack_from(block, at)
            if not 0 < captured <= min(original, self._layout.max_captured) or fraction >= self._layout.per_second:
                return False
            at += header.size + captured
        return True

    def _skipped(self) -> CaptureNotice:
        assert self._lost_from is not None
        found, lost_from, self._lost_from = self._offset + self._at, self._lost_from, None
        what = f"what follows packet {self._count} is no packet; reading goes on at byte {found}"
        return CaptureNotice(f"byte {lost_from}", what)

    def _end(self, block: bytes) -> Iterator[PacketBatch | CaptureNotice]:
        if self._lost_from is not None:
            yield CaptureNotice(
                f"byte {self._lost_from}", f"what follows packet {self._count} is no packet; none comes after it"
            )
            return
        left = len(block) - self._at
        if not left:
            return
        header = self._layout.header
        if left <= header.size:
            yield CaptureNotice(f"packet {self._count + 1}", "the file ends in the header of this packet")
            return
        seconds, fraction, captured, original = header.unpack_from(block, self._at)
        left -= header.size
        self._count += 1
        record = (seconds + fraction / self._layout.per_second, self._at + header.size, left, max(original, captured))
        yield CaptureNotice(
            f"packet {self._count}", f"the file ends in this packet: {left} of its {captured} bytes are there"
        )
        yield PacketBatch(self._layout.link_type, block, [record], self._count)


def _record_start(layout: _PcapLayout) -> re.Pattern[bytes]:
    """Return what matches, without taking anything, where a record header may be; it skips garbage at C's speed."""
    most_fraction = (layout.per_second - 1) >> 16
    fraction = [b"..", _up_to(min(most_fraction, 0xFF)), _up_to(most_fraction >> 8)]
    length = [b"(?!\\x00\\x00)..", _up_to(layout.max_captured >> 16), _up_to(0)]
    if not layout.little_endian:
        fraction.reverse()
        length.reverse()
    # The original length may be anything above the captured one, so it isn't asked here.
    return re.compile(b"(?s)(?=....%b%b)" % (b"".join(fraction), b"".join(length)))


def _up_to(byte: int) -> bytes:
    return b"[\\x00-\\x%02x]" % byte
