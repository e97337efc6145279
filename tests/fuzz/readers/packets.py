"""pcap and pcapng up to sessions, in any chunks: everything before the damage is found."""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import count

from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.packets.packet_batches import PacketBatch, PacketFileItem
from listenctl.capture.packets.read_pcap import MAGICS, read_pcap
from listenctl.capture.packets.read_pcapng import read_pcapng
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.websocket.websocket_sessions import read_websocket_sessions
from tests.fuzz.found import Found, Growing, frames
from tests.fuzz.reader import Reader, Seed, expect
from tests.fuzz.seeds import packet_seeds

STEP = 64


def check(data: bytes) -> None:
    events = list(_events(iter([data])))
    expect(list(frames(events)), data, _known())
    assert _packets(_read(iter([data]))) == _packets(_read(iter(Growing(data, 1000))))


def _read(chunks: Iterator[bytes]) -> Iterator[PacketFileItem]:
    first = next(chunks, b"")
    read = read_pcap if first[:4] in MAGICS else read_pcapng
    return read(_again(first, chunks))


def _again(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks


def _events(chunks: Iterator[bytes]) -> Iterator[CaptureEvent]:
    for events in read_websocket_sessions(_read(chunks), "fuzz.pcap", KeyLog(), count(1)):
        yield from events


@cache
def _known() -> list[tuple[Seed, list[tuple[int, Found]]]]:
    known = []
    for seed in packet_seeds():
        growing = Growing(seed.data, STEP)
        known.append((seed, [(growing.given, one) for one in frames(_events(iter(growing)))]))
    return known


def _packets(read: Iterable[PacketFileItem]) -> list[tuple[float, bytes, int]]:
    return [
        (at, batch.block[start : start + captured], original)
        for batch in read
        if isinstance(batch, PacketBatch)
        for at, start, captured, original in batch.records
    ]


READER = Reader("packets", packet_seeds, check)
