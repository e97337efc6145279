"""Find what the application plays in what jambonz sends: an echo from the caller's end, or swapped channels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from listenctl.inspection.call_observers import AudioRun
from listenctl.inspection.sample_times import SampleTimes
from listenctl.inspection.sound_checks.correlation import BLOCK, Correlator, Similarity
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap_ledger import Gap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.int16]

# What the application plays may be known that much later, in seconds: first it has to be told how it is played.
_PATIENCE = 12.0


class EchoDetector:
    """
    Compare both sides of one call, in time.

    Attributes:
        listens: the application plays something, so that sound is worth keeping.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._places = SampleTimes(audio_format)
        self._received = [_Blocks(audio_format.sample_rate) for _ in range(audio_format.channels)]
        self._heard: _Blocks | None = None
        self._correlators: list[Correlator] = []
        self._done = False
        self.listens = False

    def receive(self, at: float, position: int, data: bytes) -> None:
        """Take what jambonz sent."""
        self._places.add(at, self._format.samples(len(data)))
        if not self.listens or self._done:
            return
        import numpy as np

        frames = np.frombuffer(data, "<i2").reshape(-1, self._format.channels)
        begins = self._places.time_of(position)
        for channel, blocks in enumerate(self._received):
            blocks.put(begins, frames[:, channel])
        self._settle(at - _PATIENCE)

    def receive_all(self, audio: AudioRun) -> None:
        """Take several messages of jambonz."""
        if (not self.listens or self._done) and self._places.settled:
            self._places.add(audio.times[-1], audio.samples * len(audio.times))
            return
        if not self.listens:
            for at in audio.times:
                self._places.add(at, audio.samples)
            return
        size = audio.samples * self._format.frame_bytes
        for number, at in enumerate(audio.times):
            data = audio.data[number * size : (number + 1) * size]
            self.receive(at, audio.position + number * audio.samples, data)

    def gap(self, gap: Gap) -> None:
        """Take notice of what is missing."""
        self._places.gap(gap)

    def hear(self, at: float, sample_rate: int, data: bytes) -> None:
        """Take what the caller hears of the application."""
        import numpy as np

        if self._heard is None:
            self._heard = _Blocks(sample_rate)
            self._correlators = [Correlator(sample_rate, self._format.sample_rate) for _ in self._received]
        if not self._done:
            self._heard.put(at, np.frombuffer(data, "<i2"))

    def finish(self) -> Sequence[Similarity | None]:
        """Return how much each channel repeats of what the caller heard."""
        self._settle(float("inf"))
        return [correlator.result() for correlator in self._correlators]

    def _settle(self, until: float) -> None:
        """Compare the blocks that have ended by then, and forget them."""
        for number in self._received[0].ended(until):
            heard = self._heard.take(number) if self._heard else None
            for channel, blocks in enumerate(self._received):
                received = blocks.take(number)
                if heard is not None and received is not None:
                    self._correlators[channel].compare(heard, received)
        self._done = bool(self._correlators) and all(correlator.done for correlator in self._correlators)


class _Blocks:
    """Sound in blocks of ``BLOCK`` seconds, with silence where there is none."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._size = round(BLOCK * sample_rate)
        self._blocks: dict[int, Samples] = {}
        self._taken = -1

    def put(self, at: float, samples: "Samples") -> None:
        """Lay samples down where they belong; what comes too late is left out."""
        import numpy as np

        begin = round(at * self._rate)
        while len(samples):
            number, offset = divmod(begin, self._size)
            part = samples[: self._size - offset]
            if number > self._taken:
                block = self._blocks.setdefault(number, np.zeros(self._size, np.int16))
                block[offset : offset + len(part)] = part
            begin, samples = begin + len(part), samples[len(part) :]

    def ended(self, until: float) -> list[int]:
        """Return the numbers of the blocks that are over by then."""
        return sorted(number for number in self._blocks if (number + 1) * BLOCK <= until)

    def take(self, number: int) -> "Samples | None":
        """Return a block and forget it and those before; None if there is nothing in it."""
        block = self._blocks.pop(number, None)
        self._taken = number
        for before in [other for other in self._blocks if other < number]:
            del self._blocks[before]
        return block
