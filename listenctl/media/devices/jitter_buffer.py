"""
Buffer the audio of one call for a device with another clock: surplus is cut out and missing audio repeated where the
sound is most similar. Samples are floats with full scale 1, one row per sample frame.
"""

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]

# Seconds buffered when sound begins, beyond what the device takes at once; a message from jambonz has 0.02.
_CUSHION = 0.035
_CUSHION_STEP = 0.02
_MAX_CUSHION = 0.115
# Seconds that may be buffered beyond the cushion, as after a burst; the rest is skipped at once.
_EXCESS = 0.15
# How long the minimum is observed before audio is cut or repeated, and the range in which it should be.
_OBSERVED = 1.0
_LEAST, _MOST = 0.018, 0.035
_STEP = 0.01
_FADE = 0.005
# Shorter silence comes from late audio, not from a pause.
_LATE = 0.15


class JitterBuffer:
    """Buffer the audio of one call; the caller holds a lock."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._rate = sample_rate
        self._frames: Frames = np.zeros((0, channels), np.float32)
        self._cushion = self._samples(_CUSHION)
        self._filling = True
        self._request = self._samples(_STEP)
        self._silence = self._samples(_LATE)
        self._runs_low = False
        self._observed = 0
        self._least = self._samples(_EXCESS)

    @property
    def waiting_samples(self) -> int:
        return len(self._frames)

    def add_frames(self, frames: Frames) -> None:
        """Add audio; beyond the limit, the oldest is dropped."""
        self._frames = np.concatenate((self._frames, frames))
        if self._runs_low:
            self._runs_low = False
            self._splice(shorter=False)
        excess = len(self._frames) - self._cushion - self._request
        if excess > self._samples(_EXCESS):
            self._cut(excess)

    def take_frames(self, count: int) -> Frames:
        self._request = count
        if self._filling and len(self._frames) < self._cushion + count:
            self._silence += count
            return np.zeros((count, self._frames.shape[1]), np.float32)
        begins = self._filling
        if begins:
            self._begin()
        if len(self._frames) < count + self._samples(_FADE):
            return self._end(count)
        taken, self._frames = self._frames[:count], self._frames[count:]
        self._observe(count)
        return self._faded(taken, ends=False) if begins else taken

    def skip_backlog(self) -> None:
        """Drop audio that would be late because nothing was taken for a while."""
        excess = len(self._frames) - self._cushion - self._request
        if excess > 0:
            self._cut(excess)

    def _begin(self) -> None:
        self._filling = False
        if self._silence < self._samples(_LATE):
            self._cushion = min(self._cushion + self._samples(_CUSHION_STEP), self._samples(_MAX_CUSHION))
        self._observed, self._least = 0, len(self._frames)

    def _end(self, count: int) -> Frames:
        taken, self._frames = self._faded(self._frames[:count], ends=True), self._frames[:0]
        missing = np.zeros((count - len(taken), taken.shape[1]), np.float32)
        self._filling, self._silence = True, len(missing)
        return np.concatenate((taken, missing))

    def _observe(self, count: int) -> None:
        """Compensate the difference of the clocks after it was observed for long enough."""
        self._observed += count
        self._least = min(self._least, len(self._frames))
        if self._observed < self._samples(_OBSERVED):
            return
        if self._least > self._samples(_MOST):
            self._splice(shorter=True)
            self._cushion = max(self._cushion - self._samples(_STEP), self._samples(_CUSHION))
        # There may be too little audio to repeat now.
        self._runs_low = self._least < self._samples(_LEAST)
        self._observed, self._least = 0, len(self._frames)

    def _splice(self, *, shorter: bool) -> None:
        """Cut or repeat about ``_STEP`` seconds, joined where the sound is most similar."""
        fade, frames = self._samples(_FADE), self._frames
        lags = range(self._samples(_STEP / 2), min(self._samples(_STEP * 1.5), len(frames) - fade))
        if not lags:
            return
        mono = frames.sum(axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(mono, fade)[lags.start : lags.stop]
        # Normalised, or the loudest part would win, not the most similar one.
        alike = windows @ mono[:fade] / (np.linalg.norm(windows, axis=1) + 1e-6)
        lag = lags.start + int(alike.argmax())
        early, late = frames[:fade], frames[lag : lag + fade]
        if shorter:
            self._frames = np.concatenate((_cross_fade(early, late), frames[lag + fade :]))
        else:
            self._frames = np.concatenate((frames[:lag], _cross_fade(late, early), frames[fade:]))

    def _cut(self, count: int) -> None:
        fade, frames = self._samples(_FADE), self._frames
        joint = _cross_fade(frames[:fade], frames[count : count + fade])
        self._frames = np.concatenate((joint, frames[count + fade :]))

    def _faded(self, frames: Frames, *, ends: bool) -> Frames:
        """Fade the beginning or end, which would click otherwise."""
        faded = frames.copy()
        length = min(self._samples(_FADE), len(faded))
        if ends:
            faded[len(faded) - length :] *= _ramp(length)[::-1]
        else:
            faded[:length] *= _ramp(length)
        return faded

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._rate)


def _ramp(length: int) -> Frames:
    return np.linspace(0, 1, length, dtype=np.float32)[:, np.newaxis]


def _cross_fade(first: Frames, second: Frames) -> Frames:
    ramp = _ramp(len(first))
    mixed: Frames = first * (1 - ramp) + second * ramp
    return mixed
