"""The latest levels of one direction of a call, for a live view."""

from listenctl.media.levels import LevelMeter, Levels, measure
from listenctl.protocol.audio import AudioFormat


class Needle:
    """Remember how loud the last window of audio was; ``levels`` is None before the first."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._meter = LevelMeter(audio_format)
        self.levels: Levels | None = None

    def warm_up(self) -> None:
        """Load what measures, for which no frame should have to wait."""
        measure(bytes(self._format.frame_bytes), self._format.channels, 1)

    def feed(self, pcm: bytes) -> None:
        """Take the next audio."""
        if windows := self._meter.feed(pcm):
            self.levels = windows[-1]
