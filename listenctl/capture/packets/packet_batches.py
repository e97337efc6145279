"""
The contents of a packet file, in any format: batches of packets, notices about damage, TLS secrets.
Packets stay in the block that was read: copying each, or making an object of it, would take longer than the rest.
"""

from dataclasses import dataclass

MAX_DAMAGE = 1 << 26
"""Bytes without a valid record after which a file is given up."""

PacketRecord = tuple[float, int, int, int]
"""Unix time, start in the block, captured bytes, bytes on the wire."""


@dataclass(frozen=True, slots=True)
class PacketBatch:
    """Packets of one link type in file order; ``first`` is the number of the first, as Wireshark counts."""

    link_type: int
    block: bytes
    records: list[PacketRecord]
    first: int


@dataclass(frozen=True, slots=True)
class CaptureNotice:
    """A problem in a capture: ``where`` it is, and ``what`` is wrong and done about it."""

    where: str
    what: str
    unread: bool = False  # data is left out that calls may be in

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class EmbeddedSecrets:
    """TLS secrets stored in the capture, as the text of a key log."""

    text: str


PacketFileItem = PacketBatch | CaptureNotice | EmbeddedSecrets


class PacketFileReader:
    """The position in a packet file, and the damage that is skipped; common to both formats."""

    record = ""  # what the file consists of, as notices call it

    def __init__(self, at: int = 0) -> None:
        self._offset = 0  # position of the current block of data in the file
        self._at = at  # position of the next record in that block
        self._count = 0  # packets read so far
        self._damaged_at: int | None = None  # position in the file of the damage after which no record was found yet

    def _end_damage(self) -> CaptureNotice:
        assert self._damaged_at is not None
        where, self._damaged_at = f"byte {self._damaged_at}", None
        found = self._offset + self._at
        return CaptureNotice(where, f"no valid {self.record} after packet {self._count}; continuing at byte {found}")

    @property
    def _is_given_up(self) -> bool:
        return self._damaged_at is not None and self._offset + self._at - self._damaged_at > MAX_DAMAGE

    def _give_up(self) -> CaptureNotice:
        what = f"no valid {self.record} after packet {self._count} in {MAX_DAMAGE >> 20} MiB; the rest is not read"
        return CaptureNotice(f"byte {self._damaged_at}", what, unread=True)

    def _damaged_to_end(self) -> CaptureNotice:
        what = f"no valid {self.record} after packet {self._count} up to the end of the file"
        return CaptureNotice(f"byte {self._damaged_at}", what, unread=True)
