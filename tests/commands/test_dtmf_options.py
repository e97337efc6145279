"""The values of `call` and `send-dtmf` that have a grammar of their own."""

import pytest

from listenctl.commands.dtmf_options import parse_keys, space_digits
from listenctl.errors import UsageError
from listenctl.simulator.plan import DtmfPress

# Keys.


@pytest.mark.parametrize(
    ("text", "presses"),
    [
        ("", ()),
        ("2.0:1", ((2.0, "1"),)),
        ("2.0:1 3.5:#", ((2.0, "1"), (3.5, "#"))),
        ("3:# .5:d", ((0.5, "D"), (3.0, "#"))),
        ("1:12*", ((1.0, "1"), (1.25, "2"), (1.5, "*"))),
        ("0.:A", ((0.0, "A"),)),
    ],
)
def test_keys_are_pressed_in_the_order_of_their_times(text: str, presses: tuple[tuple[float, str], ...]) -> None:
    assert parse_keys(text, spacing=0.25) == tuple(DtmfPress(time, digit) for time, digit in presses)


@pytest.mark.parametrize("text", ["1", ":1", "2:", "2:E", "-1:1", "1e3:1", "nan:1", "2.0;1", "1:1,2:2"])
def test_what_is_no_key_at_a_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--dtmf .*: write SECONDS:KEYS"):
        parse_keys(text)


def test_digits_follow_each_other_with_gaps() -> None:
    presses = space_digits("1#d", first=0.5, digit_ms=200, gap_ms=100)

    assert presses == (DtmfPress(0.5, "1", 0.2), DtmfPress(0.8, "#", 0.2), DtmfPress(1.1, "D", 0.2))


def test_a_w_among_digits_is_half_a_second_more() -> None:
    presses = space_digits("w1ww2", first=0.5, digit_ms=200, gap_ms=100)

    assert presses == (DtmfPress(1.0, "1", 0.2), DtmfPress(2.3, "2", 0.2))


@pytest.mark.parametrize(
    ("digits", "problem"),
    [("", "there are no digits"), ("w", "no digits"), ("1E", "'E' is not a digit"), ("1 2", "' ' is not a digit")],
)
def test_digits_that_no_phone_has_are_refused(digits: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        space_digits(digits, first=0.0, digit_ms=200, gap_ms=100)
