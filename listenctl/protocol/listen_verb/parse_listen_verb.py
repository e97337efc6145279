"""
Find the ``listen`` or ``stream`` verb of an application and read its options (listenctl-protocol(7) 0, 2.4).
A type that jambonz's validator rejects is an error; what jambonz only ignores or doesn't know becomes a note.
"""

from collections.abc import Iterator
from dataclasses import replace

from listenctl.errors import UsageError
from listenctl.protocol.audio import MAX_RATE, MIX_CHANNELS
from listenctl.protocol.jambonz_model.profiles import Profile
from listenctl.protocol.listen_verb.listen_verb import (
    ActionHook,
    BidirectionalAudio,
    ListenVerb,
    Nesting,
    allowed_audio,
    quirks,
)
from listenctl.protocol.listen_verb.verb_json import VerbJson, read_document
from listenctl.protocol.opening_handshake import Credentials

_AUDIO_OPTIONS = ("url", "wsAuth", "sampleRate", "mixType", "bidirectionalAudio", "disableBidirectionalAudio")
_BOTH_OPTIONS = (*_AUDIO_OPTIONS, "metadata", "maxLength", "timeout", "passDtmf", "playBeep")
_CONFIG_OPTIONS = (*_BOTH_OPTIONS, "enable")
_VERB_OPTIONS = (*_BOTH_OPTIONS, "actionHook", "auth", "channel", "earlyMedia", "finishOnKey", "id", "transcribe")
_METHODS = ("GET", "POST")
_MAX_CHANNEL = 2
_VERB_NAMES = ("listen", "stream")


def parse_listen_verb(raw: bytes, *, where: str, profile: Profile) -> ListenVerb:
    """Read a ``listen`` or ``stream`` verb, alone, nested in ``dial`` or ``config``, or in an array of verbs."""
    options, within, skipped = _find_listen(read_document(raw, where), where)
    verb = _read(options, Nesting(within or Nesting.ALONE))
    notes = (*skipped, *_rejections(options, verb), *quirks(verb, profile))
    return replace(verb, bidirectional=allowed_audio(verb, profile), notes=notes)


def _find_listen(document: object, where: str) -> tuple[VerbJson, str, list[str]]:
    """Return the options of the first listen, the verb that contains it (empty if none), and notes on the others."""
    found: list[tuple[str, VerbJson]] = []
    notes: list[str] = []
    for path, verb in _verbs(document):
        _search(VerbJson.from_value(verb, path or "the verb", where), path, found, notes)
    if not found:
        raise UsageError("; ".join([f"{where}: has no listen or stream that would start", *notes]))
    if len(found) > 1:
        notes.append(f"only {found[0][1].path} is simulated, not " + ", ".join(each.path for _, each in found[1:]))
    within, options = found[0]
    return options, within, notes


def _verbs(document: object) -> list[tuple[str, object]]:
    if isinstance(document, list):
        return [(f"[{index}]", verb) for index, verb in enumerate(document)]
    return [("", document)]


def _search(verb: VerbJson, path: str, found: list[tuple[str, VerbJson]], notes: list[str]) -> None:
    name, value = _named(verb)
    path = f"{path}.{name}".lstrip(".")
    match name:
        case "listen" | "stream":
            found.append(("", VerbJson.from_value(value, path, verb.where)))
        case "dial":
            dial = VerbJson.from_value(value, path, verb.where)
            found.extend(("dial", child) for each in _VERB_NAMES if (child := dial.get_object(each)))
        case "config":
            _search_config(VerbJson.from_value(value, path, verb.where), found, notes)


def _search_config(config: VerbJson, found: list[tuple[str, VerbJson]], notes: list[str]) -> None:
    if "stream" in config.fields:
        notes.append(f"{config.path}.stream is never read by jambonz; call it listen")
    listen = config.get_object("listen")
    if not listen:
        return
    if listen.get_flag("enable"):
        found.append(("config", listen))
    else:
        notes.append(f'{listen.path} starts nothing without "enable": true')


def _named(verb: VerbJson) -> tuple[str, object]:
    """Return name and options of a verb: ``{"verb": "say", …}``, or the short form ``{"say": {…}}``."""
    if name := verb.get_string("verb"):
        return name, {key: value for key, value in verb.fields.items() if key != "verb"}
    if len(verb.fields) == 1 and "verb" not in verb.fields:
        return next(iter(verb.fields.items()))
    raise UsageError(f"{verb.where}: {verb.path} has no `verb`; jambonz rejects the application")


def _read(options: VerbJson, nesting: Nesting) -> ListenVerb:
    if nesting is Nesting.CONFIG and (unknown := options.unknown_members(_CONFIG_OPTIONS)):
        raise UsageError(f"{options.where}: jambonz rejects the whole config: it can't have {', '.join(unknown)}")
    _check_unused(options)
    return ListenVerb(
        url=options.get_string("url") or None,
        credentials=_credentials(options.get_object("wsAuth")),
        mix_type=options.get_choice("mixType", MIX_CHANNELS) or "mono",
        sample_rate=options.get_whole_number("sampleRate", MAX_RATE) or 8000,
        metadata=metadata.fields if (metadata := options.get_object("metadata")) else {},
        pass_dtmf=options.get_flag("passDtmf") or False,
        finish_on_key=options.get_string("finishOnKey") or "",
        max_length=options.get_number("maxLength"),
        play_beep=options.get_flag("playBeep") or False,
        timeout=options.get_number("timeout"),
        bidirectional=_bidirectional(options),
        action_hook=_action_hook(options),
        transcribe=options.get_object("transcribe") is not None,
        nesting=nesting,
        channel=options.get_whole_number("channel", _MAX_CHANNEL),
    )


def _check_unused(options: VerbJson) -> None:
    """Raise UsageError for a wrong type in an option without effect on a simulated call."""
    options.get_string("id")
    options.get_flag("earlyMedia")
    options.get_object("auth")


def _bidirectional(options: VerbJson) -> BidirectionalAudio:
    audio = options.get_object("bidirectionalAudio") or replace(options, fields={})
    return BidirectionalAudio(
        enabled=audio.get_flag("enabled") is not False and not options.get_flag("disableBidirectionalAudio"),
        streaming=audio.get_flag("streaming") or False,
        sample_rate=audio.get_whole_number("sampleRate", MAX_RATE),
    )


def _action_hook(options: VerbJson) -> ActionHook | None:
    written = options.fields.get("actionHook")
    if written is None or isinstance(written, str):
        return ActionHook(written) if written else None
    hook = VerbJson.from_value(written, f"{options.path}.actionHook", options.where)
    url = hook.get_string("url")
    if not url:
        raise hook.member_error("url", "is missing; give the URL to report to")
    return ActionHook(url, hook.get_choice("method", _METHODS) or "POST", _credentials(hook))


def _credentials(options: VerbJson | None) -> Credentials | None:
    """Return the credentials if both parts are there; jambonz sends none otherwise (listenctl-protocol(7) 1.4)."""
    if not options:
        return None
    username, password = options.get_string("username"), options.get_string("password")
    return Credentials(username, password) if username and password else None


def _rejections(options: VerbJson, verb: ListenVerb) -> Iterator[str]:
    """Return sentences on what jambonz rejects, although a call can still be simulated."""
    parts = (
        (options, _CONFIG_OPTIONS if verb.nesting is Nesting.CONFIG else _VERB_OPTIONS),
        (options.get_object("wsAuth"), ("username", "password")),
        (options.get_object("bidirectionalAudio"), ("enabled", "streaming", "sampleRate")),
    )
    for part, known in parts:
        for path in part.unknown_members(known) if part else ():
            yield f"{path} is unknown; jambonz rejects the application"
    if not verb.url:
        yield f"{options.path} has no url; jambonz rejects the application"
    if "wsAuth" in options.fields and not verb.credentials:
        yield f"{options.path}.wsAuth needs a username and a password; nothing is sent"
