"""The calls that options describe."""

import io
import json
import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest

from listenctl.commands.call.call_options import CallOptions
from listenctl.commands.call.plan import make_call_plan, parse_metadata
from listenctl.commands.connection_options import AUTH_VARIABLE
from listenctl.commands.shared_options import ProfileName
from listenctl.errors import UsageError
from listenctl.protocol.audio import MixType
from listenctl.protocol.jambonz_model.first_text import CallKind
from listenctl.protocol.jambonz_model.profiles import IDEAL, NEXT
from listenctl.protocol.listen_verb.listen_verb import ActionHook, BidirectionalAudio
from listenctl.protocol.opening_handshake import Credentials
from listenctl.simulator.plan import CallPlan, DtmfPress, call_metadata

URL = "ws://127.0.0.1:3000/"
VERB = {
    "verb": "listen",
    "url": "wss://app.example.com/audio",
    "mixType": "stereo",
    "sampleRate": 16000,
    "metadata": {"a": "verb", "b": 1},
    "passDtmf": True,
    "finishOnKey": "#",
    "maxLength": 9,
    "playBeep": True,
    "wsAuth": {"username": "listen", "password": "s3cret"},
    "bidirectionalAudio": {"enabled": True, "streaming": True, "sampleRate": 24000},
    "actionHook": "/done",
}


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(AUTH_VARIABLE, raising=False)


def write(folder: Path, verb: object) -> str:
    path = folder / "verb.json"
    path.write_text(json.dumps(verb))
    return str(path)


def test_defaults() -> None:
    plan = make_call_plan(CallOptions(url=URL))

    assert str(plan.target.address) == URL
    assert plan == CallPlan(target=plan.target, caller="speech")
    assert (plan.verb.mix_type, plan.verb.sample_rate, plan.kind) == ("mono", 8000, CallKind.INBOUND)


def test_all_options() -> None:
    options = CallOptions(
        url=URL,
        kind="outbound",
        mix_type=MixType.MIXED,
        sample_rate=48000,
        metadata=["a=1", "b:=[2]"],
        pass_dtmf=True,
        finish_on_key="*",
        max_length=3.0,
        play_beep=True,
        silence_timeout=4.0,
        action_hook="https://app.example.com/done",
        from_="+1",
        to="+2",
        audio="tone:440",
        callee="silence",
        loop=True,
        duration=5.0,
        dtmf="2:1",
        ptime=60,
        call_rate=16000,
        profile="ideal",
        streaming=24000,
        heard=Path("heard.wav"),
        speaker_device="USB",
        fault=["abrupt-end", "stall=5@4"],
        user_agent="jambonz/10",
        subprotocol="",
    )

    plan = make_call_plan(options)

    verb = plan.verb
    assert (verb.mix_type, verb.sample_rate, verb.metadata) == ("mixed", 48000, {"a": "1", "b": [2]})
    assert (verb.pass_dtmf, verb.finish_on_key, verb.max_length) == (True, "*", 3.0)
    assert (verb.play_beep, verb.timeout) == (True, 4.0)
    assert verb.action_hook == ActionHook("https://app.example.com/done")
    assert verb.bidirectional == BidirectionalAudio(streaming=True, sample_rate=24000)
    assert (plan.kind, plan.profile, plan.caller_number, plan.callee_number) == (CallKind.OUTBOUND, IDEAL, "+1", "+2")
    assert (plan.caller, plan.callee, plan.loop, plan.duration) == ("tone:440", "silence", True, 5.0)
    assert (plan.dtmf_presses, plan.ptime, plan.call_rate) == ((DtmfPress(2.0, "1"),), 0.06, 16000)
    assert (plan.heard, plan.speaker) == (Path("heard.wav"), "USB")
    assert [(fault.name, fault.number, fault.start) for fault in plan.faults] == [
        ("abrupt-end", 0.0, 0.0),
        ("stall", 5.0, 4.0),
    ]
    assert (plan.target.user_agent, plan.target.subprotocol) == ("jambonz/10", None)
    assert plan.warnings == ()


def test_bidirectional_audio_can_be_disabled() -> None:
    plan = make_call_plan(CallOptions(url=URL, streaming=8000, disable_bidirectional_audio=True))

    assert plan.verb.bidirectional == BidirectionalAudio(enabled=False, streaming=True, sample_rate=8000)


@pytest.mark.parametrize(("speaker", "device", "expected"), [(False, None, None), (True, None, ""), (True, "a", "a")])
def test_speaker_options(speaker: bool, device: str | None, expected: str | None) -> None:
    assert make_call_plan(CallOptions(url=URL, speaker=speaker, speaker_device=device)).speaker == expected


def test_unusual_sample_rate_is_a_warning() -> None:
    plan = make_call_plan(CallOptions(url=URL, sample_rate=11025))

    assert plan.verb.sample_rate == 11025
    assert plan.warnings == (
        "a sample rate of 11025 Hz is unusual: jambonz accepts it, but it isn't a multiple of 8000",
    )


def test_metadata_of_a_call_recorder_is_a_warning() -> None:
    plans = [make_call_plan(CallOptions(url=URL, kind=kind, metadata=["a=1"])) for kind in ("record", "inbound")]

    assert [plan.warnings for plan in plans] == [("--metadata is not sent: the call recorder of jambonz has none",), ()]


def test_taps_of_rooms_are_those_of_jambonz_11() -> None:
    room, member = (make_call_plan(CallOptions(url=URL, kind=kind, metadata=["a=1"])) for kind in ("room", "member"))

    assert (room.kind, room.profile, member.kind, member.profile) == (CallKind.ROOM, NEXT, CallKind.MEMBER, NEXT)
    assert room.warnings == (
        "only jambonz 11 taps rooms, so that the profile is next, not current",
        "the first text of a room tap is the metadata alone: put sampleRate into it, or the server can't know it",
    )
    assert member.warnings[1:] == (
        "the audio of a muted member is sent too, and the tag of one that joins late is empty: go by callSid",
    )


@pytest.mark.parametrize("profile", ["current", "next"])
def test_a_verb_that_taps_a_room_is_called_as_jambonz_11_does(profile: ProfileName, tmp_path: Path) -> None:
    metadata = {"sampleRate": 16000, "agent": "O'Brien"}
    verb = [{"verb": "room", "name": "r", "stream": {"url": URL, "sampleRate": 16000, "metadata": metadata}}]

    plan = make_call_plan(CallOptions(verb=write(tmp_path, verb), profile=profile))

    assert (plan.kind, plan.profile, plan.verb.sample_rate, plan.verb.notes) == (CallKind.ROOM, NEXT, 16000, ())
    assert call_metadata(plan)[1] == metadata


@pytest.mark.parametrize("name", ["heard.wav", "HEARD.WAV", "heard"])
def test_recording_is_a_wav_file(name: str) -> None:
    assert make_call_plan(CallOptions(url=URL, heard=Path(name))).heard == Path(name)


def test_verb_describes_the_call(tmp_path: Path) -> None:
    options = CallOptions(verb=write(tmp_path, {"verb": "dial", "listen": VERB}), base_url="https://a.example.com/x/")

    plan = make_call_plan(options)

    verb = plan.verb
    assert str(plan.target.address) == "wss://app.example.com/audio"
    assert isinstance(plan.target.tls, ssl.SSLContext)
    assert plan.target.credentials == Credentials("listen", "s3cret")
    assert (plan.kind, verb.mix_type, verb.sample_rate) == (CallKind.DIAL, "stereo", 16000)
    assert (verb.pass_dtmf, verb.finish_on_key, verb.max_length, verb.play_beep) == (True, "#", 9, True)
    assert verb.action_hook == ActionHook("https://a.example.com/done")


def test_options_override_the_verb(tmp_path: Path) -> None:
    options = CallOptions(
        verb=write(tmp_path, VERB | {"actionHook": "http://h/"}),
        mix_type=MixType.MONO,
        metadata=["a=option", "c=3"],
        pass_dtmf=False,
        finish_on_key="",
        play_beep=False,
        streaming=8000,
        kind="outbound",
    )

    plan = make_call_plan(options)

    verb = plan.verb
    assert (verb.mix_type, verb.sample_rate) == ("mono", 16000)
    assert verb.metadata == {"a": "option", "b": 1, "c": "3"}
    assert (verb.pass_dtmf, verb.finish_on_key, verb.play_beep) == (False, "", False)
    assert (verb.bidirectional.sample_rate, plan.kind) == (8000, CallKind.OUTBOUND)


def test_url_of_the_verb_overrides_the_argument(tmp_path: Path) -> None:
    plan = make_call_plan(CallOptions(url=URL, verb=write(tmp_path, {"verb": "listen", "url": "ws://a/b"})))

    assert str(plan.target.address) == "ws://a/b"
    assert plan.warnings == (f"the verb's url replaces {URL}; remove it from the verb to call that URL",)


def test_verb_without_a_url(tmp_path: Path) -> None:
    plan = make_call_plan(CallOptions(url=URL, verb=write(tmp_path, {"verb": "listen", "sampleRate": 16000})))

    assert (str(plan.target.address), plan.verb.sample_rate) == (URL, 16000)


def test_verb_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    given = SimpleNamespace(buffer=io.BytesIO(json.dumps({"verb": "stream", "url": "ws://a/"}).encode()))
    monkeypatch.setattr("sys.stdin", given)

    assert str(make_call_plan(CallOptions(verb="-")).target.address) == "ws://a/"


@pytest.mark.parametrize(
    ("base", "address", "credentials"),
    [
        ("https://app.example.com/hello", "wss://app.example.com/audio", Credentials("listen", "s3cret")),
        ("http://u:p%40@app.example.com:8080", "ws://app.example.com:8080/audio", Credentials("u", "p@")),
    ],
)
def test_relative_url_uses_host_and_credentials_of_the_application(
    base: str, address: str, credentials: Credentials, tmp_path: Path
) -> None:
    verb = write(tmp_path, VERB | {"url": "/audio", "actionHook": "http://h/"})

    target = make_call_plan(CallOptions(verb=verb, base_url=base)).target

    assert (str(target.address), target.credentials) == (address, credentials)


def test_notes_are_about_the_verb_with_options_applied(tmp_path: Path) -> None:
    verb = write(tmp_path, {"verb": "listen", "url": "ws://a/", "finishOnKey": "#*", "colour": 1})

    as_written = make_call_plan(CallOptions(verb=verb)).verb.notes
    with_options = make_call_plan(CallOptions(verb=verb, finish_on_key="#", silence_timeout=2)).verb.notes

    assert [note.partition(" ")[0] for note in as_written] == ["listen.colour", "finishOnKey"]
    assert [note.partition(" ")[0] for note in with_options] == ["listen.colour", "timeout"]


def test_dial_has_no_bidirectional_audio_in_the_ideal_profile() -> None:
    plans = [
        make_call_plan(CallOptions(url=URL, kind="dial", streaming=8000, profile=profile))
        for profile in ("ideal", "current")
    ]

    assert [plan.verb.bidirectional.enabled for plan in plans] == [False, True]


def test_call_recorder_has_fixed_settings_that_options_override(tmp_path: Path) -> None:
    verb = write(tmp_path, VERB | {"actionHook": "http://h/"})

    fixed = make_call_plan(CallOptions(verb=verb, kind="record")).verb
    other = make_call_plan(CallOptions(verb=verb, kind="record", sample_rate=16000)).verb

    assert (fixed.mix_type, fixed.sample_rate, fixed.pass_dtmf, fixed.finish_on_key) == ("stereo", 8000, True, "")
    assert (other.sample_rate, other.pass_dtmf) == (16000, True)


def test_call_recorder_is_stereo_only() -> None:
    with pytest.raises(UsageError, match="--mix-type mixed: jambonz records calls in stereo only"):
        make_call_plan(CallOptions(url=URL, kind="record", mix_type=MixType.MIXED))


def test_credentials_of_file_variable_and_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verb, path = write(tmp_path, VERB | {"actionHook": "http://h/"}), tmp_path / "auth"
    path.write_text("of:file\n")
    found = [make_call_plan(CallOptions(verb=verb)).target.credentials]
    monkeypatch.setenv(AUTH_VARIABLE, "of:variable")
    found += [make_call_plan(CallOptions(verb=verb, auth_file=auth)).target.credentials for auth in (None, path)]

    assert found == [Credentials("listen", "s3cret"), Credentials("of", "variable"), Credentials("of", "file")]


def test_password_hashes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("listen:scrypt$14$8$1$c2FsdA$aGFzaA\n")

    with pytest.raises(UsageError, match="users: contains a password hash for a server; to connect, give the password"):
        make_call_plan(CallOptions(url=URL, auth_file=path))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (CallOptions(), "no URL to call: give one"),
        (CallOptions(url="127.0.0.1:3000"), "must begin with ws://"),
        (CallOptions(url="/audio"), "the url /audio is relative: give the application's URL with --base-url"),
        (CallOptions(url=URL, verb="none.json"), "none.json: can't be read: No such file"),
        (CallOptions(url=URL, verb="-", audio="-"), "--verb and --audio can't both be stdin"),
        (CallOptions(url=URL, audio="-", callee="-"), "--audio and --callee can't both be stdin"),
        (CallOptions(url=URL, ptime=25), "--ptime 25: must be 10, 20, 30, 40 or 60 ms"),
        (CallOptions(url=URL, call_rate=11025), "--call-rate 11025: must be 8000"),
        (CallOptions(url=URL, duration=float("nan")), "--duration nan: give a number of seconds above 0"),
        (CallOptions(url=URL, max_length=float("inf")), "--max-length inf: give a number of seconds"),
        (CallOptions(url=URL, silence_timeout=0.0), "--silence-timeout 0: give a number of seconds"),
        (CallOptions(url=URL, dtmf="1"), "--dtmf '1': write SECONDS:KEYS"),
        (CallOptions(url=URL, metadata=["x"]), "--metadata 'x': write KEY=TEXT"),
        (CallOptions(url=URL, fault=["nothing"]), "unknown fault"),
        (CallOptions(url=URL, action_hook="/done"), "the action hook /done is relative: give the application's URL"),
        (CallOptions(url=URL, action_hook="ftp://a/"), "the action hook ftp://a/ isn't an http:// or https:// URL"),
        (CallOptions(url=URL, user_agent="a\r\nb: c"), "--user-agent .*: a header takes printable ASCII"),
        (CallOptions(url=URL, subprotocol="a b"), "--subprotocol 'a b': is not a token"),
        (CallOptions(url=URL, subprotocol="a,b"), "--subprotocol 'a,b': is not a token"),
        (CallOptions(url=URL, subprotocol="a\r\nb: c"), "--subprotocol .*: is not a token"),
        (CallOptions(url=URL, subprotocol="a\n"), "--subprotocol .*: is not a token"),
        (CallOptions(url=URL, heard=Path("x.flac")), "--heard x.flac: is written as WAV only; name it x.wav"),
        (CallOptions(url=URL, heard=Path("-")), "--heard -: the recording can't go to stdout"),
        (CallOptions(url=URL, ca=Path("none.pem")), "none.pem: can't be used as CA: No such file"),
        (CallOptions(url=URL, auth_file=Path("none")), "none: can't read credentials: No such file"),
    ],
)
def test_unusable_options_are_refused(
    options: CallOptions, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match=problem):
        make_call_plan(options)


@pytest.mark.parametrize(
    ("arguments", "metadata"),
    [
        ([], {}),
        (["a=1", "b="], {"a": "1", "b": ""}),
        (["a:=1", "b:=true", 'c:={"d":[null]}', 'e:="1"'], {"a": 1, "b": True, "c": {"d": [None]}, "e": "1"}),
        (["url=http://x/?a=b", "t=12:=3"], {"url": "http://x/?a=b", "t": "12:=3"}),
        (["a=1", "a:=2"], {"a": 2}),
        (["a=two\nlines"], {"a": "two\nlines"}),
    ],
)
def test_metadata_fields(arguments: list[str], metadata: dict[str, object]) -> None:
    assert parse_metadata(arguments) == metadata


def test_metadata_file_and_order(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text('{"a": {"b": 1}, "c": "ä"}')

    assert parse_metadata(["c=first", f"@{path}", "a:=[]"]) == {"c": "ä", "a": []}


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("word", "write KEY=TEXT, KEY:=JSON or @FILE"),
        ("=x", "write KEY=TEXT"),
        ("a:=word", "the value isn't JSON; for text write a=TEXT"),
        ("a:=NaN", "the value isn't JSON"),
        ("@none.json", "none.json: can't be read: No such file"),
    ],
)
def test_invalid_metadata_is_refused(argument: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_metadata([argument])


@pytest.mark.parametrize(
    ("content", "problem"), [(b"{", "isn't JSON"), (b"[]", "must be a JSON object"), (b"\xff", "isn't JSON")]
)
def test_metadata_file_must_contain_an_object(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(content)

    with pytest.raises(UsageError, match=problem):
        parse_metadata([f"@{path}"])
