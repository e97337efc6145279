"""What one simulated call looks like at one moment: all that a live view needs, taken between two ticks."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from listenctl.media.levels import Levels

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
        keys: the digits pressed so far.
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
    keys: str
