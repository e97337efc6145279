"""Keys that are heard on the channels of one call."""

from dataclasses import dataclass

from listenctl.media.dtmf_detector import DtmfDetector, Tone
from listenctl.protocol.audio import AudioFormat

MIN_RATE = 8000
"""Below, the highest of the tones can't be told apart."""


@dataclass(frozen=True, slots=True)
class HeardKey:
    """
    A key that was heard.

    Attributes:
        channel: counted from 1, the left one.
        position: the sample, per channel, at which it began.
        duration_ms: as jambonz would say it.
    """

    digit: str
    channel: int
    position: int
    duration_ms: int


class KeyListener:
    """
    Find keys in whole sample frames, channel by channel.

    Args:
        audio_format: with a rate of ``MIN_RATE`` or more.
        position: of the first sample that will be fed.
    """

    def __init__(self, audio_format: AudioFormat, position: int) -> None:
        self._start = position
        self._channels = audio_format.channels
        self._detectors = [DtmfDetector(audio_format.sample_rate) for _ in range(audio_format.channels)]

    def feed(self, data: bytes) -> list[HeardKey]:
        """Return the keys that ``data`` brings to an end, in the order in which they began."""
        return self._keys(
            [detector.feed(part) for detector, part in zip(self._detectors, self._split(data), strict=True)]
        )

    def finish(self) -> list[HeardKey]:
        """Return the keys that the end of the audio cuts off."""
        return self._keys([detector.finish() for detector in self._detectors])

    def _split(self, data: bytes) -> list[bytes]:
        if self._channels == 1:
            return [data]
        import numpy as np

        frames = np.frombuffer(data, "<i2").reshape(-1, self._channels)
        return [frames[:, channel].tobytes() for channel in range(self._channels)]

    def _keys(self, tones: list[list[Tone]]) -> list[HeardKey]:
        keys = [
            HeardKey(tone.digit, number, self._start + tone.position, tone.duration_ms)
            for number, heard in enumerate(tones, 1)
            for tone in heard
        ]
        return sorted(keys, key=lambda key: key.position)
