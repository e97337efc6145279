"""Summarize a capture without listen calls, so that the user sees whether the right traffic was captured."""

import re
from collections import Counter
from dataclasses import dataclass, field

from listenctl.capture.compressed_files import open_capture_file
from listenctl.capture.packets.link_layer import LINK_LAYERS
from listenctl.capture.packets.packet_batches import PacketBatch
from listenctl.capture.packets.tcp_events import TcpConnection, TcpData, TcpGap
from listenctl.capture.packets.tcp_streams import TcpReader
from listenctl.capture.read_capture import is_packet_capture, read_packets

_PROTOCOLS = {
    "HTTP": re.compile(rb"[A-Z]{3,10} \S+ HTTP/1\.|HTTP/1\.\d \d\d\d"),
    "TLS": re.compile(rb"[\x14-\x17]\x03[\x00-\x04]"),
    "the PROXY protocol": re.compile(rb"PROXY |\r\n\r\n\x00\r\nQUIT\n"),
    "SIP": re.compile(rb"[A-Z]{3,10} sips?:|SIP/2\.0 "),
}


@dataclass(slots=True)
class CaptureContents:
    """Number of packets, and of TCP connections by protocol."""

    packets: int = 0
    unread: int = 0  # packets of link types that are not read
    has_data: bool = False  # there is data on TCP connections, even if it was not captured
    connections: Counter[str] = field(default_factory=Counter)


def count_contents(path: str) -> CaptureContents | None:
    """Count what is in a capture; None if it contains no packets. Raises UsageError if the file can't be read."""
    file = open_capture_file(path)
    if not is_packet_capture(file.start):
        return None
    contents, reader = CaptureContents(), TcpReader()
    protocols: dict[TcpConnection, str] = {}
    for found in read_packets(file):
        if not isinstance(found, PacketBatch):
            continue
        contents.packets += len(found.records)
        if found.link_type not in LINK_LAYERS:
            contents.unread += len(found.records)
        for event in reader.read_batch(found):
            contents.has_data = contents.has_data or isinstance(event, TcpData | TcpGap)
            if isinstance(event, TcpData) and event.stream.connection not in protocols:
                protocols[event.stream.connection] = next(
                    (name for name, pattern in _PROTOCOLS.items() if pattern.match(event.data)), "something else"
                )
    contents.connections.update(protocols.values())
    return contents
