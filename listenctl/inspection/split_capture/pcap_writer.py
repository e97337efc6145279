"""Write packets of a capture to another one, in pcap or pcapng."""

from dataclasses import dataclass, field
from pathlib import Path
from struct import pack

from listenctl.capture.packets.packet_batches import PacketBatch, PacketRecord
from listenctl.capture.packets.read_pcapng import ENHANCED_PACKET, INTERFACE, SECRETS, SECTION, TLS_KEY_LOG

_MICROSECONDS = 0xA1B2C3D4
_PER_SECOND = 1_000_000
_SNAP_LENGTH = 262_144
_BYTE_ORDER = 0x1A2B3C4D
_BUFFER = 256 * 1024


@dataclass(slots=True)
class PcapWriter:
    """Append packets to a capture that is open only while data is written: there may be a thousand writers at once."""

    path: Path
    pcapng: bool  # write pcapng, which supports several link types and TLS secrets
    packets: int = 0
    _buffer: bytearray = field(default_factory=bytearray)
    _links: list[int] = field(default_factory=list)

    def add_packet(self, batch: PacketBatch, record: PacketRecord) -> None:
        """Write a packet as it was captured; its time is rounded to microseconds."""
        at, start, captured, original = record
        data = batch.block[start : start + captured]
        self.packets += 1
        self._buffer += (self._block if self.pcapng else self._record)(batch.link_type, at, data, original)
        if len(self._buffer) > _BUFFER:
            self.flush()

    def add_secrets(self, text: str) -> None:
        """Write TLS secrets; pcap has no place for them, so there they are omitted."""
        if self.pcapng:
            raw = text.encode()
            self._begin()
            self._buffer += _block(SECRETS, pack("<II", TLS_KEY_LOG, len(raw)) + raw)

    def flush(self) -> None:
        with self.path.open("ab") as file:
            file.write(self._buffer)
        self._buffer.clear()

    def _record(self, link_type: int, at: float, data: bytes, original: int) -> bytes:
        head = b""
        if not self._links:
            self._links.append(link_type)
            head = pack("<IHHIIII", _MICROSECONDS, 2, 4, 0, 0, _SNAP_LENGTH, link_type)
        return head + pack("<IIII", *divmod(round(at * _PER_SECOND), _PER_SECOND), len(data), original) + data

    def _block(self, link_type: int, at: float, data: bytes, original: int) -> bytes:
        self._begin()
        head = b""
        if link_type not in self._links:
            self._links.append(link_type)
            head = _block(INTERFACE, pack("<HHI", link_type, 0, _SNAP_LENGTH))
        number = self._links.index(link_type)
        ticks = divmod(round(at * _PER_SECOND), 1 << 32)
        return head + _block(ENHANCED_PACKET, pack("<5I", number, *ticks, len(data), original) + data)

    def _begin(self) -> None:
        if not self._buffer and not self._links and not self.path.stat().st_size:
            self._buffer += _block(SECTION, pack("<IHHq", _BYTE_ORDER, 1, 0, -1))


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = pack("<I", len(body) + 12)
    return pack("<I", kind) + size + body + size
