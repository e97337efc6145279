"""
The ``listen`` verb: what an application asks jambonz for, and what jambonz makes of it.

What the validator of jambonz rejects for its type is an error; what it merely ignores or doesn't know is a note, and
the call goes on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from listenctl.errors import UsageError
from listenctl.protocol.audio import MIX_CHANNELS
from listenctl.protocol.call_metadata import MAX_SAMPLE_RATE
from listenctl.protocol.jambonz_model.playout import BidirectionalAudio
from listenctl.protocol.jambonz_model.profiles import IDEAL, Profile
from listenctl.protocol.listen_verb.find_listen_verb import find_listen
from listenctl.protocol.listen_verb.verb_options import VerbOptions, read_document
from listenctl.protocol.opening_handshake import Credentials

_AUDIO_OPTIONS = ("url", "wsAuth", "sampleRate", "mixType", "bidirectionalAudio", "disableBidirectionalAudio")
_BOTH_OPTIONS = (*_AUDIO_OPTIONS, "metadata", "maxLength", "timeout", "passDtmf", "playBeep")
_CONFIG_OPTIONS = (*_BOTH_OPTIONS, "enable")
_VERB_OPTIONS = (*_BOTH_OPTIONS, "actionHook", "auth", "channel", "earlyMedia", "finishOnKey", "id", "transcribe")
_METHODS = ("GET", "POST")
_MAX_CHANNEL = 2


class Nesting(StrEnum):
    """The verb that a listen stands in."""

    ALONE = "alone"
    DIAL = "dial"
    CONFIG = "config"


@dataclass(frozen=True, slots=True)
class ActionHook:
    """Where jambonz reports the end of the verb."""

    url: str
    method: str = "POST"
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenVerb:
    """
    What a call is asked to do; the defaults are jambonz's. Times are in seconds.

    Attributes:
        url: as it was written; one that begins with ``/`` is relative to the application's own.
        timeout: of silence; see ``silence_timeout``.
        channel: 2 taps the called leg of a dial.
        notes: sentences on what jambonz doesn't know, ignores or does differently than one might think.
    """

    url: str | None = None
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
    channel: int | None = None
    notes: tuple[str, ...] = ()


def parse_verb(raw: bytes, *, where: str, profile: Profile) -> ListenVerb:
    """
    Read a ``listen`` or ``stream`` verb, alone, nested in ``dial`` or ``config``, or in an array of verbs.

    Args:
        where: what to call ``raw`` in errors, such as the name of its file.

    Raises:
        UsageError: It is no JSON, has no listen that would start, or jambonz would reject one of its values.
    """
    found = find_listen(read_document(raw, where), where)
    verb = _read(found.options, Nesting(found.within or Nesting.ALONE))
    notes = (*found.notes, *_rejections(found.options, verb), *quirks(verb, profile))
    return replace(verb, bidirectional=allowed_audio(verb, profile), notes=notes)


def quirks(verb: ListenVerb, profile: Profile) -> tuple[str, ...]:
    """Return sentences on the options of ``verb`` that don't do what they seem to."""
    return (*_ending_quirks(verb, profile), *_audio_quirks(verb, profile), *_hook_quirks(verb))


def ends_call(verb: ListenVerb, digit: str, profile: Profile) -> bool:
    """Tell whether ``digit`` is the key to finish on: one of several as documented, the only one in fact."""
    return digit in set(verb.finish_on_key) if _as_documented(profile) else digit == verb.finish_on_key


def silence_timeout(verb: ListenVerb, profile: Profile) -> float | None:
    """Return after how much silence the call ends; no real jambonz has that (protocol.md 7)."""
    return verb.timeout if _as_documented(profile) else None


def allowed_audio(verb: ListenVerb, profile: Profile) -> BidirectionalAudio:
    """Return what of ``bidirectional`` holds: nothing in a dial as documented, all of it in fact (protocol.md 8.1)."""
    if verb.nesting is Nesting.DIAL and _as_documented(profile):
        return BidirectionalAudio(enabled=False)
    return verb.bidirectional


def cloud_recording(verb: ListenVerb) -> ListenVerb:
    """Return the listen by which jambonz records a call: all but the address of ``verb`` is fixed (protocol.md 2.4)."""
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
        yield "timeout does nothing in any jambonz; only the profile ideal ends a silent call"
    if len(verb.finish_on_key) > 1:
        yield f"finishOnKey {verb.finish_on_key!r} never matches: jambonz compares it with one digit"


def _audio_quirks(verb: ListenVerb, profile: Profile) -> Iterator[str]:
    audio = verb.bidirectional
    if verb.nesting is Nesting.DIAL and _as_documented(profile):
        yield "a listen nested in dial has no bidirectional audio"
    elif audio.streaming and not profile.streams:
        yield f"the profile {profile.name} knows no streaming: clips are played, binary audio is not"
    elif audio.streaming and not audio.sample_rate:
        yield "streaming needs bidirectionalAudio.sampleRate too: clips are played, binary audio is not"
    elif audio.streaming and not audio.enabled and not profile.honours_enabled:
        yield "bidirectionalAudio.enabled false does not stop streaming: binary audio is played all the same"


def _hook_quirks(verb: ListenVerb) -> Iterator[str]:
    if verb.transcribe:
        yield "transcribe is accepted but not simulated"
    if verb.action_hook and verb.nesting is Nesting.DIAL:
        yield "jambonz ignores what the actionHook of a nested listen answers"
    elif verb.action_hook:
        yield "what actionHook answers is not run"


def _read(options: VerbOptions, nesting: Nesting) -> ListenVerb:
    if nesting is Nesting.CONFIG and (unknown := options.unknown(_CONFIG_OPTIONS)):
        raise UsageError(f"{options.where}: jambonz rejects the whole config: it can't have {', '.join(unknown)}")
    _check_unused(options)
    return ListenVerb(
        url=options.text("url") or None,
        credentials=_credentials(options.child("wsAuth")),
        mix_type=options.choice("mixType", MIX_CHANNELS) or "mono",
        sample_rate=options.whole("sampleRate", MAX_SAMPLE_RATE) or 8000,
        metadata=_fields(options.child("metadata")),
        pass_dtmf=options.flag("passDtmf") or False,
        finish_on_key=options.text("finishOnKey") or "",
        max_length=options.number("maxLength"),
        play_beep=options.flag("playBeep") or False,
        timeout=options.number("timeout"),
        bidirectional=_bidirectional(options),
        action_hook=_action_hook(options),
        transcribe=options.child("transcribe") is not None,
        nesting=nesting,
        channel=options.whole("channel", _MAX_CHANNEL),
    )


def _check_unused(options: VerbOptions) -> None:
    """Raise UsageError for a wrong type in what has no effect on a simulated call."""
    options.text("id")
    options.flag("earlyMedia")
    options.child("auth")


def _bidirectional(options: VerbOptions) -> BidirectionalAudio:
    audio = options.child("bidirectionalAudio") or replace(options, fields={})
    return BidirectionalAudio(
        enabled=audio.flag("enabled") is not False and not options.flag("disableBidirectionalAudio"),
        streaming=audio.flag("streaming") or False,
        sample_rate=audio.whole("sampleRate", MAX_SAMPLE_RATE),
    )


def _action_hook(options: VerbOptions) -> ActionHook | None:
    written = options.fields.get("actionHook")
    if written is None or isinstance(written, str):
        return ActionHook(written) if written else None
    hook = VerbOptions.of(written, f"{options.path}.actionHook", options.where)
    url = hook.text("url")
    if not url:
        raise hook.error("url", "is missing; give the URL to report to")
    return ActionHook(url, hook.choice("method", _METHODS) or "POST", _credentials(hook))


def _credentials(options: VerbOptions | None) -> Credentials | None:
    """Return credentials if both parts are there; jambonz sends none otherwise (protocol.md 1.4)."""
    if not options:
        return None
    username, password = options.text("username"), options.text("password")
    return Credentials(username, password) if username and password else None


def _fields(options: VerbOptions | None) -> Mapping[str, object]:
    return options.fields if options else {}


def _rejections(options: VerbOptions, verb: ListenVerb) -> Iterator[str]:
    """Return sentences on what jambonz would not have let through, though a call can be made all the same."""
    parts = (
        (options, _CONFIG_OPTIONS if verb.nesting is Nesting.CONFIG else _VERB_OPTIONS),
        (options.child("wsAuth"), ("username", "password")),
        (options.child("bidirectionalAudio"), ("enabled", "streaming", "sampleRate")),
    )
    for part, known in parts:
        for path in part.unknown(known) if part else ():
            yield f"{path} is unknown; jambonz rejects the application"
    if not verb.url:
        yield f"{options.path} has no url; jambonz rejects the application"
    if "wsAuth" in options.fields and not verb.credentials:
        yield f"{options.path}.wsAuth needs a username and a password; nothing is sent"
