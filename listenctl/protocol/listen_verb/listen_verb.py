"""The ``listen`` verb and its *quirks*: options that do something else than they seem to, as sentences for the user."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from listenctl.protocol.jambonz_model.profiles import IDEAL, Profile
from listenctl.protocol.opening_handshake import Credentials


class Nesting(StrEnum):
    ALONE = "alone"
    DIAL = "dial"
    CONFIG = "config"
    ROOM = "room"  # nested in ``room`` or ``conference``
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class BidirectionalAudio:
    """The option ``bidirectionalAudio``: with ``streaming`` and a rate, binary audio is played; otherwise clips are."""

    enabled: bool = True
    streaming: bool = False
    sample_rate: int | None = None


@dataclass(frozen=True, slots=True)
class ActionHook:
    url: str
    method: str = "POST"
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenVerb:
    """The options of a listen, with jambonz's defaults."""

    url: str | None = None  # as written; one that begins with ``/`` is relative to the application's base URL
    credentials: Credentials | None = None
    mix_type: str = "mono"
    sample_rate: int = 8000
    metadata: Mapping[str, object] = field(default_factory=dict)
    pass_dtmf: bool = False
    finish_on_key: str = ""
    max_length: float | None = None
    play_beep: bool = False
    timeout: float | None = None
    bidirectional: BidirectionalAudio = field(default_factory=BidirectionalAudio)
    action_hook: ActionHook | None = None
    transcribe: bool = False
    nesting: Nesting = Nesting.ALONE
    channel: int | None = None  # 2 taps the called leg of a dial
    notes: tuple[str, ...] = ()  # sentences on options that jambonz doesn't know, ignores or treats unexpectedly


def quirks(verb: ListenVerb, profile: Profile) -> tuple[str, ...]:
    return (*_ending_quirks(verb, profile), *_audio_quirks(verb, profile), *_hook_quirks(verb))


def ends_call(verb: ListenVerb, digit: str, profile: Profile) -> bool:
    """Return whether ``digit`` is a finishing key: as documented one of several, in fact the only one."""
    return digit in set(verb.finish_on_key) if _as_documented(profile) else digit == verb.finish_on_key


def silence_timeout(verb: ListenVerb, profile: Profile) -> float | None:
    """Return the seconds of silence that end the call; no real jambonz does that (listenctl-protocol(7) 7)."""
    return verb.timeout if _as_documented(profile) else None


def allowed_audio(verb: ListenVerb, profile: Profile) -> BidirectionalAudio:
    """Return the option in effect: as documented none in a dial, in fact all of it (listenctl-protocol(7) 8.1)."""
    if verb.nesting is Nesting.DIAL and _as_documented(profile):
        return BidirectionalAudio(enabled=False)
    return verb.bidirectional


def cloud_recording(verb: ListenVerb) -> ListenVerb:
    """Return the listen of cloud recording; only its address comes from ``verb`` (listenctl-protocol(7) 2.4)."""
    return ListenVerb(
        url=verb.url,
        credentials=verb.credentials,
        mix_type="stereo",
        pass_dtmf=True,
        bidirectional=BidirectionalAudio(enabled=False),
        notes=verb.notes,
    )


def _as_documented(profile: Profile) -> bool:
    return profile.name == IDEAL.name


def _ending_quirks(verb: ListenVerb, profile: Profile) -> Iterator[str]:
    if _as_documented(profile):
        return
    if verb.timeout:
        yield "timeout has no effect in jambonz; only --profile ideal ends a silent call"
    if len(verb.finish_on_key) > 1:
        yield f"finishOnKey {verb.finish_on_key!r} never matches: jambonz compares it with one digit"


def _audio_quirks(verb: ListenVerb, profile: Profile) -> Iterator[str]:
    audio = verb.bidirectional
    if verb.nesting is Nesting.DIAL and _as_documented(profile):
        yield "a listen nested in dial has no bidirectional audio"
    elif audio.streaming and not profile.streams:
        yield f"the profile {profile.name} has no streaming: clips are played, binary audio is not"
    elif audio.streaming and not audio.sample_rate:
        yield "streaming needs bidirectionalAudio.sampleRate too: clips are played, binary audio is not"
    elif audio.streaming and not audio.enabled and not profile.honours_enabled:
        yield "bidirectionalAudio.enabled false does not stop streaming: binary audio is still played"


def _hook_quirks(verb: ListenVerb) -> Iterator[str]:
    if verb.transcribe:
        yield "transcribe is accepted but not simulated"
    if verb.action_hook and verb.nesting is Nesting.DIAL:
        yield "jambonz ignores the answer to the actionHook of a nested listen"
    elif verb.action_hook:
        yield "the answer to the actionHook is not run"
