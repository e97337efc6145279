"""
Measure delay, loss, order and gain of an echo by the blocks of ``echo_pattern`` found in it.

Both directions must be linear PCM. A block counts if it is whole: its Barker code, the CRC of its number, and at most a
quarter of its power that isn't the pattern, which allows for resampling. Once a block has arrived exactly as sent, one
wrong sample loses a block. So a gap of any length costs the blocks that it touches (a missing first or last sample can
be replaced by an equal neighbour), and a wrong number passes for right about once in 100 million gaps.

Echoes are found at any offset, in any chunks, up to 12 dB louder or 20 dB quieter, inverted, or resampled. Two
overlapping echoes are not found, nor one that clips, passed a lossy codec, or has its bytes swapped.
"""

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING

from listenctl.load.echo_pattern import (
    BLOCK,
    CHIPS,
    LEVEL,
    PERIOD,
    SYNC,
    block,
    block_samples,
    chip_grid,
    number_of,
    sync_wave,
)
from listenctl.percentiles import Histogram, Summary, summarize
from listenctl.protocol.audio import SAMPLE_BYTES

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

# Shares of foreign power: resampling by soxr leaves up to 0.19 (tested: 8, 11.025, 16, 44.1, 48 and 64 kHz), rounding
# at -20 dB a millionth, and one wrong sample 4 divided by the length of a block.
_RESAMPLED = 0.25
_EXACT = 0.001
# Swapping the bytes of 3000 and -3000 keeps the pattern, inverted and 15.8 dB louder. To a caller that is noise, so a
# much louder pattern is not an echo.
_LOUDEST = 4.0
_SYNC_SCORE = 0.85


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A block in an echo; ``gain`` is a factor, negative if inverted, and its last sample arrived at ``at``."""

    number: int
    at: float
    gain: float


class EchoReader:
    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._data = b""
        self._dropped = 0
        self._ends: list[int] = []
        self._times: list[float] = []
        self._expected = 0
        self._expected_bytes = block(0, sample_rate)
        self._aligned = False
        self._tolerance = _RESAMPLED
        self._lengths = sorted({block_samples(number, sample_rate) for number in range(50)})

    def read_blocks(self, data: bytes, at: float) -> list[FoundBlock]:
        self._data += data
        self._ends.append(self._dropped + len(self._data))
        self._times.append(at)
        found: list[FoundBlock] = []
        while len(self._data) >= self._lengths[-1] * SAMPLE_BYTES:
            one = self._next()
            if one is None:
                break
            found.append(one)
        return found

    def _next(self) -> FoundBlock | None:
        # Most echoes are unchanged, and comparing bytes costs a hundredth of reading chips.
        if self._data.startswith(self._expected_bytes):
            self._tolerance = 2 * SAMPLE_BYTES / len(self._expected_bytes)
            return self._take(0, self._expected, len(self._expected_bytes), 1.0)
        import numpy as np

        samples = np.frombuffer(self._data, "<i2", count=len(self._data) // SAMPLE_BYTES).astype(np.float32)
        length = len(self._expected_bytes) // SAMPLE_BYTES
        # Chips can also be read a sample or two off, with less gain; only the Barker code shows where a block starts.
        if self._aligned and (found := self._read(samples, 0, length)):
            return found
        for length in self._lengths:
            for start in _candidates(samples, length, self._lengths[-1]):
                if found := self._read(samples, start, length):
                    return found
        self._drop((len(samples) - self._lengths[-1] + 1) * SAMPLE_BYTES)
        self._aligned = False
        return None

    def _read(self, samples: "NDArray[float32]", start: int, length: int) -> FoundBlock | None:
        read = _read(samples, start, length)
        if read is None:
            return None
        number, gain, foreign = read
        if foreign > self._tolerance or abs(gain) > _LOUDEST:
            return None
        if foreign < _EXACT:
            self._tolerance = 2 / length
        return self._take(start * SAMPLE_BYTES, number, length * SAMPLE_BYTES, gain)

    def _take(self, start: int, number: int, length: int, gain: float) -> FoundBlock:
        end = self._dropped + start + length
        found = FoundBlock(number, self._times[bisect_left(self._ends, end)], gain)
        self._drop(start + length)
        self._aligned = True
        self._expected = (number + 1) % PERIOD
        self._expected_bytes = block(self._expected, self._sample_rate)
        return found

    def _drop(self, size: int) -> None:
        self._data = self._data[size:]
        self._dropped += size
        old = bisect_left(self._ends, self._dropped + 1)
        del self._ends[:old], self._times[:old]


def _candidates(samples: "NDArray[float32]", length: int, longest: int) -> list[int]:
    """Return the positions of the Barker code that leave room for a block, in order."""
    import numpy as np

    wave = sync_wave(length)
    reach = len(samples) - longest + len(wave)
    heard = samples[:reach]
    power = np.convolve(heard * heard, np.ones(len(wave), np.float32), "valid")
    match = np.abs(np.correlate(heard, wave, "valid")) / np.sqrt(np.maximum(power, 1) * len(wave))
    chip = length // CHIPS
    starts: list[int] = []
    for start in np.flatnonzero(match > _SYNC_SCORE):
        if not starts or start > starts[-1] + chip:
            starts.append(int(start + np.argmax(match[start : start + chip])))
    return starts


def _read(samples: "NDArray[float32]", start: int, length: int) -> tuple[int, float, float] | None:
    """Return number and gain of the block at ``start``, and the share of its power that isn't the pattern."""
    import numpy as np

    grid = chip_grid(length)
    heard = samples[start : start + length]
    values = heard[grid.centres]
    sign = 1 if values[0] > 0 else -1
    chips = values * sign > 0
    if len(heard) < length or chips[: len(SYNC)].tolist() != _SYNC_BITS:
        return None
    number = number_of(int("".join("01"[bit] for bit in chips[len(SYNC) :].tolist()), 2))
    if number is None:
        return None
    wave = np.where(chips, sign, -sign).astype(np.float32)[grid.chips]
    level = float(heard @ wave) / length
    power = float(heard @ heard) / length
    return number, sign * level / LEVEL, 1 - level * level / power


_SYNC_BITS = [chip > 0 for chip in SYNC]


@dataclass(frozen=True, slots=True)
class EchoResult:
    """The echo of a call, in blocks of 20 ms."""

    sent: int
    lost: int  # sent and not echoed, ``missed_at_start`` of them before the first that was
    missed_at_start: int
    out_of_order: int  # echoed after a block that was sent later
    repeated: int  # echoed again
    inverted: int
    delay: Summary | None  # seconds from when a block was due to leave until all of it was back
    gain: Summary | None


class EchoCheck:
    """Compare an echo at ``sample_rate`` with what was sent: block n of the pattern at n * 20 ms after ``start``."""

    def __init__(self, sample_rate: int, start: float) -> None:
        self._reader = EchoReader(sample_rate)
        self._start = start
        self._seen: set[int] = set()
        self._first = self._last = -1
        self._out_of_order = self._repeated = self._inverted = 0
        self.delays = Histogram()
        self.gains = array("f")

    @property
    def echoed_blocks(self) -> int:
        return len(self._seen)

    def take_audio(self, data: bytes, at: float) -> None:
        for found in self._reader.read_blocks(data, at):
            self._count(found)

    def result(self, sent: int) -> EchoResult:
        return EchoResult(
            sent=sent,
            lost=sent - len(self._seen),
            missed_at_start=sent if self._first < 0 else min(self._seen),
            out_of_order=self._out_of_order,
            repeated=self._repeated,
            inverted=self._inverted,
            delay=self.delays.summary(),
            gain=summarize(self.gains),
        )

    def _count(self, found: FoundBlock) -> None:
        # Numbers repeat: this is the latest block with this number that can have been sent by then.
        latest = int((found.at - self._start) / BLOCK + 1)
        index = latest - (latest - found.number) % PERIOD
        if index < 0 or index in self._seen:
            self._repeated += 1
            return
        self._out_of_order += index < self._last
        self._inverted += found.gain < 0
        self._first = index if self._first < 0 else self._first
        self._last = max(self._last, index)
        self._seen.add(index)
        self.delays.add_value(max(0.0, found.at - self._start - index * BLOCK))
        self.gains.append(20 * log10(abs(found.gain)))
