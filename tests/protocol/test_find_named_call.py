import pytest

from listenctl.protocol.find_named_call import find_named_calls

CALLS = [("abc", "abc"), ("abc~2", "abc"), ("abcd~3", "abcd"), ("xyz", None)]
"""Ids and callSids, oldest first."""


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("abc", ["abc"]),
        ("abc~2", ["abc~2"]),
        ("abcd", ["abcd~3"]),
        ("abc~", ["abc~2"]),
        ("x", ["xyz"]),
        ("@latest", ["xyz"]),
        ("ab", ["abc", "abc~2", "abcd~3"]),
        ("b", []),
        ("xyzz", []),
        ("", []),
    ],
)
def test_a_call_is_named_by_id_call_sid_unique_prefix_or_as_the_latest(wanted: str, found: list[str]) -> None:
    assert [call_id for call_id, _ in find_named_calls(CALLS, wanted, lambda call: call)] == found


def test_a_call_sid_of_several_streams_is_ambiguous_without_the_first() -> None:
    assert find_named_calls(CALLS[1:2] * 2, "abc", lambda call: call) == CALLS[1:2] * 2
    assert not find_named_calls([], "@latest", lambda call: (call, call))
