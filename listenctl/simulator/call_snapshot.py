"""The state of a simulated call at one moment, for a live view."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from listenctl.media.measure_levels import Levels

CallState: TypeAlias = Literal["connecting", "live", "closing", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSnapshot:
    """
    The state of a simulated call at one moment.

    Attributes:
        streaming: whether the server's audio is a stream of binary messages; otherwise it is ``playAudio`` clips.
        sent: levels of the audio sent to the server, one per channel; None before the first audio.
        heard: the level of the audio played to the caller, one channel; None before the first audio.
        buffered: seconds of the server's audio that play without further audio.
        held: further seconds that don't play until more audio arrives (listenctl-protocol(7) 6.2).
        lateness: the most seconds that a frame left after its deadline.
        wrong: how many of them jambonz would not execute as intended.
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
