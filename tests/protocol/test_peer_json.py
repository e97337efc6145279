import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol import peer_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda child: st.lists(child, max_size=4) | st.dictionaries(st.text(), child, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_reads_what_it_writes(value: object) -> None:
    text = peer_json.encode(value)

    assert peer_json.decode(text, strict=True) == (value, len(text))


@given(st.binary())
def test_no_bytes_raise_and_all_results_can_be_encoded(raw: bytes) -> None:
    text = peer_json.read_text(raw)
    decoded = peer_json.decode(text)

    assert peer_json.encode([text, decoded]).encode()


def test_a_lone_surrogate_is_replaced() -> None:
    assert peer_json.read_text(rb'"\ud83d\ude00 \ud83d \uDE00 \\ud83d \ud8zz"') == (
        r'"\ud83d\ude00 \ufffd \ufffd \\ud83d \ud8zz"'
    )


@pytest.mark.parametrize("item", ["[]", "{}", "0", '"a"'])
def test_a_text_of_too_many_values_is_not_read(item: str) -> None:
    few, many = (f" [{','.join([item] * count)}]" for count in (peer_json.MAX_ITEMS // 2 - 1, peer_json.MAX_ITEMS + 1))

    assert peer_json.decode(few, 1) is not None
    assert peer_json.decode(many, 1) is None
    assert peer_json.decode(many, 1, max_items=peer_json.UNBOUNDED) is not None


def test_decoding_starts_and_ends_where_the_value_does() -> None:
    assert peer_json.decode('{"a":1}{"b":2}', 7) == ({"b": 2}, 14)


def test_raw_control_characters_are_refused_only_when_strict() -> None:
    text = '"a\nb"'

    assert peer_json.decode(text) == ("a\nb", 5)
    assert peer_json.decode(text, strict=True) is None


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity"])
def test_what_json_does_not_know_is_no_json(text: str) -> None:
    assert peer_json.decode(text) is None


@pytest.mark.parametrize("digits", ["9" * 5000, "-1e999"])
def test_a_number_beyond_python_and_json_stays_text(digits: str) -> None:
    assert peer_json.decode(digits) == (digits, len(digits))


@pytest.mark.parametrize("depth", [65, 100_000])
def test_nesting_is_bounded(depth: int) -> None:
    assert peer_json.decode("[" * depth + "]" * depth) is None
    assert peer_json.decode("[" * 64 + "]" * 64) == (json.loads("[" * 64 + "]" * 64), 128)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(5, 5), (1.5, 1.5), ("0160", 160), (True, None), ("1.5", None), ("٣", None), ("", None), ("9" * 5000, None)],
)
def test_numbers_may_be_decimal_strings(value: object, expected: float | None) -> None:
    assert peer_json.parse_number(value) == expected
