"""The plan of a load: how many calls, of which formats, how fast they arrive and how long they last."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import gcd

from listenctl.errors import UsageError
from listenctl.load.load_thresholds import Threshold
from listenctl.net.server_address import CallTarget
from listenctl.protocol.audio import MAX_RATE, MIN_RATE, MIX_CHANNELS, AudioFormat

DEFAULT_ARRIVALS = 50.0
_ENTRY = re.compile(r"\s*(\d{1,6})(?::([a-z]+))?(?:\*(\d{1,6}))?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class CallFormat:
    sample_rate: int = 8000
    mix_type: str = "mono"

    def __str__(self) -> str:
        return f"{self.sample_rate}:{self.mix_type}"

    @property
    def audio_format(self) -> AudioFormat:
        return AudioFormat(self.sample_rate, MIX_CHANNELS[self.mix_type])


@dataclass(frozen=True, slots=True)
class FormatShare:
    format: CallFormat
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """A load to place."""

    target: CallTarget
    calls: int
    hold: float
    arrivals: float = DEFAULT_ARRIVALS
    mix: Sequence[FormatShare] = (FormatShare(CallFormat()),)
    stream_rate: int | None = None  # of the audio that the server streams; None if it plays clips
    echo: bool = False  # send a pattern and expect it back
    thresholds: Sequence[Threshold] = ()
    timeout: float | None = None  # seconds after which all calls are hung up; None for no limit

    def format(self, number: int) -> CallFormat:
        """Return the format of a call; any run of calls has about the shares of the whole."""
        rounds = sum(share.weight for share in self.mix)
        # A step that is coprime to the round visits all of it, in an order that mixes neighbours.
        step = next(step for step in range(max(1, round(rounds * 0.618)), rounds + 2) if gcd(step, rounds) == 1)
        place = number * step % rounds
        ends = accumulate(share.weight for share in self.mix)
        return next(share.format for share, end in zip(self.mix, ends, strict=True) if place < end)

    def echo_rate(self, sample_rate: int) -> int | None:
        return self.stream_rate or (sample_rate if self.echo else None)


def parse_mix(text: str) -> tuple[FormatShare, ...]:
    return tuple(_share(entry, text) for entry in text.split(","))


def _share(entry: str, text: str) -> FormatShare:
    found = _ENTRY.fullmatch(entry)
    if found is None:
        raise UsageError(f"--mix {text!r}: not a list of RATE:TYPE*SHARE, such as 8000:mono*3,16000:stereo")
    rate, mix_type, weight = int(found[1]), found[2] or "mono", int(found[3] or 1)
    if mix_type not in MIX_CHANNELS:
        raise UsageError(f"--mix {text!r}: unknown type {mix_type}; use {', '.join(MIX_CHANNELS)}")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise UsageError(f"--mix {text!r}: {rate} is not a sample rate in Hz")
    if not weight:
        raise UsageError(f"--mix {text!r}: a share must be at least 1; remove {rate}:{mix_type}")
    return FormatShare(CallFormat(rate, mix_type), weight)
