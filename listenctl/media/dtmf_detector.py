"""
Detect DTMF tones (ITU-T Q.23) in audio, within the limits of ITU-T Q.24.

Each window of 20 ms, one every 5 ms, is correlated with the eight frequencies. A window shows a digit if nearly all of
its power is in two of them, one of each group, with the right frequencies and the right ratio; speech hardly ever is.
The duration follows from the windows at the edges, where a window that is half full has half the amplitude.
"""

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias

from listenctl.media.dtmf_windows import DTMF_HERTZ, HOP, WINDOW_HOPS, DigitLimits, DtmfWindows
from listenctl.media.sources.tones import DTMF_PAD
from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


# A tenth of a second: numpy calls cost about the same for one window as for twenty.
_BLOCK_HOPS = 20

_LIMITS = DigitLimits(
    # Between the 1.5 % that must be accepted and the 3.5 % that must be rejected.
    max_deviation=0.025,
    # -8 to +4 must be accepted; noise shifts the measurement.
    twist_db=(-9.5, 5.5),
    # -29 dBm0 is -32 dB.
    min_level_db=-36.0,
    # 0.97 where noise is 15 dB below the tones.
    min_share=0.8,
)
# 40 ms must be accepted and 23 ms rejected; an interruption of 10 ms must be ignored, a pause of 40 ms must not.
_MIN_DURATION = 0.031
_LONGEST_INTERRUPTION = 0.025
# Windows that show the digit: a steady tone of 40 ms has six or seven, one of 23 ms has three.
_MIN_WINDOWS = 4

_Levels: TypeAlias = list[list[float]]


@dataclass(frozen=True, slots=True)
class DtmfTone:
    """A detected tone."""

    digit: str
    position: int  # of its first sample, in samples per channel
    duration: float
    channel: int = 1  # from 1, the left one

    @property
    def duration_ms(self) -> int:
        return round(self.duration * 1000)


class DtmfDetector:
    """Detect tones in one channel of 16-bit audio; each is reported once, within 0.15 s of audio after its end."""

    def __init__(self, sample_rate: int) -> None:
        import numpy as np

        self._sample_rate = sample_rate
        self._hop = round(HOP * sample_rate)
        window = WINDOW_HOPS * self._hop
        # As if preceded by silence, so that a tone may begin with the first sample.
        self._rest = bytes(window * SAMPLE_BYTES)
        self._windows = DtmfWindows(sample_rate, self._hop, _LIMITS)
        self._before = np.zeros((_BLOCK_HOPS, len(DTMF_HERTZ)), np.complex64)
        self._first_window = 0
        self._current: _ToneInProgress | None = None
        self._ended = 0.0

    def feed(self, pcm: bytes) -> list[DtmfTone]:
        import numpy as np

        data = self._rest + pcm
        samples = (_BLOCK_HOPS - 1 + WINDOW_HOPS) * self._hop
        step = _BLOCK_HOPS * self._hop * SAMPLE_BYTES
        at = 0
        found: list[DtmfTone] = []
        while len(data) - at >= samples * SAMPLE_BYTES:
            found += self._detect(np.frombuffer(data, "<i2", samples, at))
            at += step
        self._rest = data[at:]
        return found

    def end_audio(self) -> list[DtmfTone]:
        # Silence as long as a block, a window and the longest interruption together.
        return self.feed(bytes(2 * _BLOCK_HOPS * self._hop * SAMPLE_BYTES))

    def _detect(self, block: "NDArray[np.int16]") -> list[DtmfTone]:
        import numpy as np

        spectrum, power = self._windows.apply(block)
        before, self._before = self._before, spectrum
        first, self._first_window = self._first_window, self._first_window + _BLOCK_HOPS
        if self._current is None and not self._windows.may_show_digit(spectrum, power):
            return []
        rows = np.concatenate((before, spectrum))
        digits = self._windows.find_digits(rows, power)
        levels: _Levels = np.abs(rows).tolist()
        ended = [self._step(digit, levels[n + 1 : n + 1 + _BLOCK_HOPS], first + n) for n, digit in enumerate(digits)]
        return [self._tone(tone) for tone in ended if tone is not None]

    def _step(self, digit: str, levels: _Levels, window: int) -> "_ToneInProgress | None":
        tone = self._current
        if tone is not None and digit in ("", tone.digit):
            tone.step(levels, window, shown=bool(digit))
            if not tone.is_over(window):
                return None
            digit = ""
        ended = tone if tone is not None and tone.is_digit else None
        if ended is not None:
            self._ended = ended.end
        # If one digit directly follows another, the windows across the boundary show both.
        self._current = _ToneInProgress(digit, levels, window, earliest=self._ended) if digit else None
        return ended

    def _tone(self, tone: "_ToneInProgress") -> DtmfTone:
        # Window 0 is centred half a window before the first sample.
        position = round((tone.begin - WINDOW_HOPS / 2) * self._hop)
        duration = tone.windows * self._hop / self._sample_rate
        return DtmfTone(tone.digit, max(0, position), round(duration, 4))


class _ToneInProgress:
    """A possible tone, from where its amplitude reaches one half to where it falls below."""

    def __init__(self, digit: str, levels: _Levels, window: int, *, earliest: float) -> None:
        row = next(n for n, digits in enumerate(DTMF_PAD) if digit in digits)
        self.digit = digit
        self._columns = (row, 4 + DTMF_PAD[row].index(digit))
        self._reference = self._pair(levels[-1])
        self._shown = 0
        self._rising = True
        self._last = window
        self._fell: float | None = None
        self._earliest = earliest
        self.begin = float(window)
        self.step(levels, window, shown=True)

    @property
    def end(self) -> float:
        """Where the tone ended, in windows, as far as is known."""
        return self._last if self._fell is None else self._fell

    @property
    def windows(self) -> float:
        return self.end - self.begin

    @property
    def is_digit(self) -> bool:
        # In speech, what looks like a digit is not steady.
        return self.windows * HOP >= _MIN_DURATION and self._shown >= _MIN_WINDOWS and self._shown * 2 >= self.windows

    def is_over(self, window: int) -> bool:
        """Whether the pause up to ``window`` is too long for an interruption."""
        return self._fell is not None and (window - self._fell) * HOP > _LONGEST_INTERRUPTION

    def step(self, levels: _Levels, window: int, *, shown: bool) -> None:
        if shown:
            self._shown += 1
            self._follow(levels[-1])
            if self._rising:
                self.begin = max(self._earliest, self._rise(levels, window))
        # The first windows may still be filling; after an interruption, the beginning is too far back.
        self._rising = self._rising and shown and self._shown < _MIN_WINDOWS
        level = self._level(levels[-1])
        if shown or level >= 0.5:
            self._last = window
            self._fell = None
        elif self._fell is None:
            self._fell = window - 1 + _crossing(self._level(levels[-2]), level)

    def _follow(self, row: list[float]) -> None:
        # The level follows a tone that gets weaker, and one that fades in.
        low, high = self._pair(row)
        self._reference = max(low, 0.9 * self._reference[0]), max(high, 0.9 * self._reference[1])

    def _rise(self, levels: _Levels, window: int) -> float:
        """Return where the amplitude rose to half of its present value, in windows."""
        at = len(levels) - 1
        while at > 0 and self._level(levels[at - 1]) >= 0.5:
            at -= 1
        here = window - (len(levels) - 1 - at)
        return here - _crossing(self._level(levels[at]), self._level(levels[at - 1])) if at else float(here)

    def _level(self, row: list[float]) -> float:
        """Return the amplitude of the weaker frequency, relative to its usual value in this tone."""
        return min(now / usual for now, usual in zip(self._pair(row), self._reference, strict=True))

    def _pair(self, row: list[float]) -> tuple[float, float]:
        low, high = self._columns
        return row[low], row[high]


def _crossing(above: float, below: float) -> float:
    """Return where 0.5 lies between ``above`` and ``below``, from 0 to 1."""
    return min(1.0, max(0.0, (above - 0.5) / (above - below))) if above > below else 0.0


MIN_DTMF_RATE = 8000
"""Hz; at lower rates the highest frequencies can't be represented."""


class CallDtmfDetector:
    def __init__(self, audio_format: AudioFormat, position: int) -> None:
        self._start = position
        self._channels = audio_format.channels
        self._detectors = [DtmfDetector(audio_format.sample_rate) for _ in range(audio_format.channels)]

    def feed(self, data: bytes) -> list[DtmfTone]:
        return self._merge(
            [detector.feed(part) for detector, part in zip(self._detectors, self._split(data), strict=True)]
        )

    def end_audio(self) -> list[DtmfTone]:
        return self._merge([detector.end_audio() for detector in self._detectors])

    def _split(self, data: bytes) -> list[bytes]:
        if self._channels == 1:
            return [data]
        import numpy as np

        frames = np.frombuffer(data, "<i2").reshape(-1, self._channels)
        return [frames[:, channel].tobytes() for channel in range(self._channels)]

    def _merge(self, tones: list[list[DtmfTone]]) -> list[DtmfTone]:
        merged = [
            replace(tone, position=self._start + tone.position, channel=number)
            for number, found in enumerate(tones, 1)
            for tone in found
        ]
        return sorted(merged, key=attrgetter("position"))
