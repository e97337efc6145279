"""
Silence DTMF tones in audio that is kept or heard, so that nobody can read the digits of a card from it.

A digit that stays costs more than a few hundredths of a second of speech. So the limits are wider than those of ITU-T
Q.24, three windows make a tone, and what precedes and follows it is silenced as well. The audio is held back for as
long as a tone may still turn out to have begun in it.
"""

from typing import TYPE_CHECKING, Self

from listenctl.media.dtmf_windows import DTMF_HERTZ, HOP, WINDOW_HOPS, DigitLimits, DtmfWindows
from listenctl.media.sources.tones import DTMF_HIGH_HZ
from listenctl.protocol.audio import AudioFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LIMITS = DigitLimits(max_deviation=0.03, twist_db=(-14.0, 10.0), min_level_db=-46.0, min_share=0.5)
# Windows in a row that show the same digit.
_NEEDED = 3
_MARGIN_HOPS = 2
MIN_MASKED_RATE = 2 * min(DTMF_HIGH_HZ)
"""Hz; at lower rates not even the lowest high tone can be represented, so there is no digit."""


class DtmfMask:
    """Silence the tones in one call's audio; positions and the number of samples stay as they are."""

    def __init__(self, audio_format: AudioFormat) -> None:
        import numpy as np

        channels = audio_format.channels
        self._finders = [_ToneFinder(audio_format.sample_rate) for _ in range(channels)]
        self._held = np.zeros((0, channels), np.int16)
        self._released = 0  # samples per channel
        self._silent_until = [0] * channels

    @classmethod
    def of_format(cls, audio_format: AudioFormat) -> Self | None:
        """Return a mask, None where the sample rate is too low for digits."""
        return cls(audio_format) if audio_format.sample_rate >= MIN_MASKED_RATE else None

    @property
    def held_samples(self) -> int:
        """Samples per channel that are held back."""
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """Take whole sample frames, and return those that can be passed on."""
        import numpy as np

        samples = np.frombuffer(data, "<i2").reshape(-1, len(self._finders))
        self._held = np.concatenate((self._held, samples))
        for channel, finder in enumerate(self._finders):
            self._silence(channel, 0, self._silent_until[channel])
            for begin, end in finder.feed(samples[:, channel]):
                self._silence(channel, begin, end)
        return self._release(max(0, min(finder.decided for finder in self._finders) - self._released))

    def flush(self) -> bytes:
        """Return all that is held, because what follows is not its continuation."""
        for channel, finder in enumerate(self._finders):
            for begin, end in finder.end_audio():
                self._silence(channel, begin, end)
        self._finders = [finder.restarted() for finder in self._finders]
        rest = self._release(len(self._held))
        self._released = 0
        self._silent_until = [0] * len(self._finders)
        return rest

    def _silence(self, channel: int, begin: int, end: int) -> None:
        self._held[max(0, begin - self._released) : max(0, end - self._released), channel] = 0
        self._silent_until[channel] = max(self._silent_until[channel], end)

    def _release(self, samples: int) -> bytes:
        ready, self._held = self._held[:samples], self._held[samples:].copy()
        self._released += len(ready)
        return ready.astype("<i2").tobytes()


class _ToneFinder:
    """Find what to silence in one channel."""

    def __init__(self, sample_rate: int) -> None:
        import numpy as np

        self._sample_rate = sample_rate
        self._hop = round(HOP * sample_rate)
        self._windows = DtmfWindows(sample_rate, self._hop, _LIMITS)
        # As if preceded by silence, so that a tone may begin with the first sample.
        self._rest = np.zeros(WINDOW_HOPS * self._hop, np.int16)
        self._next = -WINDOW_HOPS * self._hop  # where the next window begins
        self._before = np.zeros((1, len(DTMF_HERTZ)), np.complex64)
        self._digit = ""
        self._shown = 0  # windows in a row that show it

    @property
    def decided(self) -> int:
        """The samples before this one will not be silenced any more."""
        return self._next - (_NEEDED - 1 + _MARGIN_HOPS) * self._hop

    def feed(self, samples: "NDArray[np.int16]", needed: int = _NEEDED) -> list[tuple[int, int]]:
        """Return where to silence the audio, from one sample to another."""
        import numpy as np

        block = np.concatenate((self._rest, samples))
        count = len(block) // self._hop - WINDOW_HOPS + 1
        if count <= 0:
            self._rest = block
            return []
        spectrum, power = self._windows.apply(block[: (count + WINDOW_HOPS - 1) * self._hop])
        self._rest = block[count * self._hop :]
        first, self._next = self._next, self._next + count * self._hop
        before, self._before = self._before, spectrum[-1:]
        if not self._windows.may_show_digit(spectrum, power):
            self._digit, self._shown = "", 0
            return []
        digits = self._windows.find_digits(np.concatenate((before, spectrum)), power)
        return [
            (at - (needed - 1 + _MARGIN_HOPS) * self._hop, at + (WINDOW_HOPS + _MARGIN_HOPS) * self._hop)
            for at, digit in zip(range(first, self._next, self._hop), digits, strict=True)
            if self._count(digit) >= needed
        ]

    def end_audio(self) -> list[tuple[int, int]]:
        """Return where to silence what is left; a single window is enough there, because no more will follow."""
        import numpy as np

        return self.feed(np.zeros(WINDOW_HOPS * self._hop, np.int16), needed=1)

    def restarted(self) -> "_ToneFinder":
        return _ToneFinder(self._sample_rate)

    def _count(self, digit: str) -> int:
        self._shown = self._shown + 1 if digit and digit == self._digit else int(bool(digit))
        self._digit = digit
        return self._shown
