"""The state of a simulated call at one moment, for a live view."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from listenctl.media.measure_levels import Levels

CallState: TypeAlias = Literal["connecting", "live", "closing", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSnapshot:
    """The state of a simulated call at one moment."""

    url: str
    call: str
    state: CallState
    elapsed: float
    sample_rate: int
    mix_type: str
    profile: str
    streaming: bool  # whether the server's audio is a stream of binary messages; otherwise it is ``playAudio`` clips
    sent: Levels | None  # levels of the audio sent to the server, one per channel; None before the first audio
    heard: Levels | None  # the level of the audio played to the caller, one channel; None before the first audio
    buffered: float  # seconds of the server's audio that play without further audio
    held: float  # further seconds that don't play until more audio arrives (listenctl-protocol(7) 6.2)
    marks: tuple[str, ...]
    unsent: float
    lost_samples: int
    lateness: float  # the most seconds that a frame left after its deadline
    commands: int
    wrong: int  # how many of them jambonz would not execute as intended
    digits: str
