"""HAR files: the messages before the damage are found, also in an incomplete entry."""

import json
from functools import cache
from itertools import count

from listenctl.capture.compressed_files import OpenedCapture
from listenctl.capture.formats.read_har import read_har
from tests.fuzz.found import Found, frames
from tests.fuzz.reader import Reader, Seed, expect
from tests.fuzz.seeds import CALLS, har_seed

_MESSAGES = b'"_webSocketMessages"'


def check(data: bytes) -> None:
    found = _read(data)
    # If a member is repeated, the last one counts.
    if data.count(_MESSAGES) < 2:
        expect(found, data, _known())


def _read(data: bytes) -> list[Found]:
    return list(frames(read_har(OpenedCapture("fuzz.har", data[:64], iter([data])), count(1))))


@cache
def _seeds() -> list[Seed]:
    return [har_seed(name) for name in CALLS]


@cache
def _known() -> list[tuple[Seed, list[tuple[int, Found]]]]:
    known = []
    for seed in _seeds():
        messages = json.loads(seed.data)["log"]["entries"][1]["_webSocketMessages"]
        ends, at = [], 0
        for message in messages:
            written = json.dumps(message).encode()
            at = seed.data.index(written, at) + len(written)
            ends.append(at)
        known.append((seed, list(zip(ends, _read(seed.data), strict=True))))
    return known


READER = Reader("har", _seeds, check)
