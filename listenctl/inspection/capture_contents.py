"""What a capture holds in which no call was found: enough to see whether the right thing was captured."""

import re
from dataclasses import dataclass, field

from listenctl.capture.compressed_files import open_capture_file
from listenctl.capture.packets.packet_batches import PacketBatch
from listenctl.capture.packets.tcp_events import TcpConnection, TcpData
from listenctl.capture.packets.tcp_streams import TcpReader
from listenctl.capture.read_capture import is_capture, read_packets

_HTTP = re.compile(rb"[A-Z]{3,10} \S+ HTTP/1\.|HTTP/1\.\d \d\d\d")
_TLS = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")
_SIP = re.compile(rb"[A-Z]{3,10} sips?:|SIP/2\.0 ")


@dataclass(slots=True)
class CaptureContents:
    """How many packets and TCP connections there are, and what the latter carry, by name."""

    packets: int = 0
    connections: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


def count_contents(path: str) -> CaptureContents | None:
    """
    Count what is in a capture; None where a file isn't one of packets.

    Raises:
        UsageError: it can't be read.
    """
    file = open_capture_file(path)
    if not is_capture(file.start):
        return None
    census, reader = CaptureContents(), TcpReader()
    kinds: dict[TcpConnection, str] = {}
    for found in read_packets(file):
        if not isinstance(found, PacketBatch):
            continue
        census.packets += len(found.records)
        for event in reader.feed(found):
            if isinstance(event, TcpData) and event.stream.connection not in kinds:
                kinds[event.stream.connection] = _kind(event.data)
    for kind in kinds.values():
        census.kinds[kind] = census.kinds.get(kind, 0) + 1
    census.connections = len(kinds)
    return census


def _kind(data: bytes) -> str:
    for pattern, kind in ((_HTTP, "HTTP"), (_TLS, "TLS"), (_SIP, "SIP")):
        if pattern.match(data):
            return kind
    return "something else"
