"""The sounds that users name: files, tones, the microphone, what is piped in."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import isfinite

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.sources.audio_sources import AudioSource, PcmSource, open_source
from listenctl.media.sources.pipe_source import open_pipe
from listenctl.media.sources.sound_file_source import SoundFileInfo, read_sound_info
from listenctl.play_to_call.trim_and_gain import SoundEdits, edit_source

CLIP_RATE, WIDE_CLIP_RATE = 8000, 16000
"""Raw clips at other rates become noise or nothing (protocol.md 5.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayableSound:
    """
    A sound that isn't open yet.

    Attributes:
        name: for people.
        open: opens it at a rate in Hz; raises as ``media.sources.open_source`` does.
        clip_rate: at which it becomes clips.
        seconds: how long it is, None if that is only known at its end.
        endless: it has no end, so it can't become clips.
    """

    name: str
    open: Callable[[int], Awaitable[AudioSource]]
    clip_rate: int = CLIP_RATE
    seconds: float | None = None
    endless: bool = False

    @classmethod
    def computed(
        cls, name: str, samples_at: Callable[[int], bytes], *, seconds: float | None = None
    ) -> "PlayableSound":
        """Return a sound whose samples at any rate, 16 bits and little-endian, ``samples_at`` computes."""

        async def open_at(sample_rate: int) -> AudioSource:
            return PcmSource(samples_at(sample_rate))

        return cls(name=name, open=open_at, seconds=seconds)


STDIN = "-"
_NO_FILES = ("silence", "speech", STDIN)


async def prepare_sound(spec: str, shaping: SoundEdits | None = None) -> PlayableSound:
    """
    Return the sound that ``spec`` names, as ``media.sources.open_source`` reads it.

    Raises:
        UsageError: there is no such file, it is no sound, it holds no sample, or it can't be changed so.
    """
    shaping = shaping or SoundEdits()
    _check(spec, shaping)
    facts = await asyncio.to_thread(read_sound_info, spec) if _is_file(spec) else None
    if facts is not None and (shaping.channel or 0) >= facts.channels:
        count = f"{facts.channels} channel{'' if facts.channels == 1 else 's'}"
        raise UsageError(f"{spec}: has {count}, so --channel {(shaping.channel or 0) + 1} is none")
    length = shaping.length(None if facts is None else facts.seconds)
    if shaping.fade and length is None:
        raise UsageError(f"{spec}: where it ends isn't known; give --duration beside --fade")
    if facts is not None and not facts.seconds:
        raise UsageError(f"{spec}: holds no audio")
    if facts is not None and not shaping.loop and shaping.start >= facts.seconds:
        raise UsageError(f"{spec}: is {facts.seconds:.2f} s long, so nothing is left from --start {shaping.start:g} on")

    async def open_at(sample_rate: int) -> AudioSource:
        try:
            source = await _open(spec, sample_rate, shaping)
        except ListenctlError as exc:
            # A microphone that can't be opened is as much the user's choice as a file that can't be read.
            raise UsageError(str(exc)) from exc
        return edit_source(source, sample_rate, shaping, length)

    return PlayableSound(
        name=spec,
        open=open_at,
        clip_rate=_clip_rate(facts),
        seconds=length,
        endless=shaping.duration is None and _is_endless(spec, shaping),
    )


class _Piped:
    """What is piped in; that it holds nothing is wrong usage, also where that shows only later."""

    def __init__(self, source: AudioSource) -> None:
        self._source = source

    async def read(self, samples: int) -> bytes:
        try:
            return await self._source.read(samples)
        except ListenctlError as exc:
            raise UsageError(str(exc)) from exc

    async def close(self) -> None:
        await self._source.close()


async def _open(spec: str, sample_rate: int, shaping: SoundEdits) -> AudioSource:
    if spec == STDIN:
        # It is played whole, as slowly as it may come; where it stalls, the caller hears a pause all the same.
        return _Piped(await open_pipe(0, sample_rate, channel=shaping.channel or 0, patience=0, lossless=True))
    return await open_source(spec, sample_rate, loop=shaping.loop, channel=shaping.channel)


def _check(spec: str, shaping: SoundEdits) -> None:
    for name in ("gain_db", "fade", "start", "duration"):
        if not isfinite(getattr(shaping, name) or 0.0):
            raise UsageError(f"--{name.removesuffix('_db')} must be a number")
    if shaping.channel and _is_endless(spec, SoundEdits()):
        raise UsageError(f"{spec}: has one channel only; leave out --channel")
    if shaping.loop and not (_is_file(spec) or spec == "speech"):
        raise UsageError(f"{spec}: can't begin again; leave out --loop")


def _is_file(spec: str) -> bool:
    return spec not in _NO_FILES and spec.partition(":")[0] not in ("tone", "mic")


def _is_endless(spec: str, shaping: SoundEdits) -> bool:
    return shaping.loop or spec == "silence" or spec.partition(":")[0] in ("tone", "mic")


def _clip_rate(facts: SoundFileInfo | None) -> int:
    return WIDE_CLIP_RATE if facts is not None and facts.sample_rate > CLIP_RATE else CLIP_RATE
