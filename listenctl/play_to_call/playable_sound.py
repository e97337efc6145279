"""The sounds that users name: files, tones, the microphone, a pipe."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import isfinite

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.sources.audio_sources import AudioSource, PcmSource, SourceKind, open_source
from listenctl.media.sources.pipe_source import NoAudioError, open_pipe, read_opening
from listenctl.media.sources.sound_file_source import SoundFileInfo, read_sound_info
from listenctl.play_to_call.trim_and_gain import SoundEdits, edit_source

CLIP_RATE, WIDE_CLIP_RATE = 8000, 16000
"""Raw clips at other rates become noise or nothing (listenctl-protocol(7) 5.1)."""


async def _needs_no_check() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayableSound:
    """A sound that isn't open yet."""

    name: str
    open: Callable[[int], Awaitable[AudioSource]]  # opens the sound at a rate in Hz; raises what ``open_source`` raises
    clip_rate: int = CLIP_RATE
    seconds: float | None = None
    endless: bool = False  # it has no end, so it can't be played as clips
    check: Callable[[], Awaitable[None]] = _needs_no_check  # waits until it can be played; raises UsageError

    @classmethod
    def computed(
        cls, name: str, samples_at: Callable[[int], bytes], *, seconds: float | None = None
    ) -> "PlayableSound":
        async def open_at(sample_rate: int) -> AudioSource:
            return PcmSource(samples_at(sample_rate))

        return cls(name=name, open=open_at, seconds=seconds)


async def prepare_sound(spec: str, edits: SoundEdits | None = None) -> PlayableSound:
    edits = edits or SoundEdits()
    _check(spec, edits)
    kind = SourceKind.of(spec)
    facts = await asyncio.to_thread(read_sound_info, spec) if kind is SourceKind.FILE else None
    if facts is not None and (edits.channel or 0) >= facts.channels:
        count = f"{facts.channels} channel{'' if facts.channels == 1 else 's'}"
        raise UsageError(f"{spec}: has {count}, so there is no --channel {(edits.channel or 0) + 1}")
    length = edits.length(None if facts is None else facts.seconds)
    if edits.fade and length is None:
        raise UsageError(f"{spec}: its length is unknown; give --duration with --fade")
    if facts is not None and not facts.seconds:
        raise UsageError(f"{spec}: holds no audio")
    if facts is not None and not edits.loop and edits.start >= facts.seconds:
        raise UsageError(f"{spec}: is {facts.seconds:.2f} s long, so nothing follows --start {edits.start:g}")

    piped = _Stdin(edits.channel or 0) if kind is SourceKind.PIPE else None

    async def open_at(sample_rate: int) -> AudioSource:
        try:
            source = await (
                piped.open(sample_rate)
                if piped
                else open_source(spec, sample_rate, loop=edits.loop, channel=edits.channel)
            )
        except ListenctlError as exc:
            # A microphone that can't be opened is the user's choice, like a file that can't be read.
            raise UsageError(str(exc)) from exc
        return edit_source(source, sample_rate, edits, length)

    return PlayableSound(
        name=spec,
        open=open_at,
        clip_rate=_clip_rate(facts),
        seconds=length,
        endless=edits.duration is None and (edits.loop or kind.is_endless),
        check=piped.check if piped else _needs_no_check,
    )


class _Stdin:
    """Standard input, whose first bytes are checked before anything is sent."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._opening = b""

    async def check(self) -> None:
        self._opening = await read_opening(0, channel=self._channel)

    async def open(self, sample_rate: int) -> AudioSource:
        # All of it is played, however slowly it comes; while it stalls, the caller hears silence.
        pipe = await open_pipe(0, sample_rate, channel=self._channel, patience=0, lossless=True, opening=self._opening)
        return _Piped(pipe)


class _Piped:
    """A pipe; that it is empty is wrong usage, even if that is only found later."""

    def __init__(self, source: AudioSource) -> None:
        self._source = source

    async def read(self, samples: int) -> bytes:
        try:
            return await self._source.read(samples)
        except NoAudioError as exc:
            raise UsageError(str(exc)) from exc

    async def close(self) -> None:
        await self._source.close()


def _check(spec: str, edits: SoundEdits) -> None:
    for name in ("gain_db", "fade", "start", "duration"):
        if not isfinite(getattr(edits, name) or 0.0):
            raise UsageError(f"--{name.removesuffix('_db')} must be a number")
    kind = SourceKind.of(spec)
    if edits.channel and kind.is_endless:
        raise UsageError(f"{spec}: has only one channel; remove --channel")
    if edits.loop and kind not in (SourceKind.FILE, SourceKind.SPEECH):
        raise UsageError(f"{spec}: can't be repeated; remove --loop")


def _clip_rate(facts: SoundFileInfo | None) -> int:
    return WIDE_CLIP_RATE if facts is not None and facts.sample_rate > CLIP_RATE else CLIP_RATE
