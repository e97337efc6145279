"""A simulated call before it is placed: whom to call, what jambonz was asked to do, and what the caller will do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from listenctl.client.faults import Fault
from listenctl.client.target import Target
from listenctl.media.sources import is_microphone
from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat
from listenctl.protocol.first_frame import CallKind, first_frame_fields
from listenctl.protocol.profiles import CURRENT, Profile
from listenctl.protocol.verb import ListenVerb

DEFAULT_CALLER = "+15083084809"
DEFAULT_CALLEE = "+15084901000"
_MAX_IDS = 16


@dataclass(frozen=True, slots=True)
class KeyPress:
    """A key that the caller presses ``time`` seconds after the start of the call, for ``duration`` seconds."""

    time: float
    digit: str
    duration: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPlan:
    """
    A call to place.

    Attributes:
        caller: what the caller says, as ``open_source`` reads it; the call ends with it unless ``duration`` is given.
        callee: what jambonz plays or the other party says; None is silence.
        ptime: seconds of one frame of the phone's leg.
        call_rate: sample rate of the phone's codec, in Hz; at another rate the fork is resampled.
        duration: seconds after which the caller hangs up; the caller is silent when its sound is over before.
        tones: whether keys can be heard, too.
        buffer: seconds of audio that jambonz keeps for a slow server.
        heard: a file for what the caller said (left) and heard (right).
        speaker: a device that plays what the caller hears; empty for the default one, None for none.
    """

    target: Target
    verb: ListenVerb = field(default_factory=ListenVerb)
    kind: CallKind = CallKind.INBOUND
    profile: Profile = CURRENT
    caller: str = "silence"
    callee: str | None = None
    caller_number: str = DEFAULT_CALLER
    callee_number: str = DEFAULT_CALLEE
    ptime: float = 0.02
    call_rate: int = 8000
    duration: float | None = None
    loop: bool = False
    keys: tuple[KeyPress, ...] = ()
    tones: bool = False
    faults: tuple[Fault, ...] = ()
    buffer: float = 2.0
    heard: Path | None = None
    speaker: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def audio_format(self) -> AudioFormat:
        """What the fork sends."""
        return AudioFormat(self.verb.sample_rate, MIX_CHANNELS[self.verb.mix_type])

    @property
    def has_microphone(self) -> bool:
        """Whether a party speaks into a microphone of this machine."""
        return is_microphone(self.caller) or is_microphone(self.callee or "")


def metadata_of(plan: CallPlan, new_id: Callable[[], str]) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return what jambonz knows of the call, and the first text, in which the verb's metadata can hide some of that."""
    ids = [new_id() for _ in range(_MAX_IDS)]

    def fields(metadata: Mapping[str, object]) -> Mapping[str, object]:
        return first_frame_fields(
            plan.kind,
            sample_rate=plan.verb.sample_rate,
            mix_type=plan.verb.mix_type,
            metadata=metadata,
            new_id=iter(ids).__next__,
            caller=plan.caller_number,
            callee=plan.callee_number,
        )

    return fields({}), fields(plan.verb.metadata)
