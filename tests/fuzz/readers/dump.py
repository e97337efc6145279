"""Dumps in any chunks: everything before the damage is found."""

from collections.abc import Iterator
from functools import cache
from itertools import count

from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.compressed_files import OpenedCapture
from listenctl.capture.formats.dump_sessions import read_dump_sessions
from tests.fuzz.found import Found, Growing, frames
from tests.fuzz.reader import Reader, Seed, expect
from tests.fuzz.seeds import CALLS, commands_seed, dump_seed


def check(data: bytes) -> None:
    found = list(frames(_events(iter([data]))))
    expect(found, data, _known())
    assert list(frames(_events(iter(Growing(data, 1000))))) == found


def _events(chunks: Iterator[bytes]) -> Iterator[CaptureEvent]:
    return read_dump_sessions(OpenedCapture("fuzz.jsonl", b"", chunks), count(1))


@cache
def _seeds() -> list[Seed]:
    return [commands_seed(), *map(dump_seed, CALLS)]


@cache
def _known() -> list[tuple[Seed, list[tuple[int, Found]]]]:
    known = []
    for seed in _seeds():
        ends = [at + 1 for at, byte in enumerate(seed.data) if byte == ord("\n")]
        found = frames(_events(iter([seed.data])))
        known.append((seed, list(zip(ends[1:], found, strict=False))))
    return known


READER = Reader("dump", _seeds, check)
