"""
Audio of one call on its way to a device whose clock is another: enough waits that nothing crackles, and no more.

What is too much or too little is taken out or put in by joining the sound to itself where it is most alike, so that
clocks that differ are never heard. Samples are floats whose full scale is 1, in rows of one sample for each channel.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Frames = NDArray[np.float32]

# Seconds that wait when sound begins, beyond what the device asks for at once; messages of jambonz have 0.02.
_CUSHION = 0.035
_CUSHION_STEP = 0.02
_MAX_CUSHION = 0.115
# What may wait beyond the cushion, as after a burst; the rest is skipped at once.
_EXCESS = 0.15
# How long the least that waits is watched before something is taken out or put in, and between what it shall be.
_WATCHED = 1.0
_LEAST, _MOST = 0.018, 0.035
_STEP = 0.01
_FADE = 0.005
# Silence that is shorter than this came from audio that was late, not from a pause.
_LATE = 0.15


class JitterBuffer:
    """Keep the audio of one call until the device takes it; to be used under a lock."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        import numpy as np

        self._rate = sample_rate
        self._frames: Frames = np.zeros((0, channels), np.float32)
        self._cushion = self._samples(_CUSHION)
        self._filling = True
        self._request = self._samples(_STEP)
        self._silence = self._samples(_LATE)
        self._runs_low = False
        self._watched = 0
        self._least = self._samples(_EXCESS)

    @property
    def waiting_samples(self) -> int:
        """Samples per channel that wait."""
        return len(self._frames)

    def add_frames(self, frames: "Frames") -> None:
        """Add audio; where it gets too much, the oldest goes."""
        import numpy as np

        self._frames = np.concatenate((self._frames, frames))
        if self._runs_low:
            self._runs_low = False
            self._splice(shorter=False)
        excess = len(self._frames) - self._cushion - self._request
        if excess > self._samples(_EXCESS):
            self._leave_out(excess)

    def take_frames(self, count: int) -> "Frames":
        """Return ``count`` samples of each channel, silence for those that are missing."""
        import numpy as np

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
        self._watch(count)
        return self._faded(taken, ends=False) if begins else taken

    def skip_backlog(self) -> None:
        """Leave out what would be late, because nothing was taken for a while."""
        excess = len(self._frames) - self._cushion - self._request
        if excess > 0:
            self._leave_out(excess)

    def _begin(self) -> None:
        self._filling = False
        if self._silence < self._samples(_LATE):
            self._cushion = min(self._cushion + self._samples(_CUSHION_STEP), self._samples(_MAX_CUSHION))
        self._watched, self._least = 0, len(self._frames)

    def _end(self, count: int) -> "Frames":
        """Return what is left, which must fade while there is something to fade."""
        import numpy as np

        taken, self._frames = self._faded(self._frames[:count], ends=True), self._frames[:0]
        missing = np.zeros((count - len(taken), taken.shape[1]), np.float32)
        self._filling, self._silence = True, len(missing)
        return np.concatenate((taken, missing))

    def _watch(self, count: int) -> None:
        """Even out what the two clocks differ by, when it has been seen for long enough."""
        self._watched += count
        self._least = min(self._least, len(self._frames))
        if self._watched < self._samples(_WATCHED):
            return
        if self._least > self._samples(_MOST):
            self._splice(shorter=True)
            self._cushion = max(self._cushion - self._samples(_STEP), self._samples(_CUSHION))
        # There may be too little to repeat now.
        self._runs_low = self._least < self._samples(_LEAST)
        self._watched, self._least = 0, len(self._frames)

    def _splice(self, *, shorter: bool) -> None:
        """Leave out or repeat about ``_STEP`` seconds, joined where the sound is most alike."""
        import numpy as np

        fade, frames = self._samples(_FADE), self._frames
        lags = range(self._samples(_STEP / 2), min(self._samples(_STEP * 1.5), len(frames) - fade))
        if not lags:
            return
        mono = frames.sum(axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(mono, fade)[lags.start : lags.stop]
        # Normalised, or the loudest would win, not the most alike.
        alike = windows @ mono[:fade] / (np.linalg.norm(windows, axis=1) + 1e-6)
        lag = lags.start + int(alike.argmax())
        early, late = frames[:fade], frames[lag : lag + fade]
        if shorter:
            self._frames = np.concatenate((self._mixed(early, late), frames[lag + fade :]))
        else:
            self._frames = np.concatenate((frames[:lag], self._mixed(late, early), frames[fade:]))

    def _leave_out(self, count: int) -> None:
        import numpy as np

        fade, frames = self._samples(_FADE), self._frames
        joint = self._mixed(frames[:fade], frames[count : count + fade])
        self._frames = np.concatenate((joint, frames[count + fade :]))

    def _mixed(self, first: "Frames", second: "Frames") -> "Frames":
        """Go over from one piece of sound to another of the same length."""
        rise = _ramp(len(first))
        mixed: Frames = first * (1 - rise) + second * rise
        return mixed

    def _faded(self, frames: "Frames", *, ends: bool) -> "Frames":
        """Let sound begin or end within a moment instead of at once, which would be a click."""
        faded = frames.copy()
        length = min(self._samples(_FADE), len(faded))
        if ends:
            faded[len(faded) - length :] *= _ramp(length)[::-1]
        else:
            faded[:length] *= _ramp(length)
        return faded

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._rate)


def _ramp(length: int) -> "Frames":
    """Return a rise from 0 to 1 for every channel."""
    import numpy as np

    return np.linspace(0, 1, length, dtype=np.float32)[:, np.newaxis]
