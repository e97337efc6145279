"""
The audio of echo measurements: numbered blocks of 20 ms that can be recognised in an echo.

A block is 40 chips of 0.5 ms, each a constant level above or below zero: a 13-chip Barker code, whose autocorrelation
has one sharp peak, 13 bits of block number, most significant first, and a 14-bit CRC of the number. At 8 kHz a chip is
a whole number of samples; at other rates it gets its share of them, so that the pattern survives resampling. Numbers
repeat after 8192 blocks (164 s).

The level is 3000: 12 dB more doesn't clip, and 20 dB less is still far above rounding. No sample is -1, which jambonz
mistakes for a mark (listenctl-protocol(7) 6.4).
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float32, intp
    from numpy.typing import NDArray

BLOCK = 0.02
PERIOD = 8192
LEVEL = 3000

SYNC = (1, 1, 1, 1, 1, -1, -1, 1, 1, -1, 1, -1, 1)
CHIPS = 40
NUMBER_BITS = 13
CRC_BITS = 14
# x^14 + x^13 + x^5 + x^3 + x^2 + 1: any two of the 8192 numbers with their CRC differ in at least six bits (tested).
_POLYNOMIAL = 0x202D


def block_start(number: int, sample_rate: int) -> int:
    """Return the first sample of a block; lengths alternate if 20 ms isn't a whole number of samples."""
    return number * sample_rate // 50


def block_samples(number: int, sample_rate: int) -> int:
    return block_start(number + 1, sample_rate) - block_start(number, sample_rate)


# Every call sends and expects the same blocks; making one costs more than all other work on it.
@lru_cache(maxsize=2 * PERIOD)
def block(number: int, sample_rate: int) -> bytes:
    chips = _chips(number % PERIOD)
    positions = _chip_of_sample(block_samples(number, sample_rate))
    levels = (LEVEL.to_bytes(2, "little"), (-LEVEL).to_bytes(2, "little", signed=True))
    return b"".join(levels[chips[position] < 0] for position in positions)


def number_of(chips: int) -> int | None:
    """Return the block number in the 27 bits after the Barker code; None if the CRC is wrong."""
    number, crc = chips >> CRC_BITS, chips & ((1 << CRC_BITS) - 1)
    return number if _crc(number) == crc else None


@dataclass(frozen=True, slots=True)
class ChipGrid:
    """The positions of the chips in a block of one length."""

    samples: int
    centres: "NDArray[intp]"  # the middle sample of each chip
    chips: "NDArray[intp]"


@cache
def chip_grid(samples: int) -> ChipGrid:
    import numpy as np

    chips = np.array(_chip_of_sample(samples), np.intp)
    centres = np.array([int((chip + 0.5) * samples / CHIPS) for chip in range(CHIPS)], np.intp)
    return ChipGrid(samples, centres, chips)


@cache
def sync_wave(samples: int) -> "NDArray[float32]":
    """Return the Barker code at level 1, as at the start of a block of ``samples`` samples."""
    import numpy as np

    chips = chip_grid(samples).chips
    return np.array(SYNC, np.float32)[chips[chips < len(SYNC)]]


def _chips(number: int) -> tuple[int, ...]:
    bits = number << CRC_BITS | _crc(number)
    data = (1 if bits >> shift & 1 else -1 for shift in range(NUMBER_BITS + CRC_BITS - 1, -1, -1))
    return (*SYNC, *data)


@cache
def _chip_of_sample(samples: int) -> tuple[int, ...]:
    return tuple(sample * CHIPS // samples for sample in range(samples))


def _crc(number: int) -> int:
    """Return the CRC; its register starts with ones, so that block 0 isn't 27 equal chips."""
    register = (1 << CRC_BITS) - 1
    for shift in range(NUMBER_BITS - 1, -1, -1):
        top = register >> (CRC_BITS - 1) ^ number >> shift & 1
        register = register << 1 & ((1 << CRC_BITS) - 1)
        if top & 1:
            register ^= _POLYNOMIAL
    return register
