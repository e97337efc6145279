import pytest

from listenctl.errors import ListenctlError, NotFoundError, UsageError
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
        (["abc"], [1]),
        # An exact id comes before a prefix.
        (["ab"], [4]),
        (["@latest"], [4]),
        (["abd2~2", "abc", "abc1"], [1, 3]),
    ],
    ids=str,
)
def test_calls_are_selected_in_order(wanted: list[str], numbers: list[int]) -> None:
    assert [report.session.number for report in choose_calls(CALLS, wanted)] == numbers


@pytest.mark.parametrize(
    ("calls", "wanted", "error", "message"),
    [
        (CALLS, "a", UsageError, "matches 4 calls: abc1, abd2, abd2~2, ab"),
        (CALLS, "x", NotFoundError, "abc1, abd2"),
        (CALLS, "", NotFoundError, "abc1, abd2"),
        ([], "@latest", NotFoundError, "no listen call"),
    ],
)
def test_other_names_are_refused(
    calls: list[CallReport], wanted: str, error: type[ListenctlError], message: str
) -> None:
    with pytest.raises(error, match=message):
        choose_calls(calls, [wanted])
