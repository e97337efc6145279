"""
Audio as it is on the wire: signed 16-bit little-endian samples, stereo interleaved L, R (protocol.md 3.1).

A *sample* is one value of one channel and counts are per channel; a *sample frame* is one sample of every channel.
"""

from dataclasses import dataclass

SAMPLE_BYTES = 2
MIX_CHANNELS = {"mono": 1, "mixed": 1, "stereo": 2}


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Sample rate in Hz and number of interleaved channels of 16-bit audio."""

    sample_rate: int
    channels: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample frame: one sample of every channel."""
        return SAMPLE_BYTES * self.channels

    @property
    def byte_rate(self) -> int:
        """Bytes per second."""
        return self.sample_rate * self.frame_bytes

    def samples(self, data_bytes: int) -> int:
        """Whole samples per channel in ``data_bytes`` bytes."""
        return data_bytes // self.frame_bytes

    def duration(self, samples: int) -> float:
        """Seconds that ``samples`` samples per channel last."""
        return samples / self.sample_rate


class SampleAssembler:
    """
    Cut incoming bytes into whole sample frames.

    A binary message can end in the middle of a sample, and after a loss it is no multiple of a frame (protocol.md 3.3);
    what is over waits for the next message, so that the channels never swap.
    """

    __slots__ = ("_rest", "frame_bytes")

    def __init__(self, frame_bytes: int) -> None:
        self.frame_bytes = frame_bytes
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """Bytes of the sample frame that isn't complete yet."""
        return self._rest

    def feed(self, data: bytes) -> bytes:
        """Return the whole sample frames available after receiving ``data``."""
        if not self._rest and not len(data) % self.frame_bytes:
            return data
        data = self._rest + data
        whole = len(data) - len(data) % self.frame_bytes
        self._rest = data[whole:]
        return data[:whole]
