"""
Reading the blocks of ``echo_pattern`` back out of what a server echoes: delay, loss, order and gain.

For linear PCM both ways. A block counts when it is whole: its Barker code, the CRC of its number, and no more than a
quarter of its power that isn't the pattern, which is what resampling leaves; once a block came exactly as it was sent,
one wrong sample is enough to lose one. So a gap of any length costs the blocks that it touches (a first or last sample
can be stood in for by an equal one beside it), and a wrong number is taken for right about once in 100 million cuts.
Found are echoes at any offset, in any chunks, up to 12 dB louder or 20 dB softer, inverted, or resampled; not found are
two echoes on top of each other, or one that clips, went through a lossy codec, or has its bytes swapped.
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
    grid,
    number_of,
    sync_wave,
)
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.statistics import Histogram, Summary, summarize

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

# Resampling by soxr leaves up to 0.19 that isn't the pattern (tried: 8, 11.025, 16, 44.1, 48 and 64 kHz); rounding
# at -20 dB leaves a millionth, and one wrong sample 4 by the length of a block.
_RESAMPLED = 0.25
_EXACT = 0.001
# Swapping the bytes of 3000 and -3000 leaves the pattern all but whole, upside down and 15.8 dB louder: noise to a
# caller, so what is much louder than it was sent is no echo.
_LOUDEST = 4.0
_SYNC_SCORE = 0.85


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A block in an echo: its ``gain`` is a factor, negative when inverted; its last sample came at ``at``."""

    number: int
    at: float
    gain: float


class EchoReader:
    """Find the blocks in mono audio that arrives in any chunks."""

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

    def feed(self, data: bytes, at: float) -> list[FoundBlock]:
        """Return the blocks that are complete with ``data``, which arrived at ``at``."""
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
        """Take the next block off what has come, or what can't be one; None if there is no whole block in it."""
        # Most echoes are untouched, and comparing bytes costs a hundredth of reading chips.
        if self._data.startswith(self._expected_bytes):
            self._tolerance = 2 * SAMPLE_BYTES / len(self._expected_bytes)
            return self._take(0, self._expected, len(self._expected_bytes), 1.0)
        import numpy as np

        samples = np.frombuffer(self._data, "<i2", count=len(self._data) // SAMPLE_BYTES).astype(np.float32)
        length = len(self._expected_bytes) // SAMPLE_BYTES
        # Chips can be read from a sample or two off, with less gain; where blocks begin, only the Barker code tells.
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
        if read is None or read.foreign > self._tolerance or abs(read.gain) > _LOUDEST:
            return None
        if read.foreign < _EXACT:
            self._tolerance = 2 / length
        return self._take(start * SAMPLE_BYTES, read.number, length * SAMPLE_BYTES, read.gain)

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
    """Return where the Barker code stands, with room for a block behind it, in order."""
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


@dataclass(frozen=True, slots=True)
class _Reading:
    """A block as read; ``foreign`` is the share of its power that isn't the pattern."""

    number: int
    gain: float
    foreign: float


def _read(samples: "NDArray[float32]", start: int, length: int) -> _Reading | None:
    """Read the block that begins at ``start``, None if there is none."""
    import numpy as np

    lattice = grid(length)
    heard = samples[start : start + length]
    values = heard[lattice.centres]
    sign = 1 if values[0] > 0 else -1
    chips = values * sign > 0
    if len(heard) < length or chips[: len(SYNC)].tolist() != _SYNC_BITS:
        return None
    number = number_of(int("".join("01"[bit] for bit in chips[len(SYNC) :].tolist()), 2))
    if number is None:
        return None
    wave = np.where(chips, sign, -sign).astype(np.float32)[lattice.chips]
    level = float(heard @ wave) / length
    power = float(heard @ heard) / length
    return _Reading(number, sign * level / LEVEL, 1 - level * level / power)


_SYNC_BITS = [chip > 0 for chip in SYNC]


@dataclass(frozen=True, slots=True)
class EchoResult:
    """
    What came back of a call, in blocks of 20 ms.

    Attributes:
        lost: sent and never back, ``missed_at_start`` of them before the first that came back.
        out_of_order: back after one that was sent later.
        repeated: back again.
        inverted: back upside down.
        delay: seconds from when a block was due to leave until it was back whole.
        gain: dB.
    """

    sent: int
    lost: int
    missed_at_start: int
    out_of_order: int
    repeated: int
    inverted: int
    delay: Summary | None
    gain: Summary | None


class EchoCheck:
    """
    Compare what comes back with what was sent: block n of the pattern, 20 ms n after ``start``.

    Args:
        sample_rate: of the echo, which needn't be that of the call.
    """

    def __init__(self, sample_rate: int, start: float) -> None:
        self._reader = EchoReader(sample_rate)
        self._start = start
        self._seen: set[int] = set()
        self._first = self._last = -1
        self._out_of_order = self._repeated = self._inverted = 0
        self.delays = Histogram()
        self.gains = array("f")

    @property
    def seen(self) -> int:
        """How many blocks have come back."""
        return len(self._seen)

    def feed(self, data: bytes, at: float) -> None:
        """Take in what came back at ``at``."""
        for found in self._reader.feed(data, at):
            self._note(found)

    def result(self, sent: int) -> EchoResult:
        """Return what came back of the first ``sent`` blocks."""
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

    def _note(self, found: FoundBlock) -> None:
        # Numbers come again: it is the latest one that can have been sent by then.
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
