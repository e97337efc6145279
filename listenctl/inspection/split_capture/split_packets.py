"""Write the packets of each call's connection: from the SYN before its handshake to the next SYN of the same ports."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from ipaddress import ip_address
from math import inf
from pathlib import Path

from listenctl.capture.capture_events import CapturedSession
from listenctl.capture.compressed_files import OpenedCapture, open_capture_file
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
"""Addresses and ports as in packets: from the client, and to the client."""


def split_packets(path: str, calls: Sequence[CallReport], folder: Path, warn: Callable[[str], None]) -> Iterator[Path]:
    """Write the packets of each call to a capture of the same format as ``path``; yield the paths."""
    keyed = [(report, keys) for report in calls if (keys := _keys_of(report.session))]
    if len(keyed) < len(calls):
        warn(f"{path}: --split skips {len(calls) - len(keyed)} calls whose addresses are unknown")
    begins = _connections(path, {keys[0] for _, keys in keyed})
    file = open_capture_file(path)
    pcapng = file.start[:4] not in MAGICS
    parts = [
        _ConnectionPart(report, keys, _create(folder, report.call, pcapng=pcapng), begins.get(keys[0], {}).values())
        for report, keys in keyed
    ]
    _copy_packets(file, parts)
    for part in parts:
        part.writer.flush()
        yield part.writer.path


class _ConnectionPart:
    """The connection of one call, and its file; ``begins`` are those of all connections between its ports."""

    def __init__(self, report: CallReport, keys: Keys, writer: PcapWriter, begins: Collection[float]) -> None:
        self.keys = keys
        self.writer = writer
        self._encrypted = report.session.encrypted
        began = report.session.began
        self._begins = max((at for at in begins if at <= began), default=-inf)
        self._ends = min((at for at in begins if at > began), default=inf)

    def add_packet(self, batch: PacketBatch, record: PacketRecord) -> None:
        if self._begins <= record[0] < self._ends:
            self.writer.add_packet(batch, record)

    def add_secrets(self, text: str) -> None:
        if self._encrypted:
            self.writer.add_secrets(text)


def _copy_packets(file: OpenedCapture, parts: Sequence[_ConnectionPart]) -> None:
    by_key: dict[bytes, list[_ConnectionPart]] = {}
    for part in parts:
        for key in part.keys:
            by_key.setdefault(key, []).append(part)
            by_key.setdefault(key[:-_PORTS], []).append(part)
    reader = IpReader()
    for found in read_packets(file):
        if isinstance(found, EmbeddedSecrets):
            for part in parts:
                part.add_secrets(found.text)
        elif isinstance(found, PacketBatch):
            for record, packet, segment in _segments(reader, found):
                # Of a fragmented packet, only one fragment has the ports.
                for part in by_key.get(segment.key if segment else _fragment(packet), ()):
                    part.add_packet(found, record)


def _connections(path: str, keys: set[bytes]) -> dict[bytes, dict[int, float]]:
    """Return when connections began, by key and first sequence number: a retransmitted SYN counts once."""
    found: dict[bytes, dict[int, float]] = {}
    reader = IpReader()
    for batch in read_packets(open_capture_file(path)):
        if isinstance(batch, PacketBatch):
            for record, _, segment in _segments(reader, batch):
                if segment and segment.flags & (_SYN | _ACK) == _SYN and segment.key in keys:
                    found.setdefault(segment.key, {}).setdefault(segment.sequence, record[0])
    return found


def _segments(reader: IpReader, batch: PacketBatch) -> Iterator[tuple[PacketRecord, bytes, TcpSegment | None]]:
    """Yield each IP packet with the segment that it contains or completes."""
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
    """Return the addresses of a packet that may be a fragment of a TCP segment; otherwise nothing."""
    if packet[0] >> 4 == 4 and len(packet) >= 20 and packet[9] == TCP_PROTOCOL:
        return packet[12:20]
    return packet[8:40] if len(packet) >= 40 and packet[6] == _IPV6_FRAGMENT else b""


def _keys_of(session: CapturedSession) -> Keys | None:
    ends = [_ENDPOINT.fullmatch(end) for end in (session.proxy or session.client, session.server)]
    packed = [(ip_address(end[1]).packed, int(end[2]).to_bytes(2, "big")) for end in ends if end]
    if len(packed) != len(ends):
        return None
    (own, port), (other, service) = packed
    return own + other + port + service, other + own + service + port


def _create(folder: Path, call: str, *, pcapng: bool) -> PcapWriter:
    claimed = create_numbered(folder / f"{clean_for_file_name(call)}{'.pcapng' if pcapng else '.pcap'}")
    os.close(claimed.fd)
    return PcapWriter(claimed.path, pcapng)
