import json
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.json_lines import json_line


@given(st.recursive(st.text() | st.none() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_a_line_has_the_value_and_nothing_that_a_terminal_obeys(value: object) -> None:
    line = json_line(value)

    assert json.loads(line) == value
    assert not [character for character in line if category(character) in ("Cc", "Zl", "Zp", "Cs")]


@pytest.mark.parametrize("character", ["\x9b", "\x85", "\x7f", "\u202e", "\u2066", "\u200b", "\ufeff", "\udc80"])
def test_what_hides_or_reorders_text_is_escaped(character: str) -> None:
    assert json_line({"from": f"a{character}b"}) == f'{{"from": "a\\u{ord(character):04x}b"}}'


def test_other_text_stays_readable() -> None:
    assert json_line("Zoë 😀 日本") == '"Zoë 😀 日本"'
