"""
Two TCP streams, as bytes or with TLS: HTTP, WebSocket and permessage-deflate on one connection.

An input is a sequence of events: a byte for the side and the kind, two for a length, then as many bytes. Any bytes are
two streams, so a harness can make what no packet reader would return.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
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
from tests.fuzz.reader import Reader, Seed, expect
from tests.fuzz.seeds import CALLS, key_log, pieces_of, tls12_pieces
from tests.helpers.frames import BINARY, CONTINUATION, HANDSHAKE, TEXT, close, frame, text

HEADER = 3
_SIDE, _GAP, _UNKNOWN, _END, _MIDWAY = 1, 2, 4, 8, 16
_DEFLATED = b"Sec-WebSocket-Extensions: permessage-deflate"
_REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nno!\n"
_ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"


@dataclass(frozen=True, slots=True)
class InputEvent:
    """One TCP event, and the bytes of the input up to it."""

    size: int
    event: TcpEvent


def seed_of(pieces: Iterable[tuple[int, bytes]]) -> Seed:
    """Return an input of data of both sides, and the ends of their streams."""
    data, places = bytearray(), []
    for side, piece in pieces:
        places += [len(data), len(data) + 1, len(data) + HEADER, len(data) + HEADER + 1, len(data) + HEADER + 2]
        data += bytes([side]) + len(piece).to_bytes(2, "little") + piece
    return Seed(bytes(data + bytes([_END, 0, 0, _END | _SIDE, 0, 0])), places)


def input_events(data: bytes) -> Iterator[InputEvent]:
    connection = TcpConnection(0, 0.0)
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
            yield InputEvent(at, TcpStreamEnded(time, stream, StreamEnding.FIN))
        elif kind & _GAP:
            yield InputEvent(at, TcpGap(time, stream, None if kind & _UNKNOWN else size, 0, MissingCause.NOT_CAPTURED))
        elif piece := data[at : at + size]:
            at += len(piece)
            yield InputEvent(at, TcpData(time, stream, piece, packet))


def known_in(data: bytes, keylog: KeyLog) -> list[tuple[int, Found]]:
    """Return the frames in an input, each with the number of bytes up to its end."""
    reader = WebSocketSessionReader("fuzz", keylog, count(1))
    return [(said.size, one) for said in input_events(data) for one in frames(reader.read_events([said.event]))]


def found_in(data: bytes, keylog: KeyLog) -> list[Found]:
    """Return the frames in an input, which have to be the same with joined audio."""
    one_by_one = list(frames(_read(data, keylog, join_audio=False)))
    joined = frames(_read(data, keylog, join_audio=True))
    assert by_side(joined) == by_side(one_by_one)
    return one_by_one


def _read(data: bytes, keylog: KeyLog, *, join_audio: bool) -> list[CaptureEvent]:
    reader = WebSocketSessionReader("fuzz", keylog, count(1), join_audio=join_audio)
    return reader.read_events([said.event for said in input_events(data)]) + reader.end_capture()


@cache
def _plain_seeds() -> list[Seed]:
    refused = [(0, HANDSHAKE), (1, _REFUSED), (0, HANDSHAKE), (1, _ANSWER + b"\r\n"), (0, text("{}")), (0, close())]
    return [*(seed_of(pieces_of(name)) for name in CALLS), _deflated(), seed_of(refused)]


def _deflated() -> Seed:
    """Return a call with permessage-deflate and a fragmented message."""
    texts = [b'{"callSid":"CS-A","sampleRate":8000,"mixType":"mono"}', b'{"event":"dtmf","dtmf":"1"}' * 9]
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    messages = [
        compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4] for data in [*texts, bytes(320), *texts]
    ]
    kinds = (TEXT, TEXT, BINARY, TEXT)
    said = [frame(kind, message, rsv=4) for kind, message in zip(kinds, messages, strict=False)]
    said += [frame(TEXT, messages[4][:5], fin=False, rsv=4), frame(CONTINUATION, messages[4][5:])]
    asked = HANDSHAKE[:-2] + _DEFLATED + b"\r\n\r\n"
    return seed_of([(0, asked), (1, _ANSWER + _DEFLATED + b"\r\n\r\n"), *((0, one) for one in said), (0, close())])


@cache
def _tls_seeds() -> list[Seed]:
    return [seed_of(pieces_of("d_wss_mono16k")), *map(seed_of, tls12_pieces())]


@cache
def _known_plain() -> list[tuple[Seed, list[tuple[int, Found]]]]:
    return [(seed, known_in(seed.data, KeyLog())) for seed in _plain_seeds()]


@cache
def _known_tls() -> list[tuple[Seed, list[tuple[int, Found]]]]:
    return [(seed, known_in(seed.data, key_log())) for seed in _tls_seeds()]


def _check_plain(data: bytes) -> None:
    expect(found_in(data, KeyLog()), data, _known_plain())


def _check_tls(data: bytes) -> None:
    expect(found_in(data, key_log()), data, _known_tls())


FRAMES = Reader("frames", _plain_seeds, _check_plain)
TLS = Reader("tls", _tls_seeds, _check_tls)
