"""What a user wants changed about a source: which part of it is heard, how loud, and with which edges."""

from dataclasses import dataclass

from listenctl.media.sources.audio_sources import AudioSource
from listenctl.protocol.audio import SAMPLE_BYTES

_SKIP_SAMPLES = 16384
_FULL_SCALE = 32768


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundEdits:
    """
    The changes.

    Attributes:
        gain_db: what is too loud afterwards is clipped.
        fade: seconds in which it becomes louder at its beginning and quieter at its end.
        start: seconds of its beginning that are left out.
        duration: seconds after which it ends, None for its own end.
        loop: begin again at the end.
        channel: which one of several, from 0; None mixes those of a file.
    """

    gain_db: float = 0.0
    fade: float = 0.0
    start: float = 0.0
    duration: float | None = None
    loop: bool = False
    channel: int | None = None

    def length(self, own: float | None) -> float | None:
        """Return the seconds that are left of a source of ``own`` seconds; None stands for unknown, or for no end."""
        if own is not None and not self.loop:
            rest = max(0.0, own - self.start)
            return rest if self.duration is None else min(rest, self.duration)
        return self.duration


def edit_source(source: AudioSource, sample_rate: int, shaping: SoundEdits, length: float | None) -> AudioSource:
    """
    Return a source with the changes made.

    Args:
        length: its seconds afterwards, as far as known; a fade needs them.
    """
    start = round(shaping.start * sample_rate)
    end = None if shaping.duration is None else round(shaping.duration * sample_rate)
    if start or end is not None:
        source = _TrimmedSource(source, start, end)
    if shaping.gain_db or shaping.fade:
        total = None if length is None else round(length * sample_rate)
        source = _GainSource(source, 10 ** (shaping.gain_db / 20), round(shaping.fade * sample_rate), total)
    return source


class _TrimmedSource:
    """What of a source follows its first ``start`` samples, ``length`` samples at most."""

    def __init__(self, source: AudioSource, start: int, length: int | None) -> None:
        self._source = source
        self._skip = start
        self._left = length

    async def read(self, samples: int) -> bytes:
        while self._skip:
            skipped = await self._source.read(min(self._skip, _SKIP_SAMPLES))
            self._skip = self._skip - len(skipped) // SAMPLE_BYTES if skipped else 0
        if self._left is None:
            return await self._source.read(samples)
        if not self._left:
            return b""
        found = await self._source.read(min(samples, self._left))
        self._left -= len(found) // SAMPLE_BYTES
        return found

    async def close(self) -> None:
        await self._source.close()


class _GainSource:
    """A source with another level, which rises in the first and falls in the last ``fade`` samples."""

    def __init__(self, source: AudioSource, gain: float, fade: int, length: int | None) -> None:
        self._source = source
        self._gain = gain
        self._fade = fade
        self._length = length
        self._at = 0

    async def read(self, samples: int) -> bytes:
        import numpy as np

        pcm = await self._source.read(samples)
        count = len(pcm) // SAMPLE_BYTES
        levels = np.full(count, self._gain)
        if self._fade:
            at = np.arange(self._at, self._at + count)
            edge = at if self._length is None else np.minimum(at, np.maximum(0, self._length - 1 - at))
            levels *= np.minimum(1.0, edge / self._fade)
        self._at += count
        louder = np.frombuffer(pcm, "<i2") * levels
        return bytes(np.rint(louder).clip(-_FULL_SCALE, _FULL_SCALE - 1).astype("<i2").tobytes())

    async def close(self) -> None:
        await self._source.close()
