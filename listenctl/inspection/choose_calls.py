"""Which calls of a capture are meant by CALL."""

from collections.abc import Iterable, Sequence

from listenctl.errors import NotFoundError, UsageError
from listenctl.inspection.call_report import CallReport

LATEST = "@latest"
_MOST_NAMED = 10


def choose_calls(reports: Sequence[CallReport], wanted: Iterable[str]) -> list[CallReport]:
    """
    Return the calls that are meant, in the order of their begin.

    Args:
        wanted: of each the id, the callSid, a prefix that no other call has, or ``@latest``.

    Raises:
        NotFoundError: there is no such call.
        UsageError: a prefix can mean several.
    """
    chosen = {_find(reports, one).session.number for one in wanted}
    return [report for report in reports if report.session.number in chosen]


def _find(reports: Sequence[CallReport], wanted: str) -> CallReport:
    if not reports:
        raise NotFoundError("--call: there is no listen call in the capture")
    if wanted == LATEST:
        return max(reports, key=lambda report: report.session.began)
    for candidates in _in_order(reports, wanted):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise UsageError(f"--call {wanted} can mean {len(candidates)} calls: {_named(candidates)}")
    raise NotFoundError(f"--call {wanted}: there is no such call; there are {_named(reports)}")


def _in_order(reports: Sequence[CallReport], wanted: str) -> Sequence[list[CallReport]]:
    """Return whom ``wanted`` may mean; the exact goes before what is only alike."""
    return (
        [one for one in reports if one.call == wanted],
        [one for one in reports if one.metadata and one.metadata.call_sid == wanted],
        [one for one in reports if one.call.startswith(wanted)] if wanted else [],
    )


def _named(reports: Sequence[CallReport]) -> str:
    more = len(reports) - _MOST_NAMED
    names = ", ".join(report.call for report in reports[:_MOST_NAMED])
    return f"{names} and {more} more" if more > 0 else names
