"""What is played: something that can be opened at the rate that a call wants."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from listenctl.media.sources import PcmSource, Source

CLIP_RATE, WIDE_CLIP_RATE = 8000, 16000
"""Raw clips at other rates become noise or nothing (protocol.md 5.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
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
    open: Callable[[int], Awaitable[Source]]
    clip_rate: int = CLIP_RATE
    seconds: float | None = None
    endless: bool = False

    @classmethod
    def computed(cls, name: str, samples_at: Callable[[int], bytes], *, seconds: float | None = None) -> "Sound":
        """Return a sound whose samples at any rate, 16 bits and little-endian, ``samples_at`` computes."""

        async def open_at(sample_rate: int) -> Source:
            return PcmSource(samples_at(sample_rate))

        return cls(name=name, open=open_at, seconds=seconds)
