"""
Read classic pcap: both byte orders, micro- and nanoseconds, and the modified format with longer record headers.
After an invalid header, reading continues where several records follow one another, and a notice reports it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from listenctl.capture.packets.packet_batches import CaptureNotice, PacketBatch, PacketFileReader, PacketRecord

MAX_CAPTURED = 262_144
"""Maximum bytes of a packet: the limit of libpcap for nearly all link types."""
FILE_HEADER = 24
CHAIN = 3
"""Record headers in a row that are unlikely by chance."""

_MICROSECONDS, _NANOSECONDS, _MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
MAGICS = frozenset(
    magic.to_bytes(4, order) for magic in (_MICROSECONDS, _NANOSECONDS, _MODIFIED) for order in ("little", "big")
)


@dataclass(frozen=True, slots=True)
class _PcapLayout:
    little_endian: bool
    per_second: int
    header: Struct
    max_captured: int
    link_type: int


def read_pcap(chunks: Iterator[bytes]) -> Iterator[PacketBatch | CaptureNotice]:
    """Yield the packets of a file that starts with one of ``MAGICS``, one batch per chunk."""
    block = b""
    for chunk in chunks:
        block += chunk
        if len(block) >= FILE_HEADER:
            yield from _PcapReader(_layout(block)).read(block, chunks)
            return
    yield CaptureNotice(f"byte {len(block)}", "the file ends in its header; it has no packets", unread=True)


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
        # The upper bits hold the length of the frame check sequence.
        link_type=link & 0xFFFF,
    )


class _PcapReader(PacketFileReader):
    record = "packet"

    def __init__(self, layout: _PcapLayout) -> None:
        super().__init__(FILE_HEADER)
        self._layout = layout
        self._previous = FILE_HEADER  # position of the record before the next one

    def read(self, block: bytes, chunks: Iterator[bytes]) -> Iterator[PacketBatch | CaptureNotice]:
        yield from self._block(block, ended=False)
        for chunk in chunks:
            # Keep the previous record: its length may turn out to be wrong.
            keep = min(self._previous, len(block))
            block = block[keep:] + chunk
            self._offset += keep
            self._at -= keep
            self._previous -= keep
            yield from self._block(block, ended=False)
            if self._is_given_up:
                yield self._give_up()
                return
        yield from self._block(block, ended=True)

    def _block(self, block: bytes, *, ended: bool) -> Iterator[PacketBatch | CaptureNotice]:
        while True:
            if self._damaged_at is None:
                records: list[PacketRecord] = []
                damaged = self._records(block, records)
                if records:
                    yield PacketBatch(self._layout.link_type, block, records, self._count - len(records) + 1)
                if not damaged:
                    break
                self._damaged_at = self._offset + self._at
                # If the previous length was wrong, the next record may start inside that record.
                self._at = min(self._previous + 1, self._at)
            if not self._resynchronise(block, ended=ended):
                break
            yield self._end_damage()
        if ended:
            yield from self._end(block)

    def _records(self, block: bytes, records: list[PacketRecord]) -> bool:
        """Append the complete records from here on; return whether an invalid record follows."""
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
        """Move to the next position where records follow one another; return whether the block has one."""
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
        """Return whether records follow one another from here on, None if more data is needed to decide."""
        header = self._layout.header
        for links in range(CHAIN):
            if at + header.size > len(block):
                return (at == len(block) or links > 1) if ended else None
            _, fraction, captured, original = header.unpack_from(block, at)
            if not 0 < captured <= min(original, self._layout.max_captured) or fraction >= self._layout.per_second:
                return False
            at += header.size + captured
        return True

    def _end(self, block: bytes) -> Iterator[PacketBatch | CaptureNotice]:
        if self._damaged_at is not None:
            yield self._damaged_to_end()
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
        yield CaptureNotice(f"packet {self._count}", f"the file ends in this packet, after {left} of {captured} bytes")
        yield PacketBatch(self._layout.link_type, block, [record], self._count)


def _record_start(layout: _PcapLayout) -> re.Pattern[bytes]:
    """Return a pattern that matches, with length 0, where a record header may start: ``re`` skips garbage fast."""
    most_fraction = (layout.per_second - 1) >> 16
    fraction = [b"..", _up_to(min(most_fraction, 0xFF)), _up_to(most_fraction >> 8)]
    length = [b"(?!\\x00\\x00)..", _up_to(layout.max_captured >> 16), _up_to(0)]
    if not layout.little_endian:
        fraction.reverse()
        length.reverse()
    # The original length isn't checked: it may be anything above the captured one.
    return re.compile(b"(?s)(?=....%b%b)" % (b"".join(fraction), b"".join(length)))


def _up_to(byte: int) -> bytes:
    return b"[\\x00-\\x%02x]" % byte
