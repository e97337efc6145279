"""Mix several calls into one stereo sound, each with its own sample rate and stereo position."""

import threading
from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import cos, pi, sin, sqrt
from typing import TYPE_CHECKING, TypeAlias

from listenctl.media.resampling import PromptResampler, to_floats
from listenctl.protocol.audio import AudioFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from listenctl.protocol.audio import Resampler

    Frames = NDArray[np.float32]


Gains: TypeAlias = tuple[tuple[float, float], ...]
"""For each channel of a call, its gain to the left and to the right."""


class ChannelChoice(StrEnum):
    """The values of ``--channel``; BOTH, the default, plays one channel of a stereo call on each side."""

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


def single_call_gains(channels: int, choice: ChannelChoice) -> Gains:
    if channels == 1:
        return ((1.0, 1.0),)
    if choice is ChannelChoice.BOTH:
        return ((1.0, 0.0), (0.0, 1.0))
    return tuple((share, share) for share in _SHARES[choice])


def spread_gains(channels: int, choice: ChannelChoice, place: int, of: int) -> Gains:
    """Return the gains of call ``place``, spread from left to right; more than two are attenuated against clipping."""
    angle = place / (of - 1) * pi / 2
    level = min(1.0, sqrt(2 / of))
    left, right = level * cos(angle), level * sin(angle)
    return tuple((share * left, share * right) for share in ((1.0,) if channels == 1 else _SHARES[choice]))


def stereo_gains(channels: Sequence[int], choice: ChannelChoice) -> list[Gains]:
    if len(channels) == 1:
        return [single_call_gains(channels[0], choice)]
    return [spread_gains(count, choice, place, len(channels)) for place, count in enumerate(channels)]


DEVICE_RATE = 48000
"""Hz; every sound system supports it."""


class CallMixer:
    """Mix calls; one thread may add their audio and another take the sum."""

    def __init__(self, sample_rate: int = DEVICE_RATE) -> None:
        self.muted = False
        self.sample_rate = sample_rate
        self._lock = threading.Lock()
        self._calls: dict[str, _MixedCall] = {}

    def set_calls(self, calls: Mapping[str, tuple[AudioFormat, Gains]]) -> None:
        """Mix these calls from now on and no others; changes are faded, so that they don't click."""
        with self._lock:
            for call, (audio_format, gains) in calls.items():
                mixed = self._calls.get(call)
                if mixed is None or mixed.format != audio_format:
                    mixed = self._calls[call] = _MixedCall(audio_format, self.sample_rate)
                mixed.gains = gains
            for call in self._calls.keys() - calls.keys():
                self._calls[call].gains = None

    def add_audio(self, call: str, pcm: bytes) -> None:
        """Add whole sample frames of a call; they are dropped if the call isn't mixed."""
        with self._lock:
            mixed = self._calls.get(call)
            if mixed is not None and mixed.gains is not None:
                mixed.add_audio(pcm)

    def take_frames(self, count: int) -> "Frames":
        import numpy as np

        total = np.zeros((count, 2), np.float32)
        with self._lock:
            for mixed in self._calls.values():
                total += mixed.take_frames(count, muted=self.muted)
            self._calls = {call: mixed for call, mixed in self._calls.items() if mixed.gains is not None}
        return total.clip(-1, 1)

    def skip_backlog(self) -> None:
        """Drop audio that a paused device has not taken, which would stay late."""
        with self._lock:
            for mixed in self._calls.values():
                mixed.buffer.skip_backlog()

    def remove_calls(self) -> None:
        """Remove all calls: sounddevice may keep this mixer until exit, where soxr complains about live streams."""
        with self._lock:
            self._calls.clear()

    def change_sample_rate(self, sample_rate: int) -> None:
        with self._lock:
            self.sample_rate = sample_rate
            for call, old in list(self._calls.items()):
                mixed = self._calls[call] = _MixedCall(old.format, sample_rate)
                mixed.gains = old.gains


class _MixedCall:
    """One call; ``gains`` is None when it has been removed."""

    def __init__(self, audio_format: AudioFormat, sample_rate: int) -> None:
        import numpy as np

        from listenctl.media.devices.jitter_buffer import JitterBuffer

        self.format = audio_format
        self.gains: Gains | None = None
        self.buffer = JitterBuffer(sample_rate, audio_format.channels)
        self._silent = np.zeros((audio_format.channels, 2), np.float32)
        self._last = self._silent
        self._resamplers: list[Resampler] = []
        if audio_format.sample_rate != sample_rate:
            rates = audio_format.sample_rate, sample_rate
            self._resamplers = [PromptResampler(*rates) for _ in range(audio_format.channels)]

    def add_audio(self, pcm: bytes) -> None:
        import numpy as np

        samples = np.frombuffer(pcm, "<i2").reshape(-1, self.format.channels)
        channels = [samples[:, channel].tobytes() for channel in range(self.format.channels)]
        if self._resamplers:
            channels = [resample(one) for resample, one in zip(self._resamplers, channels, strict=True)]
        self.buffer.add_frames(np.column_stack([to_floats(one) for one in channels]))

    def take_frames(self, count: int, *, muted: bool) -> "Frames":
        import numpy as np

        frames = self.buffer.take_frames(count)
        silent = muted or self.gains is None
        gains = self._silent if silent else np.array(self.gains, np.float32)
        heard: Frames = frames @ gains
        if not np.array_equal(gains, self._last):
            rise = np.linspace(0, 1, count, dtype=np.float32)[:, np.newaxis]
            heard = heard * rise + (frames @ self._last) * (1 - rise)
            self._last = gains
        return heard
