"""Several calls in one stereo sound, each at its own rate and place."""

import threading
from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import cos, pi, sin, sqrt
from typing import TYPE_CHECKING, TypeAlias

from listenctl.media.devices.jitter_buffer import JitterBuffer
from listenctl.media.resampling import prompt_resampler, to_floats
from listenctl.protocol.audio import AudioFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from listenctl.protocol.audio import Resampler

    Frames = NDArray[np.float32]


Gains: TypeAlias = tuple[tuple[float, float], ...]
"""For each channel of a call, how much of it goes to the left and to the right."""


class ChannelChoice(StrEnum):
    """The values of ``--channel``, and what is heard without one: the channels of a stereo call, one in each ear."""

    BOTH = "both"
    LEFT = "left"
    RIGHT = "right"
    MIX = "mix"


_SHARES = {
    ChannelChoice.BOTH: (1.0, 1.0),
    ChannelChoice.LEFT: (1.0, 0.0),
    ChannelChoice.RIGHT: (0.0, 1.0),
    ChannelChoice.MIX: (1.0, 1.0),
}


def single_call_gains(channels: int, ear: ChannelChoice) -> Gains:
    """Return the gains of a call that is heard alone; mono is heard in both ears."""
    if channels == 1:
        return ((1.0, 1.0),)
    if ear is ChannelChoice.BOTH:
        return ((1.0, 0.0), (0.0, 1.0))
    return tuple((share, share) for share in _SHARES[ear])


def spread_gains(channels: int, ear: ChannelChoice, place: int, of: int) -> Gains:
    """
    Return the gains of call number ``place``, from 0 on, of several that are heard from left to right.

    Each keeps its loudness wherever it stands; more than two are less loud, so that their sum seldom clips.
    """
    angle = place / (of - 1) * pi / 2
    level = min(1.0, sqrt(2 / of))
    left, right = level * cos(angle), level * sin(angle)
    return tuple((share * left, share * right) for share in ((1.0,) if channels == 1 else _SHARES[ear]))


def stereo_gains(channels: Sequence[int], ear: ChannelChoice) -> list[Gains]:
    """Return the gains of all calls that are heard, for each of which ``channels`` says how many it has."""
    if len(channels) == 1:
        return [single_call_gains(channels[0], ear)]
    return [spread_gains(count, ear, place, len(channels)) for place, count in enumerate(channels)]


DEVICE_RATE = 48000
"""What every sound system takes."""


class CallMixer:
    """
    Mix the calls that are heard; one thread may give their audio and another take the sum.

    Attributes:
        muted: whether silence comes out.
    """

    def __init__(self, sample_rate: int = DEVICE_RATE) -> None:
        self.muted = False
        self.sample_rate = sample_rate
        self._lock = threading.Lock()
        self._strips: dict[str, _MixedCall] = {}

    def set_calls(self, calls: Mapping[str, tuple[AudioFormat, Gains]]) -> None:
        """Have these calls be heard from now on and no others; what changes does so without a click."""
        with self._lock:
            for call, (audio_format, gains) in calls.items():
                strip = self._strips.get(call)
                if strip is None or strip.format != audio_format:
                    strip = self._strips[call] = _MixedCall(audio_format, self.sample_rate)
                strip.gains = gains
            for call in self._strips.keys() - calls.keys():
                self._strips[call].gains = None

    def add_audio(self, call: str, pcm: bytes) -> None:
        """Add whole sample frames of a call; nothing becomes of them unless it is heard."""
        with self._lock:
            strip = self._strips.get(call)
            if strip is not None and strip.gains is not None:
                strip.add_audio(pcm)

    def take_frames(self, count: int) -> "Frames":
        """Return the next ``count`` samples of the left and the right channel, none beyond full scale."""
        import numpy as np

        total = np.zeros((count, 2), np.float32)
        with self._lock:
            for strip in self._strips.values():
                total += strip.take_frames(count, muted=self.muted)
            self._strips = {call: strip for call, strip in self._strips.items() if strip.gains is not None}
        return total.clip(-1, 1)

    def skip_backlog(self) -> None:
        """Drop what waited for a device that didn't take it, which would be late for long."""
        with self._lock:
            for strip in self._strips.values():
                strip.skip_backlog()

    def remove_calls(self) -> None:
        """Forget all calls; a device's library can hold on to us beyond the end, and soxr would complain of that."""
        with self._lock:
            self._strips.clear()

    def change_sample_rate(self, sample_rate: int) -> None:
        """Mix at another rate; what waits is dropped."""
        with self._lock:
            self.sample_rate = sample_rate
            for call, old in list(self._strips.items()):
                strip = self._strips[call] = _MixedCall(old.format, sample_rate)
                strip.gains = old.gains


class _MixedCall:
    """One call; ``gains`` is None when it is heard no more."""

    def __init__(self, audio_format: AudioFormat, sample_rate: int) -> None:
        import numpy as np

        self.format = audio_format
        self.gains: Gains | None = None
        self._buffer = JitterBuffer(sample_rate, audio_format.channels)
        self._silent = np.zeros((audio_format.channels, 2), np.float32)
        self._last = self._silent
        self._resamplers: list[Resampler] = []
        if audio_format.sample_rate != sample_rate:
            rates = audio_format.sample_rate, sample_rate
            self._resamplers = [prompt_resampler(*rates) for _ in range(audio_format.channels)]

    def add_audio(self, pcm: bytes) -> None:
        import numpy as np

        samples = np.frombuffer(pcm, "<i2").reshape(-1, self.format.channels)
        channels = [samples[:, channel].tobytes() for channel in range(self.format.channels)]
        if self._resamplers:
            channels = [resample(one) for resample, one in zip(self._resamplers, channels, strict=True)]
        self._buffer.add_frames(np.column_stack([to_floats(one) for one in channels]))

    def skip_backlog(self) -> None:
        self._buffer.skip_backlog()

    def take_frames(self, count: int, *, muted: bool) -> "Frames":
        import numpy as np

        frames = self._buffer.take_frames(count)
        silent = muted or self.gains is None
        gains = self._silent if silent else np.array(self.gains, np.float32)
        heard: Frames = frames @ gains
        if not np.array_equal(gains, self._last):
            rise = np.linspace(0, 1, count, dtype=np.float32)[:, np.newaxis]
            heard = heard * rise + (frames @ self._last) * (1 - rise)
            self._last = gains
        return heard
