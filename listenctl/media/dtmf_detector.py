"""
Keys that are heard rather than told: DTMF among other sound (ITU-T Q.23), by the limits of ITU-T Q.24.

Each frame of 20 ms, one every 5 ms, is compared with the eight frequencies. A frame shows a key if two of them, one of
each group, are nearly all that is in it, in frequency and in proportion to each other; speech hardly ever is. How long
the key lasted is seen from the frames at its edges, where a window that is half full has half the amplitude.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_HERTZ = (697, 770, 852, 941, 1209, 1336, 1477, 1633)
_PAD = ("123A", "456B", "789C", "*0#D")

_HOP = 0.005
_WINDOW_HOPS = 4
# A tenth of a second: numpy's calls cost the same for one frame as for twenty.
_BLOCK_HOPS = 20

# Midway between the 1.5 % that have to be taken and the 3.5 % that have to be refused.
_MAX_DEVIATION = 0.025
# The high tone against the low one, in dB: -8 to +4 have to be taken; noise moves the measure.
_TWIST_DB = (-9.5, 5.5)
# One tone, relative to full scale: -29 dBm0 is -32 dB.
_FLOOR_DB = -36.0
# The part of a frame's power that is in the two tones: 0.97 where noise is 15 dB below them.
_PURE = 0.8
# The same before the deviation is known, which at its limit hides 60 % of the highest tone.
_PURE_ENOUGH_TO_LOOK = 0.3
# 40 ms have to be taken and 23 refused; an interruption of 10 ms is none, a pause of 40 ms is one.
_SHORTEST = 0.031
_LONGEST_INTERRUPTION = 0.025
# Frames that show the key; an even tone of 40 ms has six or seven, one of 23 ms three.
_FEWEST_FRAMES = 4

_Levels: TypeAlias = list[list[float]]


@dataclass(frozen=True, slots=True)
class DetectedTone:
    """A key that was heard: ``position`` is the sample where it began, ``duration`` its length in seconds."""

    digit: str
    position: int
    duration: float

    @property
    def duration_ms(self) -> int:
        """The duration as jambonz would say it."""
        return round(self.duration * 1000)


class DtmfDetector:
    """
    Find keys in one channel of 16-bit little-endian audio, which may arrive in pieces of any size.

    A key is told once, when it has ended and its duration is known: within 0.15 s of audio after its end.

    Args:
        sample_rate: in Hz; 8000 or more.
    """

    def __init__(self, sample_rate: int) -> None:
        import numpy as np

        self._sample_rate = sample_rate
        self._hop = round(_HOP * sample_rate)
        window = _WINDOW_HOPS * self._hop
        # As if silence had come before, so that a key may begin with the first sample.
        self._rest = bytes(window * SAMPLE_BYTES)
        self._filters = _Filters(sample_rate, self._hop)
        self._before = np.zeros((_BLOCK_HOPS, len(_HERTZ)), np.complex64)
        self._first_frame = 0
        self._press: _ToneInProgress | None = None
        self._ended = 0.0

    def feed(self, pcm: bytes) -> list[DetectedTone]:
        """Return the keys that ``pcm`` brings to an end, oldest first."""
        import numpy as np

        data = self._rest + pcm
        samples = (_BLOCK_HOPS - 1 + _WINDOW_HOPS) * self._hop
        step = _BLOCK_HOPS * self._hop * SAMPLE_BYTES
        at = 0
        found: list[DetectedTone] = []
        while len(data) - at >= samples * SAMPLE_BYTES:
            found += self._hear(np.frombuffer(data, "<i2", samples, at))
            at += step
        self._rest = data[at:]
        return found

    def end_audio(self) -> list[DetectedTone]:
        """Return the key that the end of the audio cuts off, if there is one."""
        # Silence for as long as a block, a window and the longest interruption take together.
        return self.feed(bytes(2 * _BLOCK_HOPS * self._hop * SAMPLE_BYTES))

    def _hear(self, block: "NDArray[np.int16]") -> list[DetectedTone]:
        import numpy as np

        spectrum, power = self._filters.apply(block)
        before, self._before = self._before, spectrum
        first, self._first_frame = self._first_frame, self._first_frame + _BLOCK_HOPS
        if self._press is None and not self._filters.worth_a_look(spectrum, power):
            return []
        rows = np.concatenate((before, spectrum))
        keys = self._filters.keys(rows, power)
        levels: _Levels = np.abs(rows).tolist()
        ended = [self._step(key, levels[n + 1 : n + 1 + _BLOCK_HOPS], first + n) for n, key in enumerate(keys)]
        return [self._tone(press) for press in ended if press is not None]

    def _step(self, key: str, levels: _Levels, frame: int) -> "_ToneInProgress | None":
        """Take the next frame; return the press that ended with it, if that was a key."""
        press = self._press
        if press is not None and key in ("", press.key):
            press.step(levels, frame, shown=bool(key))
            if not press.is_over(frame):
                return None
            key = ""
        ended = press if press is not None and press.is_key else None
        if ended is not None:
            self._ended = ended.end
        # Where one key follows another at once, the frames across the seam belong to both.
        self._press = _ToneInProgress(key, levels, frame, earliest=self._ended) if key else None
        return ended

    def _tone(self, press: "_ToneInProgress") -> DetectedTone:
        # Frame 0 is centred on half a window before the first sample.
        position = round((press.begin - _WINDOW_HOPS / 2) * self._hop)
        duration = press.frames * self._hop / self._sample_rate
        return DetectedTone(press.key, max(0, position), round(duration, 4))


class _ToneInProgress:
    """What looks like a key that is down: from where its tones reach half their amplitude to where they fall below."""

    def __init__(self, key: str, levels: _Levels, frame: int, *, earliest: float) -> None:
        row = next(n for n, keys in enumerate(_PAD) if key in keys)
        self.key = key
        self._columns = (row, 4 + _PAD[row].index(key))
        self._reference = self._pair(levels[-1])
        self._shown = 0
        self._rising = True
        self._last = frame
        self._fell: float | None = None
        self._earliest = earliest
        self.begin = float(frame)
        self.step(levels, frame, shown=True)

    @property
    def end(self) -> float:
        """Where it ended, in frames, as far as is known."""
        return self._last if self._fell is None else self._fell

    @property
    def frames(self) -> float:
        """The duration in frames."""
        return self.end - self.begin

    @property
    def is_key(self) -> bool:
        """Whether it was long and clear enough to be meant."""
        # In speech, what looks like a key comes and goes.
        return self.frames * _HOP >= _SHORTEST and self._shown >= _FEWEST_FRAMES and self._shown * 2 >= self.frames

    def is_over(self, frame: int) -> bool:
        """Whether the pause up to ``frame`` is no interruption any more."""
        return self._fell is not None and (frame - self._fell) * _HOP > _LONGEST_INTERRUPTION

    def step(self, levels: _Levels, frame: int, *, shown: bool) -> None:
        """Take a frame, the last of ``levels``; it may show this key or none."""
        if shown:
            self._shown += 1
            self._follow(levels[-1])
            if self._rising:
                self.begin = max(self._earliest, self._rise(levels, frame))
        # The first frames may still be filling up; after an interruption, the beginning is too long ago to be seen.
        self._rising = self._rising and shown and self._shown < _FEWEST_FRAMES
        level = self._level(levels[-1])
        if shown or level >= 0.5:
            self._last = frame
            self._fell = None
        elif self._fell is None:
            self._fell = frame - 1 + _crossing(self._level(levels[-2]), level)

    def _follow(self, row: list[float]) -> None:
        # A tone that becomes weaker is still itself; one that fades in isn't measured by its beginning.
        low, high = self._pair(row)
        self._reference = max(low, 0.9 * self._reference[0]), max(high, 0.9 * self._reference[1])

    def _rise(self, levels: _Levels, frame: int) -> float:
        """Return where the tones rose to half of what they are now, in frames."""
        at = len(levels) - 1
        while at > 0 and self._level(levels[at - 1]) >= 0.5:
            at -= 1
        here = frame - (len(levels) - 1 - at)
        return here - _crossing(self._level(levels[at]), self._level(levels[at - 1])) if at else float(here)

    def _level(self, row: list[float]) -> float:
        """Return the amplitude of the weaker tone, relative to what it is while the key is down."""
        return min(now / usual for now, usual in zip(self._pair(row), self._reference, strict=True))

    def _pair(self, row: list[float]) -> tuple[float, float]:
        low, high = self._columns
        return row[low], row[high]


class _Filters:
    """The eight frequencies, to be compared with frames."""

    def __init__(self, sample_rate: int, hop: int) -> None:
        import numpy as np

        length = _WINDOW_HOPS * hop
        self._hop = hop
        self._seconds = length / sample_rate
        self._hop_seconds = hop / sample_rate
        at = np.arange(length)
        # Hann's window, since its side lobes are low enough that neither group sees the other.
        window = np.sin(np.pi * (at + 0.5) / length) ** 2
        self._hertz = np.array(_HERTZ, np.float32)
        turns = np.exp(-2j * np.pi * np.outer(at, _HERTZ) / sample_rate)
        # The result is a tone's amplitude, 1 for full scale; real and imaginary parts are columns of their own, because
        # a product with complex numbers would turn the audio into such first.
        tuned = turns * (window / window.sum() * 2 / 32768)[:, None]
        self._tuned = tuned.astype(np.complex64).view(np.float32)
        self._power = (window**2 / (window**2).sum() * 2 / 32768**2).astype(np.float32)
        self._advance = np.exp(-2j * np.pi * hop * self._hertz / sample_rate).astype(np.complex64)

    def apply(self, block: "NDArray[np.int16]") -> "tuple[NDArray[np.complex64], NDArray[np.float32]]":
        """Return the amplitudes (frames, frequencies) in a block's frames, and the power of all that is in each."""
        import numpy as np

        audio = block.astype(np.float32)
        bytes_per_sample = audio.itemsize
        shape = (_BLOCK_HOPS, _WINDOW_HOPS * self._hop)
        view = np.ndarray(shape, np.float32, audio, strides=(self._hop * bytes_per_sample, bytes_per_sample))
        # A copy, because the fast product doesn't take rows that overlap.
        frames = view.copy()
        return (frames @ self._tuned).view(np.complex64), np.square(frames, out=frames) @ self._power

    def worth_a_look(self, spectrum: "NDArray[np.complex64]", power: "NDArray[np.float32]") -> bool:
        """Whether some frame may show a key: what is cheap to know about most audio, and says no for most of it."""
        levels = (spectrum.real**2 + spectrum.imag**2).reshape(-1, 2, 4).max(axis=2)
        loud = levels.min(axis=1) > _power(_FLOOR_DB - 4)
        return bool((loud & (levels.sum(axis=1) > _PURE_ENOUGH_TO_LOOK * power)).any())

    def keys(self, rows: "NDArray[np.complex64]", power: "NDArray[np.float32]") -> list[str]:
        """
        Return the key that each frame shows, or "".

        Args:
            rows: amplitudes of the frames before and of those in question, as many of each.
            power: of the frames in question.
        """
        import numpy as np

        now, before = rows[_BLOCK_HOPS:], rows[_BLOCK_HOPS - 1 : -1]
        picked = np.add(np.abs(now).reshape(-1, 2, 4).argmax(axis=2), (0, 4))
        deviation = self._deviation(now, before, picked)
        # An amplitude beside the nominal frequency is seen through the slope of the window's main lobe.
        bins = deviation * self._seconds
        seen = np.sinc(bins) / np.maximum(1 - bins**2, 0.1)
        levels = np.square(np.abs(np.take_along_axis(now, picked, axis=1)) / np.maximum(seen, 0.1))
        low, high = levels.T
        right = (
            (np.abs(deviation) <= _MAX_DEVIATION * self._hertz[picked]).all(axis=1)
            & (levels.min(axis=1) >= _power(_FLOOR_DB))
            & (high >= low * _power(_TWIST_DB[0]))
            & (high <= low * _power(_TWIST_DB[1]))
            & (low + high >= _PURE * power)
        )
        found = zip(right.tolist(), picked.tolist(), strict=True)
        return [_PAD[row][column - 4] if is_right else "" for is_right, (row, column) in found]

    def _deviation(
        self, now: "NDArray[np.complex64]", before: "NDArray[np.complex64]", picked: "NDArray[np.int64]"
    ) -> "NDArray[np.float32]":
        """Return how many Hz the tones are off, which their phase says: how far it moved since the frame before."""
        import numpy as np

        moved = np.take_along_axis(now * before.conj() * self._advance, picked, axis=1)
        deviation: NDArray[np.float32] = np.angle(moved) / (2 * np.pi * self._hop_seconds)
        return deviation


def _crossing(above: float, below: float) -> float:
    """Return the part of the way from ``above`` to ``below`` at which 0.5 lies, as near as there is."""
    return min(1.0, max(0.0, (above - 0.5) / (above - below))) if above > below else 0.0


def _power(level_db: float) -> float:
    return math.pow(10, level_db / 10)


MIN_DTMF_RATE = 8000
"""Below, the highest of the tones can't be told apart."""


@dataclass(frozen=True, slots=True)
class DtmfTone:
    """
    A key that was heard.

    Attributes:
        channel: counted from 1, the left one.
        position: the sample, per channel, at which it began.
        duration_ms: as jambonz would say it.
    """

    digit: str
    channel: int
    position: int
    duration_ms: int


class CallDtmfDetector:
    """
    Find keys in whole sample frames, channel by channel.

    Args:
        audio_format: with a rate of ``MIN_DTMF_RATE`` or more.
        position: of the first sample that will be fed.
    """

    def __init__(self, audio_format: AudioFormat, position: int) -> None:
        self._start = position
        self._channels = audio_format.channels
        self._detectors = [DtmfDetector(audio_format.sample_rate) for _ in range(audio_format.channels)]

    def feed(self, data: bytes) -> list[DtmfTone]:
        """Return the keys that ``data`` brings to an end, in the order in which they began."""
        return self._keys(
            [detector.feed(part) for detector, part in zip(self._detectors, self._split(data), strict=True)]
        )

    def end_audio(self) -> list[DtmfTone]:
        """Return the keys that the end of the audio cuts off."""
        return self._keys([detector.end_audio() for detector in self._detectors])

    def _split(self, data: bytes) -> list[bytes]:
        if self._channels == 1:
            return [data]
        import numpy as np

        frames = np.frombuffer(data, "<i2").reshape(-1, self._channels)
        return [frames[:, channel].tobytes() for channel in range(self._channels)]

    def _keys(self, tones: list[list[DetectedTone]]) -> list[DtmfTone]:
        keys = [
            DtmfTone(tone.digit, number, self._start + tone.position, tone.duration_ms)
            for number, heard in enumerate(tones, 1)
            for tone in heard
        ]
        return sorted(keys, key=lambda key: key.position)
