"""
Find the ``listen`` or ``stream`` verb of an application and read its options (listenctl-protocol(7) 0, 2.4, 2.5).
A type that jambonz's validators reject is an error; what jambonz only ignores or doesn't know becomes a note. There are
two validators, that of 0.9 and the published schema (listenctl-protocol(7) 8.3).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from listenctl.errors import UsageError
from listenctl.protocol.audio import MAX_RATE, MIX_CHANNELS
from listenctl.protocol.jambonz_model.profiles import Profile
from listenctl.protocol.listen_verb.find_application import Application, find_application
from listenctl.protocol.listen_verb.listen_verb import (
    ActionHook,
    BidirectionalAudio,
    ListenVerb,
    Nesting,
    allowed_audio,
    quirks,
)
from listenctl.protocol.listen_verb.verb_json import REJECTED, VerbJson, read_document
from listenctl.protocol.opening_handshake import Credentials

_AUDIO_OPTIONS = ("url", "wsAuth", "sampleRate", "mixType", "bidirectionalAudio", "disableBidirectionalAudio")
_BOTH_OPTIONS = (*_AUDIO_OPTIONS, "metadata", "maxLength", "timeout", "passDtmf", "playBeep")
_CONFIG_OPTIONS = (*_BOTH_OPTIONS, "enable")
_VERB_OPTIONS = (*_BOTH_OPTIONS, "actionHook", "auth", "channel", "earlyMedia", "finishOnKey", "id", "transcribe")
_ROOM_OPTIONS = ("url", "sampleRate", "metadata", "wsAuth", "bidirectionalAudio")
_METHODS = ("GET", "POST")
_MAX_CHANNEL = 2
_VERB_NAMES = ("listen", "stream")
_STRICT = "jambonz 0.9 rejects the application"
_ROOM_NESTINGS = (Nesting.ROOM, Nesting.MEMBER)


@dataclass(frozen=True, slots=True)
class _Found:
    """A listen, and the verb that contains it."""

    options: VerbJson
    nesting: Nesting = Nesting.ALONE


def parse_listen_verb(raw: bytes, *, where: str, profile: Profile) -> ListenVerb:
    """
    Read a ``listen`` or ``stream`` verb, alone or nested, in an array of verbs, or in what carries one: an ``ack`` or
    ``command`` of the WebSocket API, or the body of a REST request.
    """
    found, skipped = _find_listen(find_application(read_document(raw, where), where), where, profile)
    verb = _read(found, profile)
    notes = (*skipped, *_rejections(found, verb, profile), *quirks(verb, profile))
    return replace(verb, bidirectional=allowed_audio(verb, profile), notes=notes)


def _find_listen(application: Application, where: str, profile: Profile) -> tuple[_Found, list[str]]:
    """Return the first listen, and notes on the others."""
    if application.taps_room:
        return _room_tap(replace(VerbJson.from_value(application.value, "the body", where), checked=False)), []
    found: list[_Found] = []
    notes: list[str] = []
    for path, verb in _verbs(application):
        _search(VerbJson.from_value(verb, path or "the verb", where), path, profile, found, notes)
    if not found:
        raise UsageError("; ".join([f"{where}: has no listen or stream that would start", *notes]))
    if len(found) > 1:
        others = ", ".join(each.options.path for each in found[1:])
        notes.append(f"only {found[0].options.path} is simulated, not {others}")
    return found[0], notes


def _room_tap(body: VerbJson) -> _Found:
    """Read the body of ``POST /Conferences/NAME/listen``, which taps the mix of a room, or each of its members."""
    fields = dict(body.fields)
    scope = body.get_choice("scope", ("mix", "members"))
    fields.pop("scope", None)
    if "url" not in fields:
        fields["url"] = fields.pop("wsUrl")
    return _Found(replace(body, fields=fields), Nesting.MEMBER if scope == "members" else Nesting.ROOM)


def _verbs(application: Application) -> list[tuple[str, object]]:
    value = application.value
    if isinstance(value, list):
        return [(f"{application.path}[{index}]", verb) for index, verb in enumerate(value)]
    return [(application.path, value)]


def _search(verb: VerbJson, path: str, profile: Profile, found: list[_Found], notes: list[str]) -> None:
    name, value = _named(verb)
    path = f"{path}.{name}".lstrip(".")
    match name:
        case "listen" | "stream":
            found.append(_Found(VerbJson.from_value(value, path, verb.where)))
        case "dial":
            dial = VerbJson.from_value(value, path, verb.where)
            found.extend(_Found(child, Nesting.DIAL) for each in _VERB_NAMES if (child := dial.get_object(each)))
        case "config":
            _search_config(VerbJson.from_value(value, path, verb.where, rejected=False), profile, found, notes)
        case "conference" | "room":
            room = VerbJson.from_value(value, path, verb.where)
            # The published schema does not look into the tap.
            found.extend(
                _Found(replace(child, checked=False), Nesting.ROOM)
                for each in _VERB_NAMES
                if (child := room.get_object(each))
            )


def _search_config(config: VerbJson, profile: Profile, found: list[_Found], notes: list[str]) -> None:
    if "stream" in config.fields and profile.rejects_unknown_options:
        notes.append(f"{config.path}.stream is never read by jambonz 0.9; call it listen")
    for name in ("listen",) if profile.rejects_unknown_options else _VERB_NAMES:
        listen = config.get_object(name)
        if listen and listen.get_flag("enable"):
            found.append(_Found(listen, Nesting.CONFIG))
        elif listen:
            notes.append(f'{listen.path} starts nothing without "enable": true')


def _named(verb: VerbJson) -> tuple[str, object]:
    """Return name and options of a verb: ``{"verb": "say", …}``, or the short form ``{"say": {…}}``."""
    if name := verb.get_string("verb"):
        return name, {key: value for key, value in verb.fields.items() if key != "verb"}
    if len(verb.fields) == 1 and "verb" not in verb.fields:
        return next(iter(verb.fields.items()))
    raise UsageError(f"{verb.where}: {verb.path} has no `verb`; jambonz rejects the application")


def _read(found: _Found, profile: Profile) -> ListenVerb:
    options, nesting = found.options, found.nesting
    strict = nesting is Nesting.CONFIG and profile.rejects_unknown_options
    if strict and (unknown := options.unknown_members(_CONFIG_OPTIONS)):
        raise UsageError(f"{options.where}: jambonz 0.9 rejects the whole config: it can't have {', '.join(unknown)}")
    if nesting in _ROOM_NESTINGS:
        options = replace(
            options, fields={name: options.fields[name] for name in _ROOM_OPTIONS if name in options.fields}
        )
    _check_unused(options)
    return ListenVerb(
        url=options.get_string("url") or None,
        credentials=_credentials(options.get_object("wsAuth")),
        mix_type=options.get_choice("mixType", MIX_CHANNELS) or "mono",
        sample_rate=options.get_whole_number("sampleRate", MAX_RATE) or 8000,
        metadata=metadata.fields if (metadata := options.get_object("metadata", rejected=False)) else {},
        pass_dtmf=options.get_flag("passDtmf") or False,
        finish_on_key=options.get_string("finishOnKey") or "",
        max_length=options.get_number("maxLength"),
        play_beep=options.get_flag("playBeep") or False,
        timeout=options.get_number("timeout"),
        bidirectional=_bidirectional(options),
        action_hook=_action_hook(options),
        transcribe=options.get_object("transcribe", rejected=False) is not None,
        nesting=nesting,
        channel=options.get_whole_number("channel", _MAX_CHANNEL),
    )


def _check_unused(options: VerbJson) -> None:
    """Raise UsageError for a wrong type in an option without effect on a simulated call."""
    options.get_string("id")
    options.get_flag("earlyMedia")
    options.get_object("auth", rejected=False)


def _bidirectional(options: VerbJson) -> BidirectionalAudio:
    audio = options.get_object("bidirectionalAudio", rejected=False) or replace(options, fields={})
    return BidirectionalAudio(
        enabled=audio.get_flag("enabled") is not False and not options.get_flag("disableBidirectionalAudio"),
        streaming=audio.get_flag("streaming") or False,
        sample_rate=audio.get_whole_number("sampleRate", MAX_RATE),
    )


def _action_hook(options: VerbJson) -> ActionHook | None:
    written = options.fields.get("actionHook")
    if written is None or isinstance(written, str):
        return ActionHook(written) if written else None
    # The validator of 0.9 does not look into it.
    hook = replace(VerbJson.from_value(written, f"{options.path}.actionHook", options.where), checked=False)
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


def _rejections(found: _Found, verb: ListenVerb, profile: Profile) -> Iterator[str]:
    """Return sentences on what jambonz rejects or ignores, although a call can still be simulated."""
    options = found.options
    parts = (
        (options, _known_options(found.nesting)),
        (options.get_object("wsAuth"), ("username", "password")),
        (options.get_object("bidirectionalAudio", rejected=False), ("enabled", "streaming", "sampleRate")),
    )
    for part, known in parts:
        for path in part.unknown_members(known) if part else ():
            yield f"{path} {_fate_of_unknown(found.nesting, profile)}"
    if not verb.url:
        nested = found.nesting not in (Nesting.ALONE, Nesting.DIAL)
        yield f"{options.path} has no url; {'jambonz has nothing to connect to' if nested else REJECTED}"
    if "wsAuth" in options.fields and not verb.credentials:
        auth = options.get_object("wsAuth")
        rejected = found.nesting not in _ROOM_NESTINGS and not (auth and {"username", "password"} <= auth.fields.keys())
        yield f"{options.path}.wsAuth needs a username and a password; {REJECTED if rejected else 'nothing is sent'}"


def _known_options(nesting: Nesting) -> Collection[str]:
    match nesting:
        case Nesting.CONFIG:
            return (*_VERB_OPTIONS, "enable")
        case Nesting.ROOM | Nesting.MEMBER:
            return _ROOM_OPTIONS
    return _VERB_OPTIONS


def _fate_of_unknown(nesting: Nesting, profile: Profile) -> str:
    if nesting in _ROOM_NESTINGS:
        return "has no effect on the tap of a room"
    return f"is unknown; {_STRICT}" if profile.rejects_unknown_options else "is unknown and has no effect"
