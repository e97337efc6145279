"""
The packets of each call's connection.

Ports are used again, so that a connection is what lies between the SYN before the call's handshake and that of the next
connection between the same ports.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from listenctl.capture.compressed_files import open_capture_file
from listenctl.capture.packets.ip_packets import TCP_PROTOCOL, IpReader, TcpSegment
from listenctl.capture.packets.link_layer import LINK_LAYERS, find_ip_packet
from listenctl.capture.packets.packet_batches import EmbeddedSecrets, PacketBatch, PacketRecord
from listenctl.capture.packets.read_pcap import MAGICS
from listenctl.capture.read_capture import read_packets
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.split_capture.pcap_writer import PcapWriter
from listenctl.media.files.new_files import create_numbered
from listenctl.media.files.recording_names import clean_for_file_name

_SYN, _ACK = 0x02, 0x10
_ENDPOINT = re.compile(r"\[?([0-9A-Fa-f.:]+?)\]?:(\d{1,5})")
_PORTS = 4
_IPV6_FRAGMENT = 44

Keys = tuple[bytes, bytes]
"""Addresses and ports as they stand in packets: from the client, and to it."""


def split_packets(path: str, calls: Sequence[CallReport], folder: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """Write the packets of calls to captures of their own, of the kind that ``path`` is; yield the paths."""
    parts = [
        _Part(report, keys) for report in calls if (keys := _keys_of(report.session.client, report.session.server))
    ]
    if len(parts) < len(calls):
        say(f"{path}: of {len(calls) - len(parts)} calls the addresses aren't known; --split leaves them out")
    begins = _connections(path, {part.keys[0] for part in parts})
    file = open_capture_file(path)
    sections = file.start[:4] not in MAGICS
    for part in parts:
        part.narrow(sorted(begins.get(part.keys[0], {}).values()))
        part.file = _create(folder, part.report.call, sections=sections)
    index = _Index(parts)
    for found in read_packets(file):
        if isinstance(found, EmbeddedSecrets):
            index.add_secrets(found.text)
        elif isinstance(found, PacketBatch):
            index.add(found)
    for part in parts:
        assert part.file
        part.file.flush()
        yield part.file.path


class _Part:
    """One call's connection, and the file that it goes to."""

    def __init__(self, report: CallReport, keys: Keys) -> None:
        self.report = report
        self.keys = keys
        self.file: PcapWriter | None = None
        self._begins, self._ends = float("-inf"), float("inf")

    def narrow(self, begins: Sequence[float]) -> None:
        """Take notice of when connections between these ports began."""
        began = self.report.session.began
        self._begins = max((at for at in begins if at <= began), default=self._begins)
        self._ends = min((at for at in begins if at > began), default=self._ends)

    def add(self, batch: PacketBatch, record: PacketRecord) -> None:
        """Write a packet, if it is of this time."""
        if self._begins <= record[0] < self._ends and self.file:
            self.file.add(batch, record)


class _Index:
    """Find the part that a packet belongs to."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._parts = parts
        self._reader = IpReader()
        self._by_key: dict[bytes, list[_Part]] = {}
        for part in parts:
            for key in part.keys:
                self._by_key.setdefault(key, []).append(part)
                self._by_key.setdefault(key[:-_PORTS], []).append(part)

    def add(self, batch: PacketBatch) -> None:
        for record, packet, segment in _segments(self._reader, batch):
            # The parts of a fragmented packet but for one don't say their ports.
            key = segment.key if segment else _fragment(packet)
            for part in self._by_key.get(key, ()):
                part.add(batch, record)

    def add_secrets(self, text: str) -> None:
        for part in self._parts:
            if part.report.session.encrypted and part.file:
                part.file.add_secrets(text)


def _connections(path: str, keys: set[bytes]) -> dict[bytes, dict[int, float]]:
    """Return when connections began, by their key and first sequence number: a SYN that is repeated counts once."""
    found: dict[bytes, dict[int, float]] = {}
    reader = IpReader()
    for batch in read_packets(open_capture_file(path)):
        if isinstance(batch, PacketBatch):
            for record, _, segment in _segments(reader, batch):
                if segment and segment.flags & (_SYN | _ACK) == _SYN and segment.key in keys:
                    found.setdefault(segment.key, {}).setdefault(segment.sequence, record[0])
    return found


def _segments(reader: IpReader, batch: PacketBatch) -> Iterator[tuple[PacketRecord, bytes, TcpSegment | None]]:
    """Yield each IP packet, and the segment that it carries or completes."""
    link = LINK_LAYERS.get(batch.link_type)
    for number, record in enumerate(batch.records if link else (), batch.first):
        at, start, captured, original = record
        ip = find_ip_packet(link, batch.block, start, start + captured) if link else None
        if ip is None:
            continue
        packet = batch.block[ip : start + captured]
        found = reader.read_packet(packet, at=at, number=number, size=start + original - ip)
        yield record, packet, next((one for one in found if isinstance(one, TcpSegment)), None)


def _fragment(packet: bytes) -> bytes:
    """Return the addresses of a packet that may be part of a TCP segment; nothing of any other."""
    if packet[0] >> 4 == 4 and len(packet) >= 20 and packet[9] == TCP_PROTOCOL:
        return packet[12:20]
    return packet[8:40] if len(packet) >= 40 and packet[6] == _IPV6_FRAGMENT else b""


def _keys_of(client: str, server: str) -> Keys | None:
    ends = [_ENDPOINT.fullmatch(end) for end in (client, server)]
    packed = [(ip_address(end[1]).packed, int(end[2]).to_bytes(2, "big")) for end in ends if end]
    if len(packed) != len(ends):
        return None
    (own, port), (other, service) = packed
    return own + other + port + service, other + own + service + port


def _create(folder: Path, call: str, *, sections: bool) -> PcapWriter:
    claimed = create_numbered(folder / f"{clean_for_file_name(call)}{'.pcapng' if sections else '.pcap'}")
    os.close(claimed.fd)
    return PcapWriter(claimed.path, sections)
