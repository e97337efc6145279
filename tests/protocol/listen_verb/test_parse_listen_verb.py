import json

import pytest

from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, Profile
from listenctl.protocol.listen_verb.listen_verb import ActionHook, BidirectionalAudio, ListenVerb, Nesting
from listenctl.protocol.opening_handshake import Credentials
from tests.helpers.verbs import URL, config, error_of, listen, parse


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (listen(), ListenVerb(url=URL)),
        ({"verb": "stream", "url": URL}, ListenVerb(url=URL)),
        ({"listen": {"url": URL}}, ListenVerb(url=URL)),
        (
            {"verb": "dial", "target": [], "listen": {"url": URL, "mixType": "stereo"}},
            ListenVerb(url=URL, mix_type="stereo", nesting=Nesting.DIAL),
        ),
        ({"verb": "dial", "stream": {"url": URL}}, ListenVerb(url=URL, nesting=Nesting.DIAL)),
        (config(passDtmf=True), ListenVerb(url=URL, pass_dtmf=True, nesting=Nesting.CONFIG)),
        # Two ways to disable bidirectional audio.
        (listen(disableBidirectionalAudio=True), ListenVerb(url=URL, bidirectional=BidirectionalAudio(enabled=False))),
        (
            listen(bidirectionalAudio={"enabled": False}),
            ListenVerb(url=URL, bidirectional=BidirectionalAudio(enabled=False)),
        ),
        # Values that jambonz takes for none.
        (listen(sampleRate=0), ListenVerb(url=URL)),
        (listen(maxLength=0), ListenVerb(url=URL)),
        (listen(sampleRate=11_025.0), ListenVerb(url=URL, sample_rate=11_025)),
        (listen(metadata=None), ListenVerb(url=URL)),
        (listen(bidirectionalAudio=None), ListenVerb(url=URL)),
        (listen(disableBidirectionalAudio=False), ListenVerb(url=URL)),
    ],
)
def test_a_listen_is_found_where_it_stands_with_the_defaults_of_jambonz(
    document: dict[str, object], expected: ListenVerb
) -> None:
    assert parse(document) == expected


def test_the_first_listen_of_an_application_is_taken() -> None:
    verb = parse(
        [
            {"verb": "answer"},
            {"verb": "config", "listen": {"enable": False}},
            {"say": {"text": "hello"}},
            {"verb": "dial", "listen": {"url": "/first"}},
            listen(),
        ]
    )

    assert verb.url == "/first"
    assert verb.nesting is Nesting.DIAL
    assert verb.notes == (
        '[1].config.listen starts nothing without "enable": true',
        "only [3].dial.listen is simulated, not [4].listen",
    )


def test_stream_in_a_config_is_said_to_be_never_read() -> None:
    verb = parse([{"verb": "config", "stream": {"enable": True, "url": "/a"}}, listen()])

    assert verb.url == URL
    assert verb.notes == ("[0].config.stream is never read by jambonz 0.9; call it listen",)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "has no listen or stream that would start"),
        ({"verb": "say", "text": "hello"}, "has no listen or stream that would start"),
        (
            [{"verb": "config", "listen": {"url": URL}}],
            'has no listen or stream that would start; [0].config.listen starts nothing without "enable": true',
        ),
        (
            {"verb": "config", "stream": {"enable": True}},
            "has no listen or stream that would start; config.stream is never read by jambonz 0.9; call it listen",
        ),
        (
            {"sampleRate": 8000, "mixType": "mono"},
            "has no `verb`; give the verbs, an `ack`, a `command` of the type redirect, or a REST body with app_json",
        ),
        ([listen(), 5], "[1] must be an object, not 5; jambonz rejects the application"),
        ("listen", 'the verb must be an object, not "listen"; jambonz rejects the application'),
        ({"config": 5}, "config must be an object, not 5"),
        ([{"verb": "room", "stream": {"url": 5}}], "[0].room.stream.url must be a string, not 5"),
        ({"url": URL, "metadata": 5}, "the body.metadata must be an object, not 5"),
        ({"listen": 5}, "listen must be an object, not 5; jambonz rejects the application"),
        ({"verb": "dial", "listen": []}, "dial.listen must be an object, not []; jambonz rejects the application"),
    ],
)
def test_a_document_that_starts_no_listen_is_refused(document: object, problem: str) -> None:
    assert error_of(document) == f"verb.json: {problem}"


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
            "timeout has no effect in jambonz; only --profile ideal ends a silent call",
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
        "[0].listen.bdirectionalAudio is unknown; jambonz 0.9 rejects the application",
        "[0].listen.enable is unknown; jambonz 0.9 rejects the application",
        "[0].listen.bidirectionalAudio.rate is unknown; jambonz 0.9 rejects the application",
    )


@pytest.mark.parametrize("name", ["actionHook", "finishOnKey", "transcribe", "channel", "bdirectionalAudio"])
def test_a_config_with_an_option_that_it_does_not_allow_is_refused(name: str) -> None:
    assert error_of(config(**{name: "x"})) == (
        f"verb.json: jambonz 0.9 rejects the whole config: it can't have config.listen.{name}"
    )


def test_a_verb_without_url_is_noted() -> None:
    verb = parse({"verb": "listen"})

    assert verb.url is None
    assert verb.notes == ("listen has no url; jambonz rejects the application",)


@pytest.mark.parametrize(
    ("auth", "result"),
    [
        ({"username": "a", "password": ""}, "nothing is sent"),
        ({"username": "a"}, "jambonz rejects the application"),
        ({"password": "b"}, "jambonz rejects the application"),
        ({}, "jambonz rejects the application"),
        (None, "jambonz rejects the application"),
    ],
)
def test_half_of_the_credentials_are_none(auth: object, result: str) -> None:
    verb = parse(listen(wsAuth=auth))

    assert verb.credentials is None
    assert verb.notes == (f"listen.wsAuth needs a username and a password; {result}",)


@pytest.mark.parametrize("profile", [NEXT, IDEAL])
def test_the_published_schema_accepts_options_that_it_does_not_know(profile: Profile) -> None:
    assert parse(listen(foo=1), profile).notes == ("listen.foo is unknown and has no effect",)
    assert parse(config(finishOnKey="#"), profile).finish_on_key == "#"
    assert parse({"verb": "config", "stream": {"enable": True, "url": URL}}, profile).nesting is Nesting.CONFIG


def test_a_config_without_url_is_accepted_but_connects_to_nothing() -> None:
    verb = parse({"verb": "config", "listen": {"enable": True}})

    assert verb.notes == ("config.listen has no url; jambonz has nothing to connect to",)


@pytest.mark.parametrize(
    "verb",
    [
        {"verb": "conference", "name": "r1", "listen": {"url": URL, "sampleRate": 16000, "metadata": {"room": "r1"}}},
        {"verb": "room", "name": "r1", "stream": {"url": URL, "sampleRate": 16000, "metadata": {"room": "r1"}}},
        {"room": {"name": "r1", "listen": {"url": URL, "sampleRate": 16000, "metadata": {"room": "r1"}}}},
    ],
)
@pytest.mark.parametrize("profile", [CURRENT, NEXT])
def test_a_room_is_tapped_by_its_listen_or_stream(verb: dict[str, object], profile: Profile) -> None:
    assert parse([verb], profile) == ListenVerb(
        url=URL, sample_rate=16000, metadata={"room": "r1"}, nesting=Nesting.ROOM
    )


def test_what_a_room_tap_does_not_know_has_no_effect() -> None:
    verb = parse([{"verb": "room", "name": "r", "stream": {"url": URL, "mixType": "stereo", "finishOnKey": 5}}], NEXT)

    assert verb == ListenVerb(
        url=URL,
        nesting=Nesting.ROOM,
        notes=(
            "[0].room.stream.mixType has no effect on the tap of a room",
            "[0].room.stream.finishOnKey has no effect on the tap of a room",
        ),
    )


@pytest.mark.parametrize(
    ("scope", "nesting"),
    [({}, Nesting.ROOM), ({"scope": "mix"}, Nesting.ROOM), ({"scope": "members"}, Nesting.MEMBER)],
)
@pytest.mark.parametrize("name", ["url", "wsUrl"])
def test_the_body_of_a_rest_request_taps_a_room(name: str, scope: dict[str, object], nesting: Nesting) -> None:
    verb = parse({name: URL, "sampleRate": 16000, **scope}, NEXT)

    assert verb == ListenVerb(url=URL, sample_rate=16000, nesting=nesting)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"type": "ack", "msgid": "abc", "data": [{"verb": "say", "text": "hi"}, listen(foo=1)]}, "data[1]"),
        ({"type": "command", "command": "redirect", "data": [listen(foo=1)]}, "data[0]"),
        ({"from": "1", "to": {"type": "phone", "number": "2"}, "app_json": [listen(foo=1)]}, "app_json[0]"),
        ({"name": "a", "call_hook": {"url": "/"}, "app_json": json.dumps([listen(foo=1)])}, "app_json[0]"),
    ],
)
def test_an_application_is_found_in_what_carries_it(document: object, place: str) -> None:
    verb = parse(document)

    assert verb.url == URL
    assert verb.notes == (f"{place}.listen.foo is unknown; jambonz 0.9 rejects the application",)


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
