"""
What a capture file holds, whatever its format: packets by the block, notes about damage, TLS secrets.

Packets stay where they lie in the block that was read, and a record says where: copying each of them, or making an
object of it, takes longer than all that is done with it.
"""

from dataclasses import dataclass

PacketRecord = tuple[float, int, int, int]
"""Time in seconds since the epoch, start in the block, bytes that were captured, bytes that were on the wire."""


@dataclass(frozen=True, slots=True)
class PacketBatch:
    """Packets of one link type in the order of the file; ``first`` is the number of the first, as Wireshark counts."""

    link_type: int
    block: bytes
    records: list[PacketRecord]
    first: int


@dataclass(frozen=True, slots=True)
class CaptureNotice:
    """Something in a capture that isn't as it should be: ``where`` it is, and what is done about it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class EmbeddedSecrets:
    """TLS secrets that the capture itself brings along, as the text of a key log."""

    text: str
