"""The plan of a simulated call: whom to call, the verb that jambonz executes, and what the caller does."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from listenctl.media.sources.audio_sources import SourceKind
from listenctl.net.server_address import CallTarget
from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat
from listenctl.protocol.dtmf_digits import DIGIT_MS
from listenctl.protocol.jambonz_model.first_text import CallKind, first_text_fields
from listenctl.protocol.jambonz_model.profiles import CURRENT, Profile
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from listenctl.simulator.injected_faults import Fault

DEFAULT_CALLER = "+15083084809"
DEFAULT_CALLEE = "+15084901000"
_MAX_IDS = 16


@dataclass(frozen=True, slots=True)
class DtmfPress:
    """A DTMF digit that the caller presses ``time`` seconds after the start of the call, for ``duration`` seconds."""

    time: float
    digit: str
    duration: float = DIGIT_MS / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPlan:
    """A call to place."""

    target: CallTarget
    verb: ListenVerb = field(default_factory=ListenVerb)
    kind: CallKind = CallKind.INBOUND
    profile: Profile = CURRENT
    caller: str = "silence"
    """The audio source, as ``open_source`` reads it; the call ends with it unless ``duration`` is given."""
    callee: str | None = None  # the audio source of jambonz or the other party; None is silence
    caller_number: str = DEFAULT_CALLER
    callee_number: str = DEFAULT_CALLEE
    ptime: float = 0.02
    call_rate: int = 8000
    """Sample rate of the phone's codec in Hz; audio for the server is resampled if its rate differs."""
    duration: float | None = None
    """Seconds after which the caller hangs up; silence follows if the caller's audio ends before."""
    answer_within: float | None = None  # seconds within which the caller must hear an answer; None for any time
    loop: bool = False
    dtmf_presses: tuple[DtmfPress, ...] = ()
    tones: bool = False  # also mix the tones of pressed digits into the caller's audio
    faults: tuple[Fault, ...] = ()
    buffer: float = 2.0  # seconds of audio that jambonz buffers for a slow server
    heard: Path | None = None
    speaker: str | None = None
    """The device that plays what the caller hears; empty for the default device, None for none."""
    warnings: tuple[str, ...] = ()

    @property
    def audio_format(self) -> AudioFormat:
        return AudioFormat(self.verb.sample_rate, MIX_CHANNELS[self.verb.mix_type])

    @property
    def has_microphone(self) -> bool:
        return any(SourceKind.of(party or "") is SourceKind.MICROPHONE for party in (self.caller, self.callee))


def call_metadata(plan: CallPlan) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return the call's attributes, and the fields of the first text, where the verb's metadata overrides them."""
    ids = [str(uuid.uuid4()) for _ in range(_MAX_IDS)]

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
