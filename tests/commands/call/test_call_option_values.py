"""The values of `call` and `send-dtmf` that have a grammar of their own."""

from pathlib import Path

import pytest

from listenctl.commands.call.call_option_values import parse_keys, parse_metadata, space_digits
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


# Metadata.


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
def test_a_field_is_text_unless_it_says_that_it_is_json(arguments: list[str], metadata: dict[str, object]) -> None:
    assert parse_metadata(arguments) == metadata


def test_a_file_gives_many_fields_and_later_ones_go_before(tmp_path: Path) -> None:
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
def test_metadata_that_say_nothing_are_refused(argument: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_metadata([argument])


@pytest.mark.parametrize(
    ("content", "problem"), [(b"{", "isn't JSON"), (b"[]", "are a JSON object"), (b"\xff", "isn't JSON")]
)
def test_a_file_of_metadata_holds_an_object(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(content)

    with pytest.raises(UsageError, match=problem):
        parse_metadata([f"@{path}"])
