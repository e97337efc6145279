"""Convert sample rates with soxr, as floats: its 16-bit output is dithered, which turns silence into noise."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from listenctl.protocol.audio import SAMPLE_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

Block = TypeVar("Block")

_FULL_SCALE = 32768
# The Speex filter at quality 2, which the media server uses: its length in samples of the lower rate, its pass band,
# its Kaiser window.
_FILTER_SAMPLES = 32
_PASS_BAND = 0.882
_KAISER_BETA = 6.0
# Samples that soxr's quickest quality needs beyond the one that it computes, and a few to spare.
_LOOK_AHEAD = 8


class StreamResampler:
    """Convert one stream piece by piece in full quality; output comes in blocks of up to about 100 ms."""

    def __init__(self, from_rate: int, to_rate: int, quality: str = "HQ") -> None:
        import soxr

        self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality=quality)

    def __call__(self, samples: bytes, *, last: bool = False) -> bytes:
        return to_pcm(self.floats(to_floats(samples), last=last))

    def floats(self, samples: "Floats", *, last: bool = False) -> "Floats":
        converted: Floats = self._stream.resample_chunk(samples, last=last)
        return converted


class PromptResampler:
    """
    Convert one stream without holding samples back, as the media server does (listenctl-protocol(7) 3.2).
    soxr's quickest quality holds back only a few samples, which silence at the beginning makes up for, and does not
    limit the bandwidth, which a filter does. As with Speex, the sound is delayed by about 2 ms.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        import numpy as np

        self._rates = from_rate, to_rate
        self._stream = StreamResampler(from_rate, to_rate, "QQ")
        self._filter = _LowPassFilter(min(self._rates) / max(self._rates))
        self._taken = self._given = 0
        self._ready = self._convert(np.zeros(_LOOK_AHEAD, np.float32))

    def __call__(self, samples: bytes, *, last: bool = False) -> bytes:
        import numpy as np

        if last and not self._taken:
            # A whole clip can be converted in full quality.
            return StreamResampler(*self._rates)(samples, last=True)
        floats = to_floats(samples)
        self._taken += len(floats)
        self._ready = np.concatenate((self._ready, self._convert(floats)))
        from_rate, to_rate = self._rates
        due = -(-self._taken * to_rate // from_rate) - self._given
        converted, self._ready = self._ready[:due], self._ready[due:]
        self._given += len(converted)
        return to_pcm(converted)

    def _convert(self, floats: "Floats") -> "Floats":
        from_rate, to_rate = self._rates
        if from_rate > to_rate:
            return self._stream.floats(self._filter(floats))
        return self._filter(self._stream.floats(floats))


def resample_blocks(
    blocks: Iterator[Block], from_rate: int, to_rate: int, channels: int, dtype: str = "float32"
) -> Iterator[Block]:
    """Convert blocks of sample frames, one row each, in full quality."""
    if from_rate == to_rate:
        yield from blocks
        return
    import numpy as np
    import soxr

    stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype=dtype)
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty((0, channels), dtype), last=True)


class _LowPassFilter:
    """A low-pass filter; ``width`` is its cut-off frequency relative to half the sample rate."""

    def __init__(self, width: float) -> None:
        import numpy as np

        length = round(_FILTER_SAMPLES / width)
        at = np.arange(length) - (length - 1) / 2
        taps = np.sinc(at * width * _PASS_BAND) * np.kaiser(length, _KAISER_BETA)
        self._taps = (taps / taps.sum()).astype(np.float32)
        self._before = np.zeros(length - 1, np.float32)

    def __call__(self, samples: "Floats") -> "Floats":
        import numpy as np

        if not len(samples):
            return samples
        joined = np.concatenate((self._before, samples))
        self._before = joined[len(samples) :]
        return np.convolve(joined, self._taps, "valid").astype(np.float32, copy=False)


def to_floats(pcm: bytes) -> "Floats":
    """Return 16-bit samples as floats of full scale 1; an odd byte at the end is ignored."""
    import numpy as np

    return np.frombuffer(pcm, "<i2", count=len(pcm) // SAMPLE_BYTES).astype(np.float32) / np.float32(_FULL_SCALE)


def to_pcm(samples: "Floats") -> bytes:
    import numpy as np

    return np.rint(samples * _FULL_SCALE).clip(-32768, 32767).astype("<i2").tobytes()
