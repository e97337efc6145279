"""Compare streamed audio by amount, content and time, whatever the messages it arrived in; only digests are kept."""

from array import array
from collections.abc import Iterator
from hashlib import blake2b
from itertools import starmap
from operator import ne

from listenctl.replay.compare_texts import AnswerDifference, AnswerTiming

BLOCK = 640
"""Bytes per digest: 40 ms at 8 kHz."""
_DIGEST = 8


class StreamedAudio:
    def __init__(self) -> None:
        self.bytes = 0
        self.rest = b""
        self.times = array("d")
        self._digests = bytearray()

    def add_audio(self, at: float, data: bytes) -> None:
        self.bytes += len(data)
        data = self.rest + data
        whole = len(data) - len(data) % BLOCK
        for start in range(0, whole, BLOCK):
            self._digests += blake2b(data[start : start + BLOCK], digest_size=_DIGEST).digest()
            self.times.append(at)
        self.rest = data[whole:]

    def blocks(self) -> list[bytes]:
        digests = bytes(self._digests)
        return [digests[at : at + _DIGEST] for at in range(0, len(digests), _DIGEST)]


def compare_audio(captured: StreamedAudio, live: StreamedAudio, timing: AnswerTiming) -> Iterator[AnswerDifference]:
    if captured.bytes != live.bytes:
        less = live.bytes < captured.bytes
        amount = f"{live.bytes} bytes instead of {captured.bytes}"
        yield AnswerDifference("missing" if less else "extra", "audio", amount)
    yield from _content(captured, live)
    yield from _lateness(captured, live, timing)


def _content(captured: StreamedAudio, live: StreamedAudio) -> Iterator[AnswerDifference]:
    pairs = zip(captured.blocks(), live.blocks(), strict=False)
    differing = [index for index, differs in enumerate(starmap(ne, pairs)) if differs]
    if differing:
        index = differing[0]
        common = min(len(captured.times), len(live.times))
        detail = f"differs from byte {index * BLOCK} on, in {len(differing)} of {common} blocks of {BLOCK} bytes"
        yield AnswerDifference("different", "audio", detail, captured.times[index], live.times[index])
    elif len(captured.times) == len(live.times):
        common = min(len(captured.rest), len(live.rest))
        if captured.rest[:common] != live.rest[:common]:
            yield AnswerDifference("different", "audio", f"differs in its last {common} bytes")


def _lateness(captured: StreamedAudio, live: StreamedAudio, timing: AnswerTiming) -> Iterator[AnswerDifference]:
    times = list(zip(captured.times, live.times, strict=False))
    late = [(lateness, index) for index, pair in enumerate(times) if (lateness := timing.lateness(*pair))]
    if late:
        most, first = max(late)[0], late[0][1]
        detail = f"up to {most * 1000:.0f} ms later, {len(late)} of {len(times)} blocks of {BLOCK} bytes"
        yield AnswerDifference("later", "audio", detail, *times[first])
