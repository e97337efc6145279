"""
Audio from one sample rate to another with soxr: in full quality for what is sent, at once for what is played.

It runs in floats, because soxr dithers 16-bit output, and then silence is no silence.
"""

from typing import TYPE_CHECKING

from listenctl.protocol.audio import SAMPLE_BYTES, Resampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_FULL_SCALE = 32768
# The filter of Speex at quality 2, which the media server uses: its length in samples of the lower rate, the width of
# its pass band, its Kaiser window.
_FILTER_SAMPLES = 32
_PASS_BAND = 0.882
_KAISER_BETA = 6.0
# Samples that soxr's quickest quality wants to see beyond the one that it computes, and a few to spare.
_LOOK_AHEAD = 8


def prompt_resampler(from_rate: int, to_rate: int) -> Resampler:
    """Make a resampler that holds nothing back, for playout: what it was given comes out with the same call."""
    return PromptResampler(from_rate, to_rate)


class StreamResampler:
    """Convert one stream piece by piece in full quality; soxr delivers it in blocks of up to some 100 ms."""

    def __init__(self, from_rate: int, to_rate: int, quality: str = "HQ") -> None:
        import soxr

        self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality=quality)

    def __call__(self, samples: bytes, *, last: bool = False) -> bytes:
        """Return what is ready after ``samples``; all that is left, if they are the last."""
        return to_pcm(self.floats(to_floats(samples), last=last))

    def floats(self, samples: "Floats", *, last: bool = False) -> "Floats":
        """Do the same with samples whose full scale is 1."""
        converted: Floats = self._stream.resample_chunk(samples, last=last)
        return converted


class PromptResampler:
    """
    Convert one stream so that each piece comes out at once and in full, as the media server does (protocol.md 3.2).

    A sample held back would leave the last frame incomplete, and with it the marks behind it. soxr's better qualities
    hold back 37 ms and more; its quickest holds back a few samples, which the silence in front makes up for, and lets
    through what the lower rate can't carry, which a filter takes away. As with Speex, the sound is some 2 ms late.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        import numpy as np

        self._rates = from_rate, to_rate
        self._stream = StreamResampler(from_rate, to_rate, "QQ")
        self._filter = _Filter(min(self._rates) / max(self._rates))
        self._taken = self._given = 0
        self._ready = self._convert(np.zeros(_LOOK_AHEAD, np.float32))

    def __call__(self, samples: bytes, *, last: bool = False) -> bytes:
        """Return what becomes of ``samples``."""
        import numpy as np

        if last and not self._taken:
            # A whole clip: nothing has to come early.
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


class _Filter:
    """A low-pass filter; ``width`` is the highest frequency that passes, relative to half the sample rate."""

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
    """Return 16-bit samples as floats whose full scale is 1; an odd byte at the end is left out."""
    import numpy as np

    return np.frombuffer(pcm, "<i2", count=len(pcm) // SAMPLE_BYTES).astype(np.float32) / np.float32(_FULL_SCALE)


def to_pcm(samples: "Floats") -> bytes:
    """Return 16-bit samples for floats whose full scale is 1; what is too loud is clipped."""
    import numpy as np

    return np.rint(samples * _FULL_SCALE).clip(-32768, 32767).astype("<i2").tobytes()
