"""
The captures in ``tests/data/captures``: what both sides sent, and the audio that has to come out of it.

A minimal reader that trusts these files: classic little-endian pcap, Ethernet, IPv4, one connection, and every segment
there once and in order, which it checks.
"""

import asyncio
import contextlib
import gzip
import random
import ssl
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

FOLDER = Path(__file__).parent.parent / "data" / "captures"
CAPTURES = sorted(path.name.removesuffix(".pcap.gz") for path in FOLDER.glob("*.pcap.gz"))

_SYN = 0x02


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment with its Unix time."""

    time: float
    ports: tuple[int, int]
    sequence: int
    flags: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class ReceivedAudio:
    """All audio that the client of a capture sent: ``data`` is 16-bit little-endian, interleaved."""

    sample_rate: int
    channels: int
    data: bytes


def client_stream(name: str) -> list[tuple[float, bytes]]:
    """Return the segments of the client, handshake included, with their times in seconds since the SYN."""
    return _stream(name, by_client=True)


def server_stream(name: str) -> list[tuple[float, bytes]]:
    """Return the segments of the server in the same way."""
    return _stream(name, by_client=False)


def client_bytes(name: str) -> bytes:
    return b"".join(payload for _, payload in client_stream(name))


def received_audio(name: str) -> ReceivedAudio:
    samples, sample_rate = soundfile.read(FOLDER / f"{name}.received.flac", dtype="int16", always_2d=True)
    return ReceivedAudio(sample_rate, samples.shape[1], samples.astype("<i2").tobytes())


def _stream(name: str, *, by_client: bool) -> list[tuple[float, bytes]]:
    segments = list(_segments(gzip.decompress((FOLDER / f"{name}.pcap.gz").read_bytes())))
    ports = segments[0].ports if by_client else segments[0].ports[::-1]
    syn, *own = [segment for segment in segments if segment.ports == ports]
    assert syn.flags & _SYN, f"{name}: the first packet is no SYN"

    stream = []
    expected = syn.sequence + 1
    for segment in own:
        if not segment.payload:
            continue
        assert segment.sequence == expected % (1 << 32), f"{name}: a segment is missing or out of order"
        expected += len(segment.payload)
        stream.append((segment.time - segments[0].time, segment.payload))
    return stream


def _segments(pcap: bytes) -> Iterator[Segment]:
    at = 24
    while at < len(pcap):
        seconds, microseconds, size = struct.unpack_from("<III", pcap, at)
        yield _segment(seconds + microseconds / 1e6, pcap[at + 16 : at + 16 + size])
        at += 16 + size


def _segment(time: float, packet: bytes) -> Segment:
    ip = packet[14:]
    (total_length,) = struct.unpack_from("!H", ip, 2)
    tcp = ip[(ip[0] & 0x0F) * 4 : total_length]
    source, destination, sequence, _, offset, flags = struct.unpack_from("!HHIIBB", tcp)
    return Segment(time, (source, destination), sequence, flags, tcp[(offset >> 4) * 4 :])


Cut = Callable[[bytes], Iterator[bytes]]

END_OF_HEAD = b"\r\n\r\n"
PIECES = (1, 2, 7, 125, 1043, 16_384, 65_536)


async def replay(host: str, port: int, stream: bytes, *, cut: Cut, tls: ssl.SSLContext | None = None) -> bytes:
    """
    Send ``stream``, handshake request first, and return everything that the server sent until it closed.

    What follows the request goes out once the server has answered it with 101, and not at all after another answer.
    """
    head = stream.index(END_OF_HEAD) + len(END_OF_HEAD)
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        await _send(writer, cut(stream[:head]))
        answer = await _read_head(reader)
        if not answer.startswith(b"HTTP/1.1 101 "):
            return answer + await _read_to_end(reader)

        async with asyncio.TaskGroup() as group:
            # Reads meanwhile, so that a server that answers at length never waits for us.
            rest = group.create_task(_read_to_end(reader))
            await _send(writer, cut(stream[head:]))
        return answer + rest.result()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def whole(stream: bytes) -> Iterator[bytes]:
    """Cut nothing: one write for all."""
    yield stream


def odd_pieces(seed: int) -> Cut:
    """Return a cut into pieces of ``PIECES`` bytes in an order that ``seed`` decides."""

    def cut(stream: bytes) -> Iterator[bytes]:
        chance = random.Random(seed)
        at = 0
        while at < len(stream):
            size = chance.choice(PIECES)
            yield stream[at : at + size]
            at += size

    return cut


async def _send(writer: asyncio.StreamWriter, pieces: Iterator[bytes]) -> None:
    # A server that gave up has said why in what it sent; that is what the caller gets.
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            # Let a server in the same event loop read, or it would get all pieces as one.
            await asyncio.sleep(0)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(END_OF_HEAD)
    except asyncio.IncompleteReadError as exc:
        return exc.partial


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            received += data
    return bytes(received)
