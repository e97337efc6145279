"""
Where in time sound belongs: what jambonz sent, with the gaps in it, and what the caller heard of the application.

Messages come when they come; the audio in them is as long as it is. So what jambonz sent is placed by its samples, and
moves only where some are missing. Times are seconds since the session began.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat
from listenctl.protocol.gaps.gap_ledger import Gap

# The player counts time in floats, and pieces that follow each other may seem to be so much apart.
_SEAM = 0.002
_FINDING_ORIGIN = 10.0
_MOST_SILENCE = 86_400.0


@dataclass(frozen=True, slots=True)
class SampleSpan:
    """Samples per channel, ``length`` of them from ``position`` on, that belong to ``at``."""

    at: float
    position: int
    length: int


class _Silence:
    """Bound the silence between sounds: the times in a damaged capture may be years apart."""

    def __init__(self) -> None:
        self._left = _MOST_SILENCE

    def take(self, samples: int, sample_rate: int) -> int:
        """Return how many of so many samples of silence there may be."""
        samples = min(samples, int(self._left * sample_rate))
        self._left -= samples / sample_rate
        return samples


class SampleTimes:
    """
    Know when each sample from jambonz was captured.

    Attributes:
        samples: per channel, so far.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._missing: list[tuple[int, int]] = []
        self._silence = _Silence()
        self.samples = 0
        self._origin: float | None = None

    @property
    def origin(self) -> float:
        """When the first sample was captured; below 0 if that was before the handshake."""
        return min(max(self._origin or 0.0, -_MOST_SILENCE), _MOST_SILENCE)

    @property
    def end(self) -> float:
        """When the last sample was captured."""
        return self.time_of(self.samples)

    @property
    def settled(self) -> bool:
        """Whether the origin stays as it is."""
        # The least late audio says it best, while nothing is missing and the clocks haven't drifted apart.
        found = bool(self._missing) or self._format.duration(self.samples) >= _FINDING_ORIGIN
        return found and self._origin is not None

    def add(self, at: float, samples: int) -> None:
        """Take audio that came ``at``; it was captured before."""
        self.samples += samples
        if not self.settled:
            origin = at - self._format.duration(self.samples)
            self._origin = origin if self._origin is None else min(self._origin, origin)

    def gap(self, gap: Gap) -> None:
        """Take notice that audio is missing, or that some came after all that had been given up."""
        if gap.missing > 0:
            self._missing.append((gap.position, self._silence.take(gap.missing, self._format.sample_rate)))
        back = -gap.missing
        while back > 0 and self._missing:
            position, missing = self._missing.pop()
            if missing > back:
                self._missing.append((position, missing - back))
            back -= missing

    def change_format(self, audio_format: AudioFormat) -> None:
        """Read all bytes so far as another format, because the metadata came late."""
        self.samples = self.samples * self._format.frame_bytes // audio_format.frame_bytes
        # What was said about their time was wrong.
        self._origin = None
        self._format = audio_format
        self._missing.clear()

    def time_of(self, position: int) -> float:
        """Return when a sample was captured."""
        missing = sum(missing for before, missing in self._missing if before <= position)
        return self.origin + self._format.duration(position + missing)

    def spans(self) -> Iterator[SampleSpan]:
        """Return all audio, in pieces with silence between them."""
        edges = sorted({min(position, self.samples) for position, _ in self._missing} | {0, self.samples})
        for begin, end in pairwise(edges):
            yield SampleSpan(self.time_of(begin), begin, end - begin)


class AudioTrack:
    """
    Lay pieces of mono sound one after the other, with silence where there is none.

    Args:
        begins: time of the first sample.
    """

    def __init__(self, sample_rate: int, begins: float = 0.0) -> None:
        self.sample_rate = sample_rate
        self.begins = begins
        self.samples = 0
        self._silence = _Silence()

    def place(self, at: float, data: bytes) -> int:
        """Take a piece; return how many samples of silence come before it."""
        silence = round((at - self.begins) * self.sample_rate) - self.samples
        if silence <= _SEAM * self.sample_rate:
            # What begins before the piece before has ended follows it.
            silence = 0
        taken = self._silence.take(silence, self.sample_rate)
        # What follows comes right after, though its time is later.
        self.begins += (silence - taken) / self.sample_rate
        silence = taken
        self.samples += silence + len(data) // SAMPLE_BYTES
        return silence
