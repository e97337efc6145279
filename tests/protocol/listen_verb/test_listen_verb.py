from dataclasses import replace

import pytest

from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, PROFILES, Profile
from listenctl.protocol.listen_verb.listen_verb import (
    ActionHook,
    BidirectionalAudio,
    ListenVerb,
    Nesting,
    allowed_audio,
    cloud_recording,
    ends_call,
    quirks,
    silence_timeout,
)
from listenctl.protocol.opening_handshake import Credentials
from tests.helpers.verbs import URL, listen, parse


@pytest.mark.parametrize(
    ("finish_on_key", "digit", "profiles"),
    [
        ("#", "#", [CURRENT, OLD, NEXT, IDEAL]),
        ("#", "*", []),
        # A set as documented, compared with one digit in fact.
        ("#*", "#", [IDEAL]),
        ("#*", "*", [IDEAL]),
        ("#*", "1", []),
        ("", "#", []),
    ],
)
def test_a_finishing_key_ends_the_call(finish_on_key: str, digit: str, profiles: list[Profile]) -> None:
    verb = ListenVerb(finish_on_key=finish_on_key)

    assert [profile for profile in (CURRENT, OLD, NEXT, IDEAL) if ends_call(verb, digit, profile)] == profiles


def test_silence_ends_a_call_only_as_documented() -> None:
    verb = ListenVerb(timeout=5)

    assert {name: silence_timeout(verb, profile) for name, profile in PROFILES.items()} == {
        "ideal": 5,
        "current": None,
        "old": None,
        "next": None,
    }
    assert quirks(verb, IDEAL) == ()
    assert quirks(verb, NEXT) == ("timeout has no effect in jambonz; only --profile ideal ends a silent call",)


def test_there_is_no_bidirectional_audio_in_a_dial_as_documented() -> None:
    audio = {"streaming": True, "sampleRate": 8000}
    dial = {"verb": "dial", "listen": {"url": URL, "bidirectionalAudio": audio}}

    assert parse(dial, CURRENT).bidirectional == BidirectionalAudio(streaming=True, sample_rate=8000)
    assert parse(dial, CURRENT).notes == ()
    assert parse(dial, IDEAL).bidirectional == BidirectionalAudio(enabled=False)
    assert parse(dial, IDEAL).notes == ("a listen nested in dial has no bidirectional audio",)
    assert allowed_audio(parse(listen(bidirectionalAudio=audio), IDEAL), IDEAL).streaming


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


STREAMING = BidirectionalAudio(streaming=True, sample_rate=8000)
NO_RATE = BidirectionalAudio(streaming=True)


@pytest.mark.parametrize(
    ("verb", "profiles", "quirk"),
    [
        (
            ListenVerb(finish_on_key="#*"),
            "current old next",
            "finishOnKey '#*' never matches: jambonz compares it with",
        ),
        (ListenVerb(timeout=5), "current old next", "timeout has no effect in jambonz; only --profile ideal ends"),
        (ListenVerb(bidirectional=NO_RATE), "current next ideal", "streaming needs bidirectionalAudio.sampleRate too"),
        (ListenVerb(bidirectional=STREAMING), "old", "the profile old has no streaming: clips are played, binary"),
        (
            ListenVerb(bidirectional=replace(STREAMING, enabled=False)),
            "current",
            "bidirectionalAudio.enabled false does not stop streaming: binary audio is still played",
        ),
        (ListenVerb(transcribe=True), "current old next ideal", "transcribe is accepted but not simulated"),
        (ListenVerb(action_hook=ActionHook("/x")), "current old next ideal", "the answer to the actionHook is not run"),
        (
            ListenVerb(action_hook=ActionHook("/x"), nesting=Nesting.DIAL),
            "current old next ideal",
            "jambonz ignores the answer to the actionHook of a nested listen",
        ),
    ],
)
def test_an_option_that_does_not_do_what_it_seems_to_has_a_quirk(verb: ListenVerb, profiles: str, quirk: str) -> None:
    found = {name: quirks(verb, profile) for name, profile in PROFILES.items()}

    assert {name for name, sentences in found.items() if any(one.startswith(quirk) for one in sentences)} == set(
        profiles.split()
    )
