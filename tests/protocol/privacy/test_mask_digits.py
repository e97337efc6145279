"""Texts of jambonz without the digits that a caller has pressed."""

import pytest

from listenctl.protocol.dtmf_digits import DTMF_KEYS, MASKED_DIGIT
from listenctl.protocol.jambonz_messages import Dtmf, Mark, parse_texts
from listenctl.protocol.privacy.mask_digits import mask_digits


@pytest.mark.parametrize("digit", [*DTMF_KEYS, *"abcd"])
@pytest.mark.parametrize("kind", ["event", "type"])
def test_each_digit_is_masked_and_the_rest_of_the_message_stays(digit: str, kind: str) -> None:
    text = f'{{"{kind}": "dtmf", "dtmf": "{digit}", "duration": "1600"}}'

    masked = mask_digits(text.encode())

    assert masked == f'{{"{kind}": "dtmf", "dtmf": "x", "duration": "1600"}}'.encode()
    assert parse_texts(masked) == (Dtmf(MASKED_DIGIT, "1600"),)


def test_all_messages_of_one_text_are_masked() -> None:
    mark = b'{"type": "mark", "data": {"name":"4", "event": "playout"}}'
    glued = b'{"event":"dtmf","dtmf":"4"}' + mark + b'{"event":"dtmf","dtmf":"1"}'

    assert parse_texts(mask_digits(glued)) == (Dtmf("x"), Mark("4", "playout"), Dtmf("x"))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (b'{"event":"dtmf","dtmf":"4111"}', b'{"event":"dtmf","dtmf":"xxxx"}'),
        (b'{"event":"dtmf","dtmf":4111}', b'{"event":"dtmf","dtmf":null}'),
        (b'{"event":"dtmf","dtmf" : "4', b'{"event":"dtmf","dtmf" : "x'),
        (b'{"event":"dtmf","dtmf":"4\n"}', b'{"event":"dtmf","dtmf":"xx"}'),
        (b'{"type":"gather","digits":"4111","reason":"dtmf"}', b'{"type":"gather","digits":"xxxx","reason":"dtmf"}'),
        (b'{"event":"dtmf","dtmf":"\\u0034"}', b'{"event":"dtmf","dtmf":"xxxxxx"}'),
        (b'{"\\u0064tmf":"5","event":"dtmf"}', b'{"\\uxxxxtmf":"x","event":"xtmf"}'),
    ],
)
def test_unusual_forms_of_digits_are_masked_too(text: bytes, masked: bytes) -> None:
    assert mask_digits(text) == masked


def test_of_a_text_that_is_far_too_long_all_digits_are_masked() -> None:
    text = b'"dtmf":"4' * 500_000

    # Field by field this would take a second, in which no call is read.
    assert mask_digits(text) == b'"xtmf":"x' * 500_000


@pytest.mark.parametrize(
    "text",
    [
        b'{"type": "mark", "data": {"name":"4111", "event": "playout"}}',
        b'{"type":"playDone","data":{"id":"4111","playbackSeconds":"4"}}',
        b'{"callSid":"4111","from":"15083084809","note":"press \\u0034"}',
        b"not \xff JSON, 4111",
        b"",
    ],
)
def test_other_texts_stay_as_they_are(text: bytes) -> None:
    assert mask_digits(text) == text
