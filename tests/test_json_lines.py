import json
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.json_lines import json_document, json_line


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


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), VALUES))
def test_a_document_has_the_values_of_its_fields(fields: dict[str, object]) -> None:
    assert json.loads(json_document(fields)) == fields


def test_a_document_has_a_line_for_each_field_of_a_field_and_each_object_of_a_list() -> None:
    fields = {
        "call": "Zo\xeb \x9b",
        "finished": True,
        "ended": None,
        "metadata": {"sampleRate": 8000, "tags": {"a": [1, {"b": 2}]}, "share": 0.5},
        "none": {},
        "events": [{"event": "dtmf", "digit": "1"}, {"event": "mark"}],
        "gaps": [],
        "files": ("a.wav", "b.wav"),
        "far": float("inf"),
    }
    assert (
        json_document(fields)
        == """\
{
  "call": "Zo\xeb \\u009b",
  "finished": true,
  "ended": null,
  "metadata": {
    "sampleRate": 8000,
    "tags": {"a": [1, {"b": 2}]},
    "share": 0.5
  },
  "none": {},
  "events": [
    {"event": "dtmf", "digit": "1"},
    {"event": "mark"}
  ],
  "gaps": [],
  "files": ["a.wav", "b.wav"],
  "far": Infinity
}
"""
    )
