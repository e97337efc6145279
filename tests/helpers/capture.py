"""
The captures in ``tests/data/captures``: what both sides sent, and the audio that has to come out of it.

A minimal reader that trusts these files: classic little-endian pcap, Ethernet, IPv4, one connection, and every segment
there once and in order, which it checks.
"""

import gzip
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

FOLDER = Path(__file__).parent.parent / "data" / "captures"
CAPTURES = sorted(path.name.removesuffix(".pcap.gz") for path in FOLDER.glob("*.pcap.gz"))

_SYN = 0x02


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment with its time in seconds since the epoch."""

    time: float
    ports: tuple[int, int]
    sequence: int
    flags: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class ReceivedAudio:
    """Everything that the client of a capture said: ``data`` is 16-bit little-endian, interleaved."""

    sample_rate: int
    channels: int
    data: bytes


def client_stream(name: str) -> list[tuple[float, bytes]]:
    """Return what the client sent, handshake included: each segment with its time in seconds since the SYN."""
    return _stream(name, by_client=True)


def server_stream(name: str) -> list[tuple[float, bytes]]:
    """Return what the server sent, the answer to the handshake included, in the same way."""
    return _stream(name, by_client=False)


def client_bytes(name: str) -> bytes:
    """Return what the client sent, in one piece."""
    return b"".join(payload for _, payload in client_stream(name))


def received_audio(name: str) -> ReceivedAudio:
    """Return the audio that the capturing server received."""
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
