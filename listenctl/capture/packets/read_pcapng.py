"""
Read pcapng: sections, interfaces, packet blocks and TLS secrets.
After damage, a block is recognized by its length, which it has at both ends.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from listenctl.capture.packets.packet_batches import (
    CaptureNotice,
    EmbeddedSecrets,
    PacketBatch,
    PacketFileItem,
    PacketFileReader,
    PacketRecord,
)

SECTION = 0x0A0D0D0A
INTERFACE, OBSOLETE_PACKET, SIMPLE_PACKET, ENHANCED_PACKET, SECRETS = 1, 2, 3, 6, 10
MAX_BLOCK = 1 << 22
"""Bytes: far more than a packet has, and enough for the secrets of thousands of sessions."""
TLS_KEY_LOG = 0x544C534B
ENHANCED_HEADER = 28
_RESOLUTION, _OFFSET, _END_OF_OPTIONS = 9, 14, 0
_MICROSECONDS = 1_000_000
LATEST = 1 << 33
"""A time in the year 2242; a later one is damage."""

_LITTLE = b"\x4d\x3c\x2b\x1a"
_BIG = _LITTLE[::-1]
_BLOCK_START = {
    "<": re.compile(
        rb"(?s)(?=[\x01\x02\x03\x05\x06\x0a]\x00\x00\x00|\x0a\x0d\x0d\x0a....(?:\x4d\x3c\x2b\x1a|\x1a\x2b\x3c\x4d))"
    ),
    ">": re.compile(
        rb"(?s)(?=\x00\x00\x00[\x01\x02\x03\x05\x06\x0a]|\x0a\x0d\x0d\x0a....(?:\x4d\x3c\x2b\x1a|\x1a\x2b\x3c\x4d))"
    ),
}


@dataclass(frozen=True, slots=True)
class _Interface:
    link_type: int
    snap_length: int
    per_second: int
    offset: int


class _SectionLayout:
    """The structures of a section in its byte order."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.block = Struct(f"{order}II").unpack_from
        self.length = Struct(f"{order}I").unpack_from
        self.interface = Struct(f"{order}HxxI").unpack_from
        self.option = Struct(f"{order}HH").unpack_from
        self.enhanced = Struct(f"{order}IIIII").unpack_from
        self.enhanced_block = Struct(f"{order}7I").unpack_from
        self.obsolete = Struct(f"{order}HxxIIII").unpack_from
        self.offset = Struct(f"{order}q").unpack_from


_SECTION_LAYOUTS = {order: _SectionLayout(order) for order in "<>"}


def read_pcapng(chunks: Iterator[bytes]) -> Iterator[PacketFileItem]:
    yield from _PcapngReader().read(chunks)


class _PcapngReader(PacketFileReader):
    record = "block"

    def __init__(self) -> None:
        super().__init__()
        self._layout = _SECTION_LAYOUTS["<"]
        self._interfaces: list[_Interface] = []
        self._last_time = self._last_valid_time = 0.0
        self._reported_time = False
        self._records: list[PacketRecord] = []
        self._link_type = 0

    def read(self, chunks: Iterator[bytes]) -> Iterator[PacketFileItem]:
        data = b""
        for chunk in chunks:
            data = data[self._at :] + chunk
            self._offset += self._at
            self._at = 0
            yield from self._data(data, ended=False)
            yield from self._batch(data)
            if self._is_given_up:
                yield self._give_up()
                return
        yield from self._data(data, ended=True)
        yield from self._batch(data)
        yield from self._end(data)

    def _data(self, data: bytes, *, ended: bool) -> Iterator[PacketFileItem]:
        while len(data) - self._at >= 12:
            if self._damaged_at is not None:
                if not self._resynchronise(data, ended=ended):
                    return
                yield self._end_damage()
            self._plain_packets(data)
            if len(data) - self._at < 12:
                return
            size = self._block_size(data, self._at)
            if size is None:
                return
            if not size:
                self._damaged_at = self._offset + self._at
                self._at += 1
                continue
            at, self._at = self._at, self._at + size
            yield from self._block(data, at, self._at - 4)

    def _plain_packets(self, data: bytes) -> None:
        """Append the plain packets that follow in a row: 0.7 µs each, 2.6 through ``_block``."""
        unpack, length, add = self._layout.enhanced_block, self._layout.length, self._records.append
        interfaces, link_type = self._interfaces, self._link_type
        at, last, end, known = self._at, self._last_time, len(data) - ENHANCED_HEADER, len(interfaces)
        count = len(self._records)
        while at < end:
            kind, size, number, high, low, captured, original = unpack(data, at)
            after = at + size
            if (
                kind != ENHANCED_PACKET
                or size & 3
                or captured + ENHANCED_HEADER + 4 > size
                or after > end + ENHANCED_HEADER
                or size > MAX_BLOCK
                or number >= known
                or (interface := interfaces[number]).link_type != link_type
                or length(data, after - 4)[0] != size
            ):
                break
            last = (high << 32 | low) / interface.per_second + interface.offset
            add((last, at + ENHANCED_HEADER, captured, original))
            at = after
        self._at, self._last_time = at, last
        self._count += len(self._records) - count

    def _block_size(self, data: bytes, at: int) -> int | None:
        """Return the size of the block at a position; 0 if there is none, None if it is incomplete."""
        layout = self._layout
        kind, size = layout.block(data, at)
        if kind == SECTION:
            layout = _SECTION_LAYOUTS[">" if data[at + 8 : at + 12] == _BIG else "<"]
            if data[at + 8 : at + 12] not in (_BIG, _LITTLE):
                return 0
            (size,) = layout.length(data, at + 4)
        if size & 3 or not 12 <= size <= MAX_BLOCK:
            return 0
        if at + size > len(data):
            return None
        return size if layout.length(data, at + size - 4)[0] == size else 0

    def _resynchronise(self, data: bytes, *, ended: bool) -> bool:
        for match in _BLOCK_START[self._layout.order].finditer(data, self._at):
            if len(data) - match.start() < 12:
                break
            size = self._block_size(data, match.start())
            if size or (size is None and not ended):
                self._at = match.start()
                return size is not None
        self._at = max(self._at, len(data) - 11)
        return False

    def _block(self, data: bytes, at: int, end: int) -> Iterator[PacketFileItem]:
        kind, _ = self._layout.block(data, at)
        match kind:
            case _ if kind in (ENHANCED_PACKET, OBSOLETE_PACKET) and end - at >= ENHANCED_HEADER:
                unpack = self._layout.enhanced if kind == ENHANCED_PACKET else self._layout.obsolete
                number, high, low, captured, original = unpack(data, at + 8)
                place = (at + ENHANCED_HEADER, end)
                yield from self._packet(data, number, high << 32 | low, place, (captured, original))
            case _ if kind == SIMPLE_PACKET and end - at >= 12:
                (original,) = self._layout.length(data, at + 8)
                captured = min(original, end - at - 12)
                if self._interfaces and self._interfaces[0].snap_length:
                    captured = min(captured, self._interfaces[0].snap_length)
                yield from self._packet(data, 0, None, (at + 12, end), (captured, original))
            case _ if kind == SECTION:
                self._layout = _SECTION_LAYOUTS[">" if data[at + 8 : at + 12] == _BIG else "<"]
                self._interfaces = []
            case _ if kind == INTERFACE and end - at >= 16:
                self._interfaces.append(self._interface(data, at, end))
            case _ if kind == SECRETS and end - at >= 16:
                form, length = self._layout.block(data, at + 8)
                if form == TLS_KEY_LOG:
                    yield EmbeddedSecrets(data[at + 16 : min(at + 16 + length, end)].decode("ascii", "replace"))

    def _packet(
        self, data: bytes, number: int, ticks: int | None, place: tuple[int, int], sizes: tuple[int, int]
    ) -> Iterator[PacketBatch | CaptureNotice]:
        """Append the packet at ``place``; ``sizes`` are its captured bytes and those on the wire."""
        self._count += 1
        captured, original = sizes
        start, end = place
        if number >= len(self._interfaces):
            yield from self._batch(data, self._count - 1)
            yield CaptureNotice(f"packet {self._count}", f"its interface {number} is not described; packet skipped")
            return
        interface = self._interfaces[number]
        if interface.link_type != self._link_type:
            yield from self._batch(data, self._count - 1)
            self._link_type = interface.link_type
        if captured > end - start:
            what = f"it claims {captured} bytes but has {end - start}; using those"
            yield CaptureNotice(f"packet {self._count}", what)
            captured = end - start
        if ticks is not None:
            self._last_time = ticks / interface.per_second + interface.offset
        self._records.append((self._last_time, start, captured, original))

    def _batch(self, data: bytes, last: int | None = None) -> Iterator[PacketBatch | CaptureNotice]:
        if not self._records:
            return
        records, self._records = self._records, []
        if not all(0 <= at < LATEST for at, *_ in (max(records), min(records))):
            yield from self._fix_times(records, (last or self._count) - len(records) + 1)
        self._last_valid_time = records[-1][0]
        yield PacketBatch(self._link_type, data, records, (last or self._count) - len(records) + 1)

    def _fix_times(self, records: list[PacketRecord], first: int) -> Iterator[CaptureNotice]:
        """Replace impossible times with that of the packet before, and report the first."""
        for number, (at, start, captured, original) in enumerate(records):
            if 0 <= at < LATEST:
                self._last_valid_time = at
                continue
            records[number] = (self._last_valid_time, start, captured, original)
            if not self._reported_time:
                self._reported_time = True
                what = "its time is impossible; it and others like it get the time of the packet before"
                yield CaptureNotice(f"packet {first + number}", what)

    def _interface(self, data: bytes, at: int, end: int) -> _Interface:
        link_type, snap_length = self._layout.interface(data, at + 8)
        per_second, offset = _MICROSECONDS, 0
        at += 16
        while at + 4 <= end:
            code, length = self._layout.option(data, at)
            at += 4
            if code == _END_OF_OPTIONS or at + length > end:
                break
            if code == _RESOLUTION and length == 1:
                # The upper bit selects a power of two instead of ten.
                per_second = 2 ** (data[at] & 0x7F) if data[at] & 0x80 else 10 ** min(data[at], 30)
            elif code == _OFFSET and length == 8:
                (offset,) = self._layout.offset(data, at)
            at += length + 3 & ~3
        return _Interface(link_type, snap_length, per_second, offset)

    def _end(self, data: bytes) -> Iterator[PacketFileItem]:
        if self._damaged_at is not None:
            yield self._damaged_to_end()
            return
        left = len(data) - self._at
        if left:
            yield CaptureNotice(
                f"byte {self._offset + self._at}", f"the file ends in a block, after {left} of its bytes"
            )
        if left > ENHANCED_HEADER and self._layout.block(data, self._at)[0] == ENHANCED_PACKET:
            yield from self._block(data, self._at, len(data))
            yield from self._batch(data)
