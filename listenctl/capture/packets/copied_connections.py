"""
Recognize connections that are captured again with other addresses: before and after NAT, as with `tcpdump -i any` on a
host with containers. NAT keeps the sequence numbers and the data, and every WebSocket request has a random key.
"""

from collections import OrderedDict

from listenctl.capture.packets.ip_packets import TcpSegment
from listenctl.capture.packets.tcp_reassembly import TcpReassembly

MAX_DELAY = 2.0
"""Seconds between a packet and its copy."""
MAX_REMEMBERED = 10_000
LEAST_NUMBER = 1 << 20
"""Hosts choose sequence numbers at random; lower ones mean a made-up capture, whose connections look alike."""
_PORTS = 4

_Contents = tuple[int, int, bytes]


class CopiedConnections:
    def __init__(self) -> None:
        self._first: OrderedDict[_Contents, tuple[float, bytes, TcpReassembly]] = OrderedDict()

    def find_original(self, flow: TcpReassembly, segment: TcpSegment) -> TcpReassembly | None:
        """Return the direction whose first data a segment, the first data of ``flow``, repeats; None if it is new."""
        if min(segment.sequence, segment.ack) < LEAST_NUMBER:
            return None
        contents = segment.sequence, segment.ack, segment.data
        if contents in self._first:
            at, key, original = self._first[contents]
            if abs(segment.at - at) <= MAX_DELAY and _may_be_translated(key, segment.key, flow):
                return original
        self._first[contents] = segment.at, segment.key, flow
        self._drop_old(segment.at)
        return None

    def _drop_old(self, now: float) -> None:
        while len(self._first) > MAX_REMEMBERED or now - next(iter(self._first.values()))[0] > MAX_DELAY:
            self._first.popitem(last=False)


def _may_be_translated(key: bytes, other: bytes, flow: TcpReassembly) -> bool:
    """Return whether NAT explains the difference: between the same hosts, it only changes the port of the server."""
    if key == other:
        return False
    if key[:-_PORTS] != other[:-_PORTS]:
        return True
    client = flow.stream.connection.client
    ports = slice(-_PORTS, -2) if client is flow.stream else slice(-2, None)
    return client is not None and key[ports] == other[ports]
