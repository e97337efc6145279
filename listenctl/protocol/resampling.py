"""
Audio from one sample rate to another, as far as playout needs it.

Whoever has a better resampler gives that; the one here keeps the protocol free of libraries.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Protocol


class Resampler(Protocol):
    """Convert one stream of 16-bit samples, piece by piece; what isn't ready comes with a later piece."""

    def __call__(self, samples: bytes, *, last: bool = False) -> bytes:
        """Return what is ready after ``samples``; all that is left, if they are the last."""


ResamplerFactory = Callable[[int, int], Resampler]
"""Make a resampler from one rate to another."""


class LinearResampler:
    """Interpolate between neighbours: good enough for tests and levels, not for music."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._from_rate = from_rate
        self._to_rate = to_rate
        self._kept: Sequence[int] = ()
        # Where the next sample is taken, in units of 1/to_rate of an input sample after the first kept one.
        self._at = 0

    def __call__(self, samples: bytes, *, last: bool = False) -> bytes:
        """Return what lies between the samples so far; after the last one, it goes on for one more."""
        source = [*self._kept, *unpack(samples)]
        if last and source:
            source.append(source[-1])
        converted = []
        index, phase = divmod(self._at, self._to_rate)
        while index + 1 < len(source):
            here = source[index]
            converted.append(here + (source[index + 1] - here) * phase // self._to_rate)
            self._at += self._from_rate
            index, phase = divmod(self._at, self._to_rate)
        done = min(index, len(source))
        self._kept = source[done:]
        self._at -= done * self._to_rate
        return pack(converted)


def unpack(samples: bytes) -> tuple[int, ...]:
    """Return the numbers of little-endian 16-bit samples."""
    return struct.unpack(f"<{len(samples) // 2}h", samples)


def pack(numbers: Sequence[int]) -> bytes:
    """Return numbers as little-endian 16-bit samples."""
    return struct.pack(f"<{len(numbers)}h", *numbers)


def add_wrapping(samples: bytes, others: bytes) -> bytes:
    """Add samples as the media server does: what leaves 16 bits comes in at the other end (protocol.md 6.2)."""
    added = [(one + other) & 0xFFFF for one, other in zip(unpack(samples), unpack(others), strict=True)]
    return struct.pack(f"<{len(added)}H", *added)
