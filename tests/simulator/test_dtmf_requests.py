import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.simulator.dtmf_requests import (
    DIGIT_PRESSED,
    MAX_DIGITS,
    DtmfRequest,
    read_answer,
    request_done,
    request_refused,
)


def test_a_request_survives_serialization() -> None:
    press = DtmfRequest("12w#D", 80, 40)

    assert press.serialize() == '{"type":"press","digits":"12w#D","durationMs":80,"gapMs":40}'
    assert DtmfRequest.parse(press.serialize()) == press


@pytest.mark.parametrize(
    "message",
    [
        b'{"type":"press","digits":"1","durationMs":80,"gapMs":40}',
        "no JSON",
        "[]",
        '{"type":"press"}',
        '{"type":"hold","digits":"1","durationMs":80,"gapMs":40}',
        '{"type":"press","digits":"","durationMs":80,"gapMs":40}',
        '{"type":"press","digits":"x","durationMs":80,"gapMs":40}',
        '{"type":"press","digits":1,"durationMs":80,"gapMs":40}',
        '{"type":"press","digits":"1","durationMs":"80","gapMs":40}',
        '{"type":"press","digits":"1","durationMs":49,"gapMs":40}',
        '{"type":"press","digits":"1","durationMs":80,"gapMs":-1}',
        '{"type":"press","digits":"1","durationMs":80,"gapMs":60001}',
        f'{{"type":"press","digits":"{"1" * (MAX_DIGITS + 1)}","durationMs":80,"gapMs":40}}',
    ],
)
def test_an_invalid_request_is_refused(message: str | bytes) -> None:
    assert DtmfRequest.parse(message) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert DtmfRequest.parse(text) is None


def test_digits_are_separated_by_gaps_and_pauses() -> None:
    assert list(DtmfRequest("12", 80, 40).steps()) == [(0.0, "1"), (0.12, "2")]
    assert list(DtmfRequest("w1w2", 100, 100).steps()) == [(0.5, "1"), (0.7, "2")]
    # A pause at the end is one, too.
    assert list(DtmfRequest("1ww", 100, 100).steps()) == [(0.0, "1"), (1.2, "")]


def test_answers_are_parsed() -> None:
    assert read_answer(DIGIT_PRESSED) is None
    assert read_answer(request_done(passed=True)) is True
    assert read_answer(request_done(passed=False)) is False

    with pytest.raises(NotFoundError, match="over"):
        read_answer(request_refused("over", ended=True))
    with pytest.raises(ListenctlError, match="not yet"):
        read_answer(request_refused("not yet"))
    for message in ("{}", "no JSON", b"", '{"type":"pressed","passed":1}'):
        with pytest.raises(ListenctlError, match="doesn't belong to a simulated call"):
            read_answer(message)
