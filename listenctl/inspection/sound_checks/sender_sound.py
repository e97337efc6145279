"""
What can be told of a call by its sound: how loud and how silent it is, and faults that no message shows.

It is measured in stretches while it arrives, however long the call is. What a verdict rests on stands in its sentence,
and how sure it is in its confidence, 0 to 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from listenctl.events import Report
from listenctl.inspection.sound_checks.channel_checks import ChannelMeasurements
from listenctl.inspection.sound_checks.channel_pair_checks import ChannelPairComparison
from listenctl.inspection.sound_checks.encoding_checks import BLOCKS, EncodingCounts
from listenctl.inspection.sound_checks.sound_verdicts import (
    SIDES,
    SoundFault,
    judge_channel,
    judge_pair,
    judge_readings,
    judge_silence,
)
from listenctl.media.dtmf_detector import MIN_DTMF_RATE, CallDtmfDetector, DtmfTone
from listenctl.protocol.audio import AudioFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.int16]

STRETCH = 2.0
"""Seconds that are looked at together: four blocks."""
MAX_KEYS = 1000
LOWEST_RATE, HIGHEST_RATE = 1000, 192_000
"""Of rates between these, sound can be told anything about; a peer may say any number."""


@dataclass(frozen=True, slots=True)
class SenderSoundReport:
    """What was found; ``channels`` from the left, ``keys`` that were heard in order."""

    channels: tuple[ChannelMeasurements, ...]
    keys: tuple[DtmfTone, ...]
    verdicts: tuple[SoundFault, ...]

    def to_json(self) -> Report:
        """Return it as it stands in `listenctl-inspect(5)`."""
        return {
            "channels": [_describe(number, meter) for number, meter in enumerate(self.channels, 1)],
            "keys": [
                {"digit": key.digit, "channel": key.channel, "position": key.position, "duration_ms": key.duration_ms}
                for key in self.keys
            ],
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
        }


class SenderSoundChecks:
    """
    Check the sound of one sender.

    Args:
        name: of it, in sentences.
        detect_keys: listen for DTMF, which takes longer than all else.
    """

    def __init__(self, audio_format: AudioFormat, *, name: str = "the audio", detect_keys: bool = False) -> None:
        self._format = audio_format
        self._name = name
        rate = audio_format.sample_rate
        self._usable = LOWEST_RATE <= rate <= HIGHEST_RATE
        self._meters = tuple(ChannelMeasurements(rate) for _ in range(audio_format.channels))
        self._readings = EncodingCounts()
        self._pair = ChannelPairComparison(rate) if audio_format.channels == 2 and self._usable else None
        listens = detect_keys and self._usable and rate >= MIN_DTMF_RATE
        self._listener = CallDtmfDetector(audio_format, 0) if listens else None
        self._keys: list[DtmfTone] = []
        self._stretch_bytes = max(1, round(STRETCH / BLOCKS * rate)) * BLOCKS * audio_format.frame_bytes
        self._pieces: list[bytes] = []
        self._held = 0
        self._position = 0

    def feed(self, data: bytes) -> list[DtmfTone]:
        """Take whole sample frames; return the keys that they bring to an end."""
        self._pieces.append(data)
        self._held += len(data)
        return self._take_stretches() if self._held >= self._stretch_bytes else []

    def finish(self) -> SenderSoundReport:
        """Take what is left and say what was found."""
        rest = b"".join(self._pieces)
        if rest:
            self._take(rest)
        if self._listener:
            self._keep(self._listener.end_audio())
        return SenderSoundReport(self._meters, tuple(self._keys), tuple(self._judge()))

    def _take_stretches(self) -> list[DtmfTone]:
        data, size = b"".join(self._pieces), self._stretch_bytes
        whole = len(data) - len(data) % size
        keys = [key for at in range(0, whole, size) for key in self._take(data[at : at + size])]
        self._pieces, self._held = [data[whole:]], len(data) - whole
        return keys

    def _take(self, stretch: bytes) -> Sequence[DtmfTone]:
        import numpy as np

        frames = np.frombuffer(stretch, "<i2").reshape(-1, self._format.channels)
        if self._usable:
            for channel, meter in enumerate(self._meters):
                meter.add(np.ascontiguousarray(frames[:, channel]))
            self._readings.add(self._position, frames, self._stretch_bytes // BLOCKS // self._format.frame_bytes)
        if self._pair:
            self._pair.add(*(np.ascontiguousarray(frames[:, channel]) for channel in (0, 1)))
        self._position += len(frames)
        return self._keep(self._listener.feed(stretch)) if self._listener else ()

    def _keep(self, keys: list[DtmfTone]) -> list[DtmfTone]:
        self._keys += keys[: MAX_KEYS - len(self._keys)]
        return keys

    def _judge(self) -> Iterator[SoundFault]:
        yield from judge_readings(self._readings, self._format.sample_rate, self._name)
        yield from judge_silence(self._meters, self._name)
        worst = self._readings.worst
        # What is read in the wrong way is noise, of which nothing else can be said.
        if worst is not None and self._readings.blocks[worst] * 2 >= self._readings.looked_at:
            return
        for number, meter in enumerate(self._meters, 1):
            name = self._name if len(self._meters) == 1 else f"the {SIDES[number - 1]} channel"
            yield from judge_channel(number, meter, name)
        if self._pair:
            yield from judge_pair(self._meters, self._pair.identical, self._pair.similarity())


def _describe(number: int, meter: ChannelMeasurements) -> Report:
    return {
        "channel": number,
        "samples": meter.samples,
        "rms_db": round(meter.rms_db, 1),
        "peak_db": round(meter.peak_db, 1),
        "clipping": round(meter.clipping, 5),
        "offset": round(meter.offset, 5),
        "silence": round(meter.silence, 4),
        "sound_seconds": round(meter.sound, 2),
    }
