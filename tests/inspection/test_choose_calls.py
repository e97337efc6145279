"""Which calls of a capture are meant by CALL."""

import pytest

from listenctl.errors import NotFoundError, UsageError
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.choose_calls import choose_calls
from tests.helpers.inspected import METADATA, MadeUp, new_session


def call(number: int, call_sid: str, call_id: str | None = None) -> CallReport:
    session = new_session(number=number)
    session.began += 10 * number
    report = MadeUp(session=session, metadata={**METADATA, "callSid": call_sid}).close(1.0)
    report.call = call_id or call_sid
    return report


CALLS = [call(1, "abc1"), call(2, "abd2"), call(3, "abd2", "abd2~2"), call(4, "ab")]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (["abc1"], [1]),
        (["abc"], [1]),
        (["abd2~"], [3]),
        # The id itself goes before what it is the begin of.
        (["abd2"], [2]),
        (["ab"], [4]),
        (["@latest"], [4]),
        (["abd2~2", "abc", "abc1"], [1, 3]),
    ],
    ids=str,
)
def test_calls_are_found(wanted: list[str], numbers: list[int]) -> None:
    assert [report.session.number for report in choose_calls(CALLS, wanted)] == numbers


def test_a_prefix_of_several_asks_which() -> None:
    with pytest.raises(UsageError, match=r"can mean 3 calls: abc1, abd2, abd2~2|can mean 4 calls"):
        choose_calls(CALLS, ["a"])


@pytest.mark.parametrize("wanted", ["x", ""])
def test_an_unknown_call_is_told_with_those_that_there_are(wanted: str) -> None:
    with pytest.raises(NotFoundError, match="abc1, abd2"):
        choose_calls(CALLS, [wanted])


def test_without_any_call_none_is_found() -> None:
    with pytest.raises(NotFoundError, match="no listen call"):
        choose_calls([], ["@latest"])
