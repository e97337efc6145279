"""
Find the ``listen`` or ``stream`` verb of an application and read its options (listenctl-protocol(7) 0, 2.4).

A value whose type jambonz's validator rejects is an error; what jambonz only ignores or doesn't know becomes a note,
and the call goes on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from listenctl.errors import UsageError
from listenctl.protocol.audio import MIX_CHANNELS
from listenctl.protocol.call_metadata import MAX_SAMPLE_RATE
from listenctl.protocol.jambonz_model.profiles import Profile
from listenctl.protocol.listen_verb.listen_verb import (
    ActionHook,
    BidirectionalAudio,
    ListenVerb,
    Nesting,
    allowed_audio,
    quirks,
)
from listenctl.protocol.listen_verb.verb_options import VerbOptions, read_document
from listenctl.protocol.opening_handshake import Credentials

_AUDIO_OPTIONS = ("url", "wsAuth", "sampleRate", "mixType", "bidirectionalAudio", "disableBidirectionalAudio")
_BOTH_OPTIONS = (*_AUDIO_OPTIONS, "metadata", "maxLength", "timeout", "passDtmf", "playBeep")
_CONFIG_OPTIONS = (*_BOTH_OPTIONS, "enable")
_VERB_OPTIONS = (*_BOTH_OPTIONS, "actionHook", "auth", "channel", "earlyMedia", "finishOnKey", "id", "transcribe")
_METHODS = ("GET", "POST")
_MAX_CHANNEL = 2
_VERB_NAMES = ("listen", "stream")


def parse_listen_verb(raw: bytes, *, where: str, profile: Profile) -> ListenVerb:
    """
    Read a ``listen`` or ``stream`` verb, alone, nested in ``dial`` or ``config``, or in an array of verbs.

    Args:
        where: what errors call ``raw``, such as the name of its file.

    Raises:
        UsageError: It is not JSON, has no listen that would start, or has a value that jambonz rejects.
    """
    found = _find_listen(read_document(raw, where), where)
    verb = _read(found.options, Nesting(found.within or Nesting.ALONE))
    notes = (*found.notes, *_rejections(found.options, verb), *quirks(verb, profile))
    return replace(verb, bidirectional=allowed_audio(verb, profile), notes=notes)


@dataclass(frozen=True, slots=True)
class _FoundListen:
    """The options of a listen, the verb that contains it (empty if none), and notes on what was skipped."""

    options: VerbOptions
    within: str
    notes: tuple[str, ...]


def _find_listen(document: object, where: str) -> _FoundListen:
    """Return the first listen of an application or a single verb; raise UsageError if none would start."""
    found: list[tuple[str, VerbOptions]] = []
    notes: list[str] = []
    for path, verb in _verbs(document):
        _search(VerbOptions.of(verb, path or "the verb", where), path, found, notes)
    if not found:
        raise UsageError("; ".join([f"{where}: has no listen or stream that would start", *notes]))
    if len(found) > 1:
        notes.append(f"only {found[0][1].path} is simulated, not " + ", ".join(each.path for _, each in found[1:]))
    return _FoundListen(found[0][1], found[0][0], tuple(notes))


def _verbs(document: object) -> list[tuple[str, object]]:
    if isinstance(document, list):
        return [(f"[{index}]", verb) for index, verb in enumerate(document)]
    return [("", document)]


def _search(verb: VerbOptions, path: str, found: list[tuple[str, VerbOptions]], notes: list[str]) -> None:
    name, value = _named(verb)
    path = f"{path}.{name}".lstrip(".")
    match name:
        case "listen" | "stream":
            found.append(("", VerbOptions.of(value, path, verb.where)))
        case "dial":
            dial = VerbOptions.of(value, path, verb.where)
            found.extend(("dial", child) for each in _VERB_NAMES if (child := dial.child(each)))
        case "config":
            _search_config(VerbOptions.of(value, path, verb.where), found, notes)


def _search_config(config: VerbOptions, found: list[tuple[str, VerbOptions]], notes: list[str]) -> None:
    if "stream" in config.fields:
        notes.append(f"{config.path}.stream is never read by jambonz; call it listen")
    listen = config.child("listen")
    if not listen:
        return
    if listen.flag("enable"):
        found.append(("config", listen))
    else:
        notes.append(f'{listen.path} starts nothing without "enable": true')


def _named(verb: VerbOptions) -> tuple[str, object]:
    """Return name and options of a verb: ``{"verb": "say", …}``, or the short form ``{"say": {…}}``."""
    if name := verb.text("verb"):
        return name, {key: value for key, value in verb.fields.items() if key != "verb"}
    if len(verb.fields) == 1 and "verb" not in verb.fields:
        return next(iter(verb.fields.items()))
    raise UsageError(f"{verb.where}: {verb.path} has no `verb`; jambonz rejects the application")


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
    """Raise UsageError for a wrong type in an option without effect on a simulated call."""
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
    """Return the credentials if both parts are there; jambonz sends none otherwise (listenctl-protocol(7) 1.4)."""
    if not options:
        return None
    username, password = options.text("username"), options.text("password")
    return Credentials(username, password) if username and password else None


def _fields(options: VerbOptions | None) -> Mapping[str, object]:
    return options.fields if options else {}


def _rejections(options: VerbOptions, verb: ListenVerb) -> Iterator[str]:
    """Return sentences on what jambonz rejects, although a call can still be simulated."""
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
