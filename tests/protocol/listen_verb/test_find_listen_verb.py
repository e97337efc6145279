import pytest

from listenctl.protocol.listen_verb.listen_verb import ListenVerb, Nesting
from tests.helpers.verbs import URL, config, error_of, listen, parse


def test_a_listen_in_a_dial_is_found() -> None:
    verb = parse({"verb": "dial", "target": [], "listen": {"url": URL, "mixType": "stereo"}})

    assert verb == ListenVerb(url=URL, mix_type="stereo", nesting=Nesting.DIAL)
    assert parse({"verb": "dial", "stream": {"url": URL}}).nesting is Nesting.DIAL


def test_a_listen_in_a_config_is_found() -> None:
    assert parse(config(passDtmf=True)) == ListenVerb(url=URL, pass_dtmf=True, nesting=Nesting.CONFIG)


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
    assert verb.notes == ("[0].config.stream is never read by jambonz; call it listen",)


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
            "has no listen or stream that would start; config.stream is never read by jambonz; call it listen",
        ),
        ({"url": URL, "mixType": "mono"}, "the verb has no `verb`; jambonz rejects the application"),
        ([listen(), 5], "[1] must be an object, not 5; jambonz rejects the application"),
        ("listen", 'the verb must be an object, not "listen"; jambonz rejects the application'),
        ({"listen": 5}, "listen must be an object, not 5; jambonz rejects the application"),
        ({"verb": "dial", "listen": []}, "dial.listen must be an object, not []; jambonz rejects the application"),
    ],
)
def test_a_document_that_starts_no_listen_is_refused(document: object, problem: str) -> None:
    assert error_of(document) == f"verb.json: {problem}"
