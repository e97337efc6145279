"""
Two TCP streams as bytes, for what reads above TCP: a byte for side and kind, two for a length, then so many bytes.

Any bytes are two streams, so that a harness can make what no packet reader would give.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.packets.tcp_events import (
    MissingCause,
    StreamEnding,
    TcpConnection,
    TcpData,
    TcpEndpoint,
    TcpEvent,
    TcpGap,
    TcpStream,
    TcpStreamEnded,
)
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.websocket.websocket_sessions import WebSocketSessionReader
from tests.fuzz.found import Found, by_side, frames
from tests.fuzz.reader import Seed

HEADER = 3
_SIDE, _HOLE, _UNKNOWN, _END, _MIDWAY = 1, 2, 4, 8, 16


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that happens on a stream, and how many bytes of the input say so."""

    size: int
    event: TcpEvent


def seed_of(pieces: Iterable[tuple[int, bytes]]) -> Seed:
    """Return what both sides say as an input, its end included."""
    data, places = bytearray(), []
    for side, piece in pieces:
        places += [len(data), len(data) + 1, len(data) + HEADER, len(data) + HEADER + 1, len(data) + HEADER + 2]
        data += bytes([side]) + len(piece).to_bytes(2, "little") + piece
    return Seed(bytes(data + bytes([_END, 0, 0, _END | _SIDE, 0, 0])), places)


def happened(data: bytes) -> Iterator[Said]:
    """Yield what an input says."""
    connection = TcpConnection(0, 0.0, 1)
    ends = TcpEndpoint("10.0.0.1", 40_000), TcpEndpoint("10.0.0.2", 8080)
    connection.streams = TcpStream(connection, *ends), TcpStream(connection, *ends[::-1])
    connection.has_handshake = not (data and data[0] & _MIDWAY)
    connection.client = connection.streams[0] if connection.has_handshake else None
    at, packet = 0, 0
    while at + HEADER <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + HEADER], "little")
        packet, at = packet + 1, at + HEADER
        stream, time = connection.streams[kind & _SIDE], packet * 0.02
        if kind & _END:
            yield Said(at, TcpStreamEnded(time, stream, StreamEnding.FIN))
        elif kind & _HOLE:
            yield Said(
                at, TcpGap(time, stream, None if kind & _UNKNOWN else size, 0, packet, MissingCause.NOT_CAPTURED)
            )
        elif piece := data[at : at + size]:
            at += len(piece)
            yield Said(at, TcpData(time, stream, piece, packet))


def known_in(data: bytes, keylog: KeyLog) -> list[tuple[int, Found]]:
    """Return the frames in an input, and how much of it each takes."""
    reader = WebSocketSessionReader("fuzz", keylog, count(1))
    return [(said.size, one) for said in happened(data) for one in frames(reader.read_events([said.event]))]


def found_in(data: bytes, keylog: KeyLog) -> list[Found]:
    """Return the frames in an input; with audio in runs they have to be the same."""
    one_by_one = list(frames(_read(data, keylog, runs=False)))
    in_runs = frames(_read(data, keylog, runs=True))
    assert by_side(in_runs) == by_side(one_by_one)
    return one_by_one


def _read(data: bytes, keylog: KeyLog, *, runs: bool) -> list[CaptureEvent]:
    reader = WebSocketSessionReader("fuzz", keylog, count(1), runs=runs)
    return reader.read_events([said.event for said in happened(data)]) + reader.end_capture()
