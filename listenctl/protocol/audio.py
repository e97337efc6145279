"""
Audio on the wire: signed 16-bit little-endian samples, stereo interleaved L, R (listenctl-protocol(7) 3.1).

A *sample* is one value of one channel and counts are per channel; a *sample frame* is one sample of every channel.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

SAMPLE_BYTES = 2
MIN_RATE = 1000
"""Lowest rate of clips and streams; at 1 Hz, a few bytes would last, and take memory, for hours."""
MAX_RATE = 384_000
"""Highest sample rate that is accepted anywhere."""


class MixType(StrEnum):
    """What of a call is sent: one side, both sides as two channels, or both in one channel."""

    MONO = "mono"
    STEREO = "stereo"
    MIXED = "mixed"


MIX_CHANNELS: dict[str, int] = {MixType.MONO: 1, MixType.MIXED: 1, MixType.STEREO: 2}


@dataclass(frozen=True, slots=True)
class AudioFormat:
    sample_rate: int
    channels: int

    @property
    def frame_bytes(self) -> int:
        return SAMPLE_BYTES * self.channels

    @property
    def byte_rate(self) -> int:
        return self.sample_rate * self.frame_bytes

    def samples_in(self, data_bytes: int) -> int:
        return data_bytes // self.frame_bytes

    def duration_of(self, samples: int) -> float:
        return samples / self.sample_rate


class SampleAssembler:
    """Cut bytes into whole sample frames; the rest waits, so that channels never swap (listenctl-protocol(7) 3.3)."""

    __slots__ = ("frame_bytes", "rest")

    def __init__(self, frame_bytes: int) -> None:
        self.frame_bytes = frame_bytes
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        if not self.rest and not len(data) % self.frame_bytes:
            return data
        data = self.rest + data
        whole = len(data) - len(data) % self.frame_bytes
        self.rest = data[whole:]
        return data[:whole]


def unpack_samples(samples: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(samples) // 2}h", samples)


def add_wrapping(samples: bytes, others: bytes) -> bytes:
    """Add samples as the media server does, with 16-bit wrap-around (listenctl-protocol(7) 6.2)."""
    added = [(one + other) & 0xFFFF for one, other in zip(unpack_samples(samples), unpack_samples(others), strict=True)]
    return struct.pack(f"<{len(added)}H", *added)


class Resampler(Protocol):
    def __call__(self, samples: bytes, *, last: bool = False) -> bytes:
        """Return the output that is ready after ``samples``, or all that is left if ``samples`` are the last."""


ResamplerFactory = Callable[[int, int], Resampler]
"""Return a resampler from one rate to another."""
