"""The simulated call that the options of ``call`` describe."""

import sys
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from listenctl.commands.call.call_option_values import parse_keys, parse_metadata
from listenctl.commands.connection_options import target_of
from listenctl.errors import UsageError
from listenctl.protocol.audio import MixType

if TYPE_CHECKING:
    from listenctl.commands.call.call_options import CallOptions, PlayoutOptions, VerbOptions
    from listenctl.protocol.jambonz_model.first_text import CallKind
    from listenctl.protocol.jambonz_model.profiles import Profile
    from listenctl.protocol.listen_verb.listen_verb import ActionHook, BidirectionalAudio, ListenVerb
    from listenctl.simulator.plan import CallPlan

PTIMES_MS = (10, 20, 30, 40, 60)
CALL_RATES = (8000, 16000, 48000)
STDIN = "-"
WAV_SUFFIXES = (".wav", ".wave")

Value = TypeVar("Value")


def plan_of(options: "CallOptions") -> "CallPlan":
    """
    Understand the options of a call.

    Raises:
        UsageError: they contradict each other, or a file can't be used.
    """
    from listenctl.protocol.jambonz_model.profiles import PROFILES
    from listenctl.simulator.injected_faults import parse_fault
    from listenctl.simulator.plan import DEFAULT_CALLEE, DEFAULT_CALLER, CallPlan

    check_options(options)
    profile = PROFILES[options.profile]
    asked = read_verb(options.verb, profile)
    kind = kind_of(options, asked)
    verb = verb_of(options, asked, kind, profile)
    return CallPlan(
        target=target_of(
            options, called_url(options.url, asked.url), base=options.base_url, credentials=asked.credentials
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
        loop=options.loop,
        dtmf_presses=parse_keys(options.dtmf),
        faults=tuple(parse_fault(spec) for spec in options.fault or ()),
        heard=options.heard,
        speaker=speaker_of(options),
        warnings=tuple(warnings_of(options, asked, verb, kind)),
    )


def check_options(options: "CallOptions") -> None:
    """See that no option has a value that no phone could have, and that stdin is wanted once."""
    if options.ptime not in PTIMES_MS:
        raise UsageError(f"--ptime {options.ptime}: frames of phones last 10, 20, 30, 40 or 60 ms")
    if options.call_rate not in CALL_RATES:
        raise UsageError(f"--call-rate {options.call_rate}: codecs of phones have 8000, 16000 or 48000 Hz")
    for name in ("duration", "max_length", "silence_timeout"):
        value = getattr(options, name)
        if value is not None and not 0 < value < inf:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: give a number of seconds above 0")
    check_heard(options.heard)
    readers = [("--verb", options.verb), ("--audio", options.audio), ("--callee", options.callee)]
    names = [name for name, value in readers if value == STDIN]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} can't both be stdin; put one into a file")


def check_heard(path: Path | None) -> None:
    """See that the recording of a call is asked for in a file, and as a WAV."""
    if path is None:
        return
    if str(path) == STDIN:
        raise UsageError("--heard -: the recording needs a file, since it grows with the call; name one")
    if path.suffix.lower() not in ("", *WAV_SUFFIXES):
        raise UsageError(f"--heard {path}: is written as WAV only; name it {path.with_suffix('.wav')}")


def read_verb(name: str | None, profile: "Profile") -> "ListenVerb":
    """Return the verb in a file, or one that asks for nothing."""
    from listenctl.protocol.listen_verb.listen_verb import ListenVerb
    from listenctl.protocol.listen_verb.parse_listen_verb import parse_listen_verb

    if name is None:
        return ListenVerb()
    if name == STDIN:
        return parse_listen_verb(sys.stdin.buffer.read(), where="stdin", profile=profile)
    try:
        raw = Path(name).read_bytes()
    except OSError as exc:
        raise UsageError(f"{name}: can't be read: {exc.strerror}") from exc
    return parse_listen_verb(raw, where=name, profile=profile)


def called_url(given: str | None, asked: str | None) -> str:
    """Return the URL to call: the verb's, if it has one, stands in place of the one that was given."""
    if asked is None and given is None:
        raise UsageError("there is no URL to call: give one, such as ws://127.0.0.1:3000/, or a --verb that has a url")
    return asked or given or ""


def verb_of(options: "CallOptions", asked: "ListenVerb", kind: "CallKind", profile: "Profile") -> "ListenVerb":
    """Return the verb with what the options say instead, and what is to note of that."""
    from listenctl.protocol.jambonz_model.first_text import CallKind
    from listenctl.protocol.listen_verb.listen_verb import Nesting, allowed_audio, cloud_recording, quirks

    if kind is CallKind.RECORD and options.mix_type not in (None, MixType.STEREO):
        raise UsageError(f"--mix-type {options.mix_type}: jambonz records calls in stereo only; leave it out")
    base = cloud_recording(asked) if kind is CallKind.RECORD else asked
    verb = replace(
        base,
        mix_type=_first(options.mix_type, base.mix_type),
        sample_rate=_first(options.sample_rate, base.sample_rate),
        metadata={**base.metadata, **parse_metadata(options.metadata or ())},
        pass_dtmf=_first(options.pass_dtmf, base.pass_dtmf),
        finish_on_key=_first(options.finish_on_key, base.finish_on_key),
        max_length=_first(options.max_length, base.max_length),
        play_beep=_first(options.play_beep, base.play_beep),
        timeout=_first(options.silence_timeout, base.timeout),
        bidirectional=bidirectional_of(options, base.bidirectional),
        action_hook=action_hook_of(options, base.action_hook),
        nesting={CallKind.DIAL: Nesting.DIAL, CallKind.CONFIG: Nesting.CONFIG}.get(kind, Nesting.ALONE),
    )
    # What is odd about the verb in the file needn't be odd any more with the options, and the other way round.
    outdated = quirks(asked, profile)
    notes = (*(note for note in asked.notes if note not in outdated), *quirks(verb, profile))
    return replace(verb, bidirectional=allowed_audio(verb, profile), notes=notes)


def bidirectional_of(options: "PlayoutOptions", asked: "BidirectionalAudio") -> "BidirectionalAudio":
    """Return what is to be played; --streaming is both the switch and the rate."""
    if options.streaming is not None:
        asked = replace(asked, streaming=True, sample_rate=options.streaming)
    return replace(asked, enabled=False) if options.disable_bidirectional_audio else asked


def action_hook_of(options: "VerbOptions", asked: "ActionHook | None") -> "ActionHook | None":
    """Return the hook to call at the end, with an absolute URL."""
    from urllib.parse import urljoin, urlsplit

    from listenctl.protocol.listen_verb.listen_verb import ActionHook

    hook = asked if options.action_hook is None else ActionHook(options.action_hook)
    if hook is None:
        return None
    if hook.url.startswith("/") and options.base_url is None:
        raise UsageError(f"the action hook {hook.url} is relative: say with --base-url what to")
    url = urljoin(options.base_url or "", hook.url)
    if urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"the action hook {hook.url} is no http:// or https:// URL")
    return replace(hook, url=url)


def kind_of(options: "VerbOptions", verb: "ListenVerb") -> "CallKind":
    """Return what the call is: as --kind says, or as the verb is nested."""
    from listenctl.protocol.jambonz_model.first_text import CallKind
    from listenctl.protocol.listen_verb.listen_verb import Nesting

    if options.kind is not None:
        return CallKind(options.kind)
    return {Nesting.DIAL: CallKind.DIAL, Nesting.CONFIG: CallKind.CONFIG}.get(verb.nesting, CallKind.INBOUND)


def speaker_of(options: "PlayoutOptions") -> str | None:
    """Return the device to play to: empty for the default one, None for none."""
    return options.speaker_device or ("" if options.speaker else None)


def warnings_of(options: "CallOptions", asked: "ListenVerb", verb: "ListenVerb", kind: "CallKind") -> list[str]:
    """Return what is odd, but may be meant."""
    from listenctl.protocol.jambonz_model.first_text import CallKind

    warnings = []
    if verb.sample_rate % 8000:
        warnings.append(
            f"a sample rate of {verb.sample_rate} Hz is rare: jambonz takes it, though it is no multiple of 8000"
        )
    if options.url is not None and asked.url is not None and options.url != asked.url:
        warnings.append(f"the verb's url stands in place of {options.url}; take it out of the verb to call that one")
    if options.callee is not None and verb.mix_type == "mono":
        warnings.append("--callee is heard by the caller, but not sent: mono is the caller alone")
    if options.metadata and kind is CallKind.RECORD:
        warnings.append("--metadata is not sent: the recorder of all calls has none")
    return warnings


def _first(given: Value | None, asked: Value) -> Value:
    return asked if given is None else given
