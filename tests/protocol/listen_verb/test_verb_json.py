import json

import pytest

from listenctl.protocol.jambonz_model.profiles import CURRENT
from listenctl.protocol.listen_verb.parse_listen_verb import parse_listen_verb
from tests.helpers.verbs import URL, error_of, listen


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": 5}, "url must be a string, not 5; jambonz rejects the application"),
        ({"url": None}, "url must be a string, not null; jambonz rejects the application"),
        ({"sampleRate": "8000"}, 'sampleRate must be a number, not "8000"; jambonz rejects the application'),
        ({"sampleRate": True}, "sampleRate must be a number, not true; jambonz rejects the application"),
        ({"sampleRate": -8000}, "sampleRate must not be negative: -8000"),
        ({"sampleRate": 8000.5}, "sampleRate must be a whole number up to 384000, not 8000.5"),
        ({"sampleRate": 10**6}, "sampleRate must be a whole number up to 384000, not 1e+06"),
        (
            {"mixType": "Stereo"},
            'mixType must be one of mono, mixed, stereo, not "Stereo"; jambonz rejects the application',
        ),
        ({"metadata": "x"}, 'metadata must be an object, not "x"'),
        ({"passDtmf": "true"}, 'passDtmf must be true or false, not "true"; jambonz rejects the application'),
        ({"finishOnKey": 1}, "finishOnKey must be a string, not 1; jambonz rejects the application"),
        ({"maxLength": "10"}, 'maxLength must be a number, not "10"; jambonz rejects the application'),
        ({"wsAuth": {"username": 1}}, "wsAuth.username must be a string, not 1; jambonz rejects the application"),
        (
            {"bidirectionalAudio": {"sampleRate": "16000"}},
            'bidirectionalAudio.sampleRate must be a number, not "16000"; jambonz rejects the application',
        ),
        (
            {"bidirectionalAudio": True},
            "bidirectionalAudio must be an object, not true",
        ),
        ({"actionHook": 5}, "actionHook must be an object, not 5; jambonz rejects the application"),
        ({"actionHook": {"url": 5}}, "actionHook.url must be a string, not 5"),
        ({"wsAuth": 5}, "wsAuth must be an object, not 5; jambonz rejects the application"),
        ({"actionHook": {}}, "actionHook.url is missing; give the URL to report to"),
        (
            {"actionHook": {"url": "/", "method": "PUT\r\n"}},
            'actionHook.method must be one of GET, POST, not "PUT\\r\\n"',
        ),
        ({"metadata": []}, "metadata must be an object, not []"),
        ({"transcribe": True}, "transcribe must be an object, not true"),
        ({"earlyMedia": 1}, "earlyMedia must be true or false, not 1; jambonz rejects the application"),
        ({"channel": 3}, "channel must be a whole number up to 2, not 3"),
    ],
)
def test_a_value_that_jambonz_rejects_is_named_with_its_place(options: dict[str, object], problem: str) -> None:
    assert error_of([{"verb": "answer"}, listen(**options)]) == f"verb.json: [1].listen.{problem}"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b'{\n "verb": "listen",\n    url: 5}', "line 3, column 5: Expecting property name enclosed in double quotes"),
        (b'{"verb":"listen"} x', "line 1, column 19: Extra data"),
        (b"", "line 1, column 1: Expecting value"),
        (b'{"verb":"a\nb"}', "line 1, column 11: Invalid control character at"),
    ],
)
def test_broken_json_is_located(raw: bytes, problem: str) -> None:
    assert error_of(raw) == f"verb.json: {problem}; give one JSON value"


@pytest.mark.parametrize("raw", [b'{"verb":"listen","maxLength":NaN}', b"[" * 100 + b"]" * 100, b"[" * 100_000])
def test_json_that_cannot_be_held_is_refused(raw: bytes) -> None:
    assert error_of(raw).startswith("verb.json: is not readable as JSON")


@pytest.mark.parametrize("number", [b"1e999", b"9" * 400])
def test_a_number_without_bounds_is_refused_as_an_option(number: bytes) -> None:
    assert "maxLength must be a number" in error_of(b'{"verb":"listen","maxLength":' + number + b"}")


def test_a_file_with_a_byte_order_mark_is_read() -> None:
    raw = b"\xef\xbb\xbf \n" + json.dumps(listen()).encode() + b"\n"

    assert parse_listen_verb(raw, where="verb.json", profile=CURRENT).url == URL


def test_a_file_in_another_encoding_is_refused() -> None:
    raw = '{"verb":"listen","url":"ä"}'.encode("latin-1")

    assert error_of(raw) == "verb.json: byte 24 is not UTF-8; save the file as UTF-8"


def test_a_lone_surrogate_is_replaced() -> None:
    raw = rb'{"verb":"listen","url":"/","metadata":{"a":"\ud800"}}'

    assert parse_listen_verb(raw, where="verb.json", profile=CURRENT).metadata == {"a": "\ufffd"}
