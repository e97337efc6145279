"""Edits of a source: which part of it is heard, how loud, and with which fades."""

from dataclasses import dataclass

from listenctl.media.sources.audio_sources import AudioSource
from listenctl.protocol.audio import SAMPLE_BYTES

_SKIP_SAMPLES = 16384
_FULL_SCALE = 32768


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundEdits:
    """Edits of a source."""

    gain_db: float = 0.0  # samples that get too loud are clipped
    fade: float = 0.0
    start: float = 0.0
    duration: float | None = None
    loop: bool = False
    channel: int | None = None  # number of a channel from 0; None mixes the channels of a file

    def length(self, own: float | None) -> float | None:
        """Return the seconds that remain of a source of ``own`` seconds; None means unknown or endless."""
        if own is not None and not self.loop:
            rest = max(0.0, own - self.start)
            return rest if self.duration is None else min(rest, self.duration)
        return self.duration


def edit_source(source: AudioSource, sample_rate: int, edits: SoundEdits, length: float | None) -> AudioSource:
    """Return the edited source; ``length`` is its new length in seconds, None if unknown, and a fade needs it."""
    start = round(edits.start * sample_rate)
    end = None if edits.duration is None else round(edits.duration * sample_rate)
    if start or end is not None:
        source = _TrimmedSource(source, start, end)
    if edits.gain_db or edits.fade:
        total = None if length is None else round(length * sample_rate)
        source = _GainSource(source, 10 ** (edits.gain_db / 20), round(edits.fade * sample_rate), total)
    return source


class _TrimmedSource:
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
