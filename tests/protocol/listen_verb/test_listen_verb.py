import pytest

from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, PROFILES, Profile
from listenctl.protocol.listen_verb.listen_verb import (
    ActionHook,
    BidirectionalAudio,
    ListenVerb,
    allowed_audio,
    cloud_recording,
    ends_call,
    quirks,
    silence_timeout,
)
from listenctl.protocol.opening_handshake import Credentials
from tests.helpers.verbs import URL, config, error_of, listen, parse


def test_a_bare_verb_has_the_defaults_of_jambonz() -> None:
    assert parse(listen()) == ListenVerb(url=URL)
    assert parse({"verb": "stream", "url": URL}) == ListenVerb(url=URL)
    assert parse({"listen": {"url": URL}}) == ListenVerb(url=URL)


def test_every_option_is_read() -> None:
    verb = parse(
        listen(
            id="l1",
            wsAuth={"username": "listen", "password": "s3cret"},
            mixType="stereo",
            sampleRate=16_000,
            metadata={"agent": "Zoë", "deep": {"a": [1]}},
            passDtmf=True,
            finishOnKey="#",
            maxLength=30.5,
            playBeep=True,
            timeout=10,
            bidirectionalAudio={"enabled": True, "streaming": True, "sampleRate": 24_000},
            actionHook="/done",
            transcribe={"recognizer": {"vendor": "google"}},
            channel=2,
            earlyMedia=True,
            auth={},
        )
    )

    assert verb == ListenVerb(
        url=URL,
        credentials=Credentials("listen", "s3cret"),
        mix_type="stereo",
        sample_rate=16_000,
        metadata={"agent": "Zoë", "deep": {"a": [1]}},
        pass_dtmf=True,
        finish_on_key="#",
        max_length=30.5,
        play_beep=True,
        timeout=10,
        bidirectional=BidirectionalAudio(enabled=True, streaming=True, sample_rate=24_000),
        action_hook=ActionHook("/done"),
        transcribe=True,
        channel=2,
        notes=(
            "timeout does nothing in any jambonz; only the profile ideal ends a silent call",
            "transcribe is accepted but not simulated",
            "the answer to the actionHook is not run",
        ),
    )


def test_no_password_is_printed() -> None:
    assert "s3cret" not in repr(parse(listen(wsAuth={"username": "listen", "password": "s3cret"})))


def test_unknown_options_are_named_and_the_call_goes_on() -> None:
    verb = parse([listen(bdirectionalAudio={}, enable=True, _="free", bidirectionalAudio={"rate": 8000})])

    assert verb.url == URL
    assert verb.notes == (
        "[0].listen.bdirectionalAudio is unknown; jambonz rejects the application",
        "[0].listen.enable is unknown; jambonz rejects the application",
        "[0].listen.bidirectionalAudio.rate is unknown; jambonz rejects the application",
    )


@pytest.mark.parametrize("name", ["actionHook", "finishOnKey", "transcribe", "channel", "bdirectionalAudio"])
def test_a_config_with_an_option_that_it_does_not_allow_is_refused(name: str) -> None:
    assert error_of(config(**{name: "x"})) == (
        f"verb.json: jambonz rejects the whole config: it can't have config.listen.{name}"
    )


def test_a_verb_without_url_is_noted() -> None:
    verb = parse({"verb": "listen"})

    assert verb.url is None
    assert verb.notes == ("listen has no url; jambonz rejects the application",)


@pytest.mark.parametrize("auth", [{"username": "a"}, {"username": "a", "password": ""}, {"password": "b"}, {}, None])
def test_half_of_the_credentials_are_none(auth: object) -> None:
    verb = parse(listen(wsAuth=auth))

    assert verb.credentials is None
    assert verb.notes == ("listen.wsAuth needs a username and a password; nothing is sent",)


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        ("", None),
        (None, None),
        ("https://h/x", ActionHook("https://h/x")),
        ({"url": "/x"}, ActionHook("/x", "POST")),
        ({"url": "/x", "method": "GET"}, ActionHook("/x", "GET")),
        ({"url": "/x", "username": "u", "password": "p"}, ActionHook("/x", credentials=Credentials("u", "p"))),
        ({"url": "/x", "username": "u"}, ActionHook("/x")),
    ],
)
def test_an_action_hook_is_a_url_or_an_object(hook: object, expected: ActionHook | None) -> None:
    assert parse(listen(actionHook=hook)).action_hook == expected


def test_the_answer_to_the_action_hook_of_a_nested_listen_is_ignored() -> None:
    verb = parse({"verb": "dial", "listen": {"url": URL, "actionHook": "/x"}})

    assert verb.notes == ("jambonz ignores the answer to the actionHook of a nested listen",)


@pytest.mark.parametrize("options", [{"disableBidirectionalAudio": True}, {"bidirectionalAudio": {"enabled": False}}])
def test_bidirectional_audio_can_be_disabled_in_two_ways(options: dict[str, object]) -> None:
    assert parse(listen(**options)).bidirectional == BidirectionalAudio(enabled=False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sampleRate": 0}, ListenVerb(url=URL)),
        ({"maxLength": 0}, ListenVerb(url=URL)),
        ({"sampleRate": 11_025.0}, ListenVerb(url=URL, sample_rate=11_025)),
        ({"metadata": None}, ListenVerb(url=URL)),
        ({"bidirectionalAudio": None}, ListenVerb(url=URL)),
        ({"disableBidirectionalAudio": False}, ListenVerb(url=URL)),
    ],
)
def test_values_that_jambonz_takes_for_none_are_none(options: dict[str, object], expected: ListenVerb) -> None:
    assert parse(listen(**options)) == expected


@pytest.mark.parametrize("profile", [CURRENT, OLD, NEXT])
def test_the_finishing_key_is_compared_with_one_digit(profile: Profile) -> None:
    assert ends_call(ListenVerb(finish_on_key="#"), "#", profile)
    assert not ends_call(ListenVerb(finish_on_key="#"), "*", profile)
    assert not ends_call(ListenVerb(finish_on_key="#*"), "#", profile)
    assert not ends_call(ListenVerb(), "#", profile)


def test_the_finishing_key_is_one_of_a_set_as_documented() -> None:
    assert ends_call(ListenVerb(finish_on_key="#*"), "#", IDEAL)
    assert ends_call(ListenVerb(finish_on_key="#*"), "*", IDEAL)
    assert not ends_call(ListenVerb(finish_on_key="#*"), "1", IDEAL)
    assert not ends_call(ListenVerb(), "#", IDEAL)


@pytest.mark.parametrize("profile", [CURRENT, OLD, NEXT])
def test_several_finishing_keys_are_said_never_to_match(profile: Profile) -> None:
    note = "finishOnKey '#*' never matches: jambonz compares it with one digit"

    assert parse(listen(finishOnKey="#*"), profile).notes == (note,)
    assert parse(listen(finishOnKey="#*"), IDEAL).notes == ()


def test_silence_ends_a_call_only_as_documented() -> None:
    verb = ListenVerb(timeout=5)

    assert {name: silence_timeout(verb, profile) for name, profile in PROFILES.items()} == {
        "ideal": 5,
        "current": None,
        "old": None,
        "next": None,
    }
    assert quirks(verb, IDEAL) == ()
    assert quirks(verb, NEXT) == ("timeout does nothing in any jambonz; only the profile ideal ends a silent call",)


def test_there_is_no_bidirectional_audio_in_a_dial_as_documented() -> None:
    audio = {"streaming": True, "sampleRate": 8000}
    dial = {"verb": "dial", "listen": {"url": URL, "bidirectionalAudio": audio}}

    assert parse(dial, CURRENT).bidirectional == BidirectionalAudio(streaming=True, sample_rate=8000)
    assert parse(dial, CURRENT).notes == ()
    assert parse(dial, IDEAL).bidirectional == BidirectionalAudio(enabled=False)
    assert parse(dial, IDEAL).notes == ("a listen nested in dial has no bidirectional audio",)
    assert allowed_audio(parse(listen(bidirectionalAudio=audio), IDEAL), IDEAL).streaming


@pytest.mark.parametrize("profile", [IDEAL, CURRENT, NEXT])
def test_streaming_without_a_rate_is_said_to_be_none(profile: Profile) -> None:
    verb = parse(listen(bidirectionalAudio={"streaming": True}), profile)

    assert verb.notes == ("streaming needs bidirectionalAudio.sampleRate too: clips are played, binary audio is not",)


def test_old_is_said_to_know_no_streaming() -> None:
    verb = parse(listen(bidirectionalAudio={"streaming": True, "sampleRate": 8000}), OLD)

    assert verb.notes == ("the profile old has no streaming: clips are played, binary audio is not",)


@pytest.mark.parametrize(
    ("profile", "notes"),
    [
        (
            CURRENT,
            ("bidirectionalAudio.enabled false does not stop streaming: binary audio is still played",),
        ),
        (NEXT, ()),
        (IDEAL, ()),
    ],
)
def test_current_streams_even_where_that_is_disabled(profile: Profile, notes: tuple[str, ...]) -> None:
    audio = {"enabled": False, "streaming": True, "sampleRate": 8000}

    assert parse(listen(bidirectionalAudio=audio), profile).notes == notes


def test_cloud_recording_keeps_only_the_address() -> None:
    verb = ListenVerb(
        url=URL, credentials=Credentials("u", "p"), metadata={"a": 1}, sample_rate=16_000, finish_on_key="#"
    )

    assert cloud_recording(verb) == ListenVerb(
        url=URL,
        credentials=Credentials("u", "p"),
        mix_type="stereo",
        pass_dtmf=True,
        bidirectional=BidirectionalAudio(enabled=False),
    )
