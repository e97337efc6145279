"""What one simulated call looks like at one moment: all that a live view needs, taken between two ticks."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from listenctl.media.measure_levels import LevelMeasurer, Levels, measure_levels
from listenctl.protocol.audio import AudioFormat


class LatestLevels:
    """Remember how loud the last window of audio was; ``levels`` is None before the first."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._meter = LevelMeasurer(audio_format)
        self.levels: Levels | None = None

    def warm_up(self) -> None:
        """Load what measures, for which no frame should have to wait."""
        measure_levels(bytes(self._format.frame_bytes), self._format.channels, 1)

    def feed(self, pcm: bytes) -> None:
        """Take the next audio."""
        if windows := self._meter.feed(pcm):
            self.levels = windows[-1]


CallState: TypeAlias = Literal["connecting", "live", "closing", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSnapshot:
    """
    A simulated call at one moment.

    Attributes:
        call: the id of the connection, its callSid.
        elapsed: seconds since the call started to be placed.
        mix_type: what the verb asks for: mono, stereo or mixed.
        streaming: whether the server's audio comes as a stream (binary messages), not as clips (``playAudio``).
        sent: levels of what goes to the server, a level for each channel; None before the first audio.
        heard: the level of what is played to the caller, one channel; None before the first audio.
        buffered: seconds of the server's audio that will play without more being sent.
        held: further seconds that won't play unless more is sent (protocol.md 6.2).
        marks: the names of the marks that haven't been reached, oldest first.
        unsent: seconds of audio that wait because the server is slow.
        lost_samples: samples per channel that were dropped because it was too slow.
        lateness: how many seconds the latest frame so far left after its deadline.
        commands: how many commands the server has sent.
        wrong: how many of them jambonz wouldn't do as meant.
        digits: DTMF digits pressed so far.
    """

    url: str
    call: str
    state: CallState
    elapsed: float
    sample_rate: int
    mix_type: str
    profile: str
    streaming: bool
    sent: Levels | None
    heard: Levels | None
    buffered: float
    held: float
    marks: tuple[str, ...]
    unsent: float
    lost_samples: int
    lateness: float
    commands: int
    wrong: int
    digits: str
