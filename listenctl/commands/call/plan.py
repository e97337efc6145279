"""The simulated call that the options of ``call`` describe."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from listenctl.commands.connection_options import target_of
from listenctl.commands.dtmf_options import parse_keys
from listenctl.errors import UsageError
from listenctl.protocol.audio import MixType

if TYPE_CHECKING:
    from listenctl.commands.call.call_options import CallOptions
    from listenctl.protocol.jambonz_model.first_text import CallKind
    from listenctl.protocol.jambonz_model.profiles import Profile
    from listenctl.protocol.listen_verb.listen_verb import ActionHook, BidirectionalAudio, ListenVerb
    from listenctl.simulator.plan import CallPlan

_FIELD = re.compile(r"(?P<key>[^=]+?)(?P<json>:?)=(?P<value>.*)", re.DOTALL)
STDIN = "-"

Value = TypeVar("Value")


def make_call_plan(options: "CallOptions") -> "CallPlan":
    """
    Return the call that the options describe.

    Raises UsageError if they contradict each other, or a file can't be used.
    """
    from listenctl.protocol.jambonz_model.profiles import PROFILES
    from listenctl.simulator.injected_faults import parse_fault
    from listenctl.simulator.plan import DEFAULT_CALLEE, DEFAULT_CALLER, CallPlan

    check_options(options)
    base_verb = read_verb(options.verb, PROFILES[options.profile])
    kind = choose_call_kind(options, base_verb)
    profile = _profile_of(options, kind)
    verb = verb_of(options, base_verb, kind, profile)
    return CallPlan(
        target=target_of(
            options, called_url(options.url, base_verb.url), base=options.base_url, credentials=base_verb.credentials
        ),
        verb=verb,
        kind=kind,
        profile=profile,
        caller=options.audio,
        callee=options.callee,
        caller_number=options.from_ or DEFAULT_CALLER,
        callee_number=options.to or DEFAULT_CALLEE,
        ptime=options.ptime / 1000,
        call_rate=options.call_rate,
        duration=options.duration,
        answer_within=options.answer_within,
        loop=options.loop,
        dtmf_presses=parse_keys(options.dtmf),
        faults=tuple(parse_fault(spec) for spec in options.fault or ()),
        heard=options.heard,
        # Empty is the default device, None none.
        speaker=options.speaker_device or ("" if options.speaker else None),
        warnings=tuple(warnings_of(options, base_verb, verb, kind)),
    )


def check_options(options: "CallOptions") -> None:
    """Refuse values that phones don't have, and two uses of stdin."""
    if options.ptime not in (10, 20, 30, 40, 60):
        raise UsageError(f"--ptime {options.ptime}: must be 10, 20, 30, 40 or 60 ms")
    if options.call_rate not in (8000, 16000, 48000):
        raise UsageError(f"--call-rate {options.call_rate}: must be 8000, 16000 or 48000 Hz")
    for name in ("duration", "max_length", "silence_timeout", "answer_within"):
        value = getattr(options, name)
        if value is not None and not 0 < value < inf:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: give a number of seconds above 0")
    if options.heard is not None:
        _check_heard(options.heard)
    readers = [("--verb", options.verb), ("--audio", options.audio), ("--callee", options.callee)]
    names = [name for name, value in readers if value == STDIN]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} can't both be stdin; put one into a file")


def _check_heard(path: Path) -> None:
    if str(path) == STDIN:
        raise UsageError("--heard -: the recording can't go to stdout; name a file")
    if path.suffix.lower() not in ("", ".wav", ".wave"):
        raise UsageError(f"--heard {path}: is written as WAV only; name it {path.with_suffix('.wav')}")


def read_verb(name: str | None, profile: "Profile") -> "ListenVerb":
    """Return the verb in a file, or an empty one."""
    from listenctl.protocol.jambonz_model.profiles import NEXT
    from listenctl.protocol.listen_verb.listen_verb import ListenVerb, Nesting
    from listenctl.protocol.listen_verb.parse_listen_verb import parse_listen_verb

    if name is None:
        return ListenVerb()
    if name == STDIN:
        raw, where = sys.stdin.buffer.read(), "stdin"
    else:
        raw, where = _read_file(name), name
    verb = parse_listen_verb(raw, where=where, profile=profile)
    taps_room = verb.nesting in (Nesting.ROOM, Nesting.MEMBER) and profile.rejects_unknown_options
    return parse_listen_verb(raw, where=where, profile=NEXT) if taps_room else verb


def _read_file(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as exc:
        raise UsageError(f"{name}: can't be read: {exc.strerror}") from exc


def called_url(given: str | None, of_verb: str | None) -> str:
    """Return the URL to call; that of the verb replaces that of the command line."""
    if of_verb is None and given is None:
        raise UsageError("no URL to call: give one, such as ws://127.0.0.1:3000/, or a --verb with a url")
    return of_verb or given or ""


def verb_of(options: "CallOptions", base_verb: "ListenVerb", kind: "CallKind", profile: "Profile") -> "ListenVerb":
    """Return the verb with the options applied, with notes on its quirks."""
    from listenctl.protocol.jambonz_model.first_text import CallKind
    from listenctl.protocol.listen_verb.listen_verb import Nesting, allowed_audio, cloud_recording, quirks

    if kind is CallKind.RECORD and options.mix_type not in (None, MixType.STEREO):
        raise UsageError(f"--mix-type {options.mix_type}: jambonz records calls in stereo only; leave out the option")
    base = cloud_recording(base_verb) if kind is CallKind.RECORD else base_verb
    verb = replace(
        base,
        mix_type=_override(options.mix_type, base.mix_type),
        sample_rate=_override(options.sample_rate, base.sample_rate),
        metadata={**base.metadata, **parse_metadata(options.metadata or ())},
        pass_dtmf=_override(options.pass_dtmf, base.pass_dtmf),
        finish_on_key=_override(options.finish_on_key, base.finish_on_key),
        max_length=_override(options.max_length, base.max_length),
        play_beep=_override(options.play_beep, base.play_beep),
        timeout=_override(options.silence_timeout, base.timeout),
        bidirectional=bidirectional_of(options, base.bidirectional),
        action_hook=action_hook_of(options, base.action_hook),
        nesting=next((each for each in Nesting if each == kind.value), Nesting.ALONE),
    )
    # The options may remove a quirk of the verb in the file, or add one.
    outdated = quirks(base_verb, profile)
    notes = (*(note for note in base_verb.notes if note not in outdated), *quirks(verb, profile))
    return replace(verb, bidirectional=allowed_audio(verb, profile), notes=notes)


def bidirectional_of(options: "CallOptions", base: "BidirectionalAudio") -> "BidirectionalAudio":
    """Return what the call plays; --streaming is both the switch and the rate."""
    if options.streaming is not None:
        base = replace(base, streaming=True, sample_rate=options.streaming)
    return replace(base, enabled=False) if options.disable_bidirectional_audio else base


def action_hook_of(options: "CallOptions", base: "ActionHook | None") -> "ActionHook | None":
    """Return the action hook with an absolute URL."""
    from urllib.parse import urljoin, urlsplit

    from listenctl.protocol.listen_verb.listen_verb import ActionHook

    hook = base if options.action_hook is None else ActionHook(options.action_hook)
    if hook is None:
        return None
    if hook.url.startswith("/") and options.base_url is None:
        raise UsageError(f"the action hook {hook.url} is relative: give the application's URL with --base-url")
    url = urljoin(options.base_url or "", hook.url)
    if urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"the action hook {hook.url} isn't an http:// or https:// URL")
    return replace(hook, url=url)


def choose_call_kind(options: "CallOptions", verb: "ListenVerb") -> "CallKind":
    """Return the kind of the call: that of --kind, or by the nesting of the verb."""
    from listenctl.protocol.jambonz_model.first_text import CallKind
    from listenctl.protocol.listen_verb.listen_verb import Nesting

    if options.kind is not None:
        return CallKind(options.kind)
    return CallKind.INBOUND if verb.nesting is Nesting.ALONE else CallKind(verb.nesting.value)


def _profile_of(options: "CallOptions", kind: "CallKind") -> "Profile":
    """Return the profile of --profile, but ``next`` for taps of rooms, which no FreeSWITCH has."""
    from listenctl.protocol.jambonz_model.first_text import CallKind
    from listenctl.protocol.jambonz_model.profiles import NEXT, PROFILES

    profile = PROFILES[options.profile]
    return NEXT if kind in (CallKind.ROOM, CallKind.MEMBER) and profile.rejects_unknown_options else profile


def warnings_of(options: "CallOptions", base_verb: "ListenVerb", verb: "ListenVerb", kind: "CallKind") -> list[str]:
    """Return warnings about unusual options that may be intended."""
    from listenctl.protocol.jambonz_model.first_text import CallKind

    warnings = []
    if verb.sample_rate % 8000:
        warnings.append(
            f"a sample rate of {verb.sample_rate} Hz is unusual: jambonz accepts it, but it isn't a multiple of 8000"
        )
    if options.url is not None and base_verb.url is not None and options.url != base_verb.url:
        warnings.append(f"the verb's url replaces {options.url}; remove it from the verb to call that URL")
    if options.callee is not None and verb.mix_type == "mono":
        warnings.append("--callee is heard by the caller but not sent: mono has the caller only")
    if options.metadata and kind is CallKind.RECORD:
        warnings.append("--metadata is not sent: the call recorder of jambonz has none")
    return [*warnings, *_room_warnings(options, verb, kind)]


def _room_warnings(options: "CallOptions", verb: "ListenVerb", kind: "CallKind") -> Iterator[str]:
    """Warn of what is special about the tap of a room or of a member (listenctl-protocol(7) 2.5)."""
    from listenctl.protocol.jambonz_model.first_text import CallKind

    if kind not in (CallKind.ROOM, CallKind.MEMBER):
        return
    if (simulated := _profile_of(options, kind).name) != options.profile:
        yield f"only jambonz 11 taps rooms, so that the profile is {simulated}, not {options.profile}"
    if options.mix_type not in (None, MixType.MONO):
        yield f"--mix-type {options.mix_type}: a room tap of jambonz has one channel"
    if kind is CallKind.MEMBER:
        yield "the audio of a muted member is sent too, and the tag of one that joins late is empty: go by callSid"
    elif "sampleRate" not in verb.metadata:
        yield "the first text of a room tap is the metadata alone: put sampleRate into it, or the server can't know it"


def _override(option: Value | None, default: Value) -> Value:
    return default if option is None else option


def parse_metadata(arguments: Sequence[str]) -> dict[str, object]:
    """
    Parse metadata: ``key=text``, ``key:=JSON``, or ``@file.json`` with an object; later values override earlier ones.
    Raises UsageError if an argument is invalid, or a file can't be read.
    """
    metadata: dict[str, object] = {}
    for argument in arguments:
        metadata |= _read_object(Path(argument[1:])) if argument.startswith("@") else _parse_field(argument)
    return metadata


def _parse_field(argument: str) -> dict[str, object]:
    found = _FIELD.fullmatch(argument)
    if found is None:
        raise UsageError(f"--metadata {argument!r}: write KEY=TEXT, KEY:=JSON or @FILE")
    if not found["json"]:
        return {found["key"]: found["value"]}
    try:
        return {found["key"]: _parse_json(found["value"])}
    except ValueError as exc:
        raise UsageError(f"--metadata {argument!r}: the value isn't JSON; for text write {found['key']}=TEXT") from exc


def _read_object(path: Path) -> dict[str, object]:
    try:
        value = _parse_json(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"{path}: can't be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise UsageError(f"{path}: isn't JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise UsageError(f"{path}: metadata must be a JSON object, {{...}}")
    return value


def _parse_json(text: str) -> object:
    value: object = json.loads(text, parse_constant=_refuse_constant)
    return value


def _refuse_constant(name: str) -> object:
    # Python accepts NaN and Infinity; JSON has neither.
    raise ValueError(f"{name} isn't JSON")
