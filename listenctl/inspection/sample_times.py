"""
When each sample belongs, in seconds since the session began. Messages arrive irregularly, so audio from jambonz is
placed by counting samples, and audio of the application as the caller heard it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat
from listenctl.protocol.gaps.gap import Gap

# Simulated playout counts time in floats, so adjacent pieces may seem to be this far apart.
_MAX_ROUNDING = 0.002
_ORIGIN_SECONDS = 10.0
MAX_SILENCE = 21_600.0
"""Seconds of silence in the audio of one side."""


@dataclass(frozen=True, slots=True)
class SampleSpan:
    """``length`` samples per channel from ``position`` on, the first of which belongs to time ``at``."""

    at: float
    position: int
    length: int


class _SilenceLimit:
    """Bound the total silence: times in a damaged capture may be years apart."""

    def __init__(self) -> None:
        self._left = MAX_SILENCE
        self.exceeded = False

    def take_samples(self, samples: int, sample_rate: int) -> int:
        """Return how many of the samples are within the limit."""
        most = int(self._left * sample_rate)
        self.exceeded = self.exceeded or samples > most
        samples = min(samples, most)
        self._left -= samples / sample_rate
        return samples


class SampleTimes:
    """Derive when each sample from jambonz was captured."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._missing: list[tuple[int, int]] = []
        self._limit = _SilenceLimit()
        self.samples = 0  # per channel, so far
        self._origin: float | None = None

    @property
    def origin(self) -> float:
        """When the first sample was captured; negative if that was before the handshake."""
        return min(max(self._origin or 0.0, -MAX_SILENCE), MAX_SILENCE)

    @property
    def lacks_silence(self) -> bool:
        """Whether there were more than ``MAX_SILENCE`` of gaps."""
        return self._limit.exceeded

    @property
    def end(self) -> float:
        return self.time_of(self.samples)

    @property
    def settled(self) -> bool:
        """Whether the origin is final."""
        # The least late audio shows it best, until audio is missing or the clocks drift apart.
        found = bool(self._missing) or self._format.duration_of(self.samples) >= _ORIGIN_SECONDS
        return found and self._origin is not None

    def add_audio(self, at: float, samples: int) -> None:
        """Take audio that arrived ``at``, and was captured before."""
        self.samples += samples
        if not self.settled:
            origin = at - self._format.duration_of(self.samples)
            self._origin = origin if self._origin is None else min(self._origin, origin)

    def add_messages(self, times: Sequence[float], samples: int) -> None:
        """Take messages of ``samples`` each that arrived at these times."""
        if self.settled:
            self.samples += samples * len(times)
            return
        for at in times:
            self.add_audio(at, samples)

    def add_gap(self, gap: Gap) -> None:
        """Take a gap, or a burst with audio that had been counted as missing."""
        if gap.missing > 0:
            self._missing.append((gap.position, self._limit.take_samples(gap.missing, self._format.sample_rate)))
        back = -gap.missing
        while back > 0 and self._missing:
            position, missing = self._missing.pop()
            if missing > back:
                self._missing.append((position, missing - back))
            back -= missing

    def change_format(self, audio_format: AudioFormat) -> None:
        """Interpret all bytes so far in another format, because the metadata came late."""
        self.samples = self.samples * self._format.frame_bytes // audio_format.frame_bytes
        self._origin = None
        self._format = audio_format
        self._missing.clear()

    def time_of(self, position: int) -> float:
        missing = sum(missing for before, missing in self._missing if before <= position)
        return self.origin + self._format.duration_of(position + missing)

    def spans(self) -> Iterator[SampleSpan]:
        edges = sorted({min(position, self.samples) for position, _ in self._missing} | {0, self.samples})
        for begin, end in pairwise(edges):
            yield SampleSpan(self.time_of(begin), begin, end - begin)


class AudioTrack:
    """Place pieces of mono audio one after another, with silence in between, from the handshake on."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._begins = 0.0
        self.samples = 0
        self._limit = _SilenceLimit()

    @property
    def lacks_silence(self) -> bool:
        """Whether there would have been more than ``MAX_SILENCE``."""
        return self._limit.exceeded

    def place_audio(self, at: float, data: bytes) -> int:
        """Take a piece; return the samples of silence before it."""
        gap = round((at - self._begins) * self.sample_rate) - self.samples
        if gap <= _MAX_ROUNDING * self.sample_rate:
            # A piece that begins before the end of the previous one follows it.
            gap = 0
        silence = self._limit.take_samples(gap, self.sample_rate)
        # After the limit, audio follows directly although its time is later.
        self._begins += (gap - silence) / self.sample_rate
        self.samples += silence + len(data) // SAMPLE_BYTES
        return silence
