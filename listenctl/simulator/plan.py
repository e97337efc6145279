"""A simulated call before it is placed: whom to call, what jambonz was asked to do, and what the caller will do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from listenctl.media.pacing import Clock
from listenctl.media.sources.audio_sources import is_microphone
from listenctl.net.call_target import CallTarget
from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat
from listenctl.protocol.jambonz_model.first_text import CallKind, first_text_fields
from listenctl.protocol.jambonz_model.profiles import CURRENT, Profile
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from listenctl.simulator.injected_faults import Fault


class CallTime:
    """Tell how long a call has gone on, in seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at: float | None = None
        self._connected_at: float | None = None
        self._over_at: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the tap was started."""
        return self._since(self._started_at)

    @property
    def connected_for(self) -> float:
        """Seconds since the handshake was answered."""
        return self._since(self._connected_at)

    def start(self) -> None:
        """Take notice that the tap is started."""
        self._started_at = self._clock.now()

    def connect(self) -> None:
        """Take notice that the handshake was answered."""
        self._connected_at = self._clock.now()

    def stop(self) -> None:
        """Stand still from now on."""
        self._over_at = self._now()

    def _since(self, begin: float | None) -> float:
        return 0.0 if begin is None else self._now() - begin

    def _now(self) -> float:
        return self._clock.now() if self._over_at is None else self._over_at


DEFAULT_CALLER = "+15083084809"
DEFAULT_CALLEE = "+15084901000"
_MAX_IDS = 16


@dataclass(frozen=True, slots=True)
class DtmfPress:
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

    target: CallTarget
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
    dtmf_presses: tuple[DtmfPress, ...] = ()
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
        return first_text_fields(
            plan.kind,
            sample_rate=plan.verb.sample_rate,
            mix_type=plan.verb.mix_type,
            metadata=metadata,
            new_id=iter(ids).__next__,
            caller=plan.caller_number,
            callee=plan.callee_number,
        )

    return fields({}), fields(plan.verb.metadata)
