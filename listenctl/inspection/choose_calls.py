"""Which calls of a capture are meant by CALL."""

from collections.abc import Iterable, Sequence

from listenctl.errors import NotFoundError, UsageError
from listenctl.inspection.call_report import CallReport
from listenctl.protocol.call_names import find_named_calls

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
    candidates = find_named_calls(sorted(reports, key=lambda report: report.session.began), wanted, _names)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise UsageError(f"--call {wanted} can mean {len(candidates)} calls: {_named(candidates)}")
    raise NotFoundError(f"--call {wanted}: there is no such call; there are {_named(reports)}")


def _names(report: CallReport) -> tuple[str, str | None]:
    return report.call, report.metadata.call_sid if report.metadata else None


def _named(reports: Sequence[CallReport]) -> str:
    more = len(reports) - _MOST_NAMED
    names = ", ".join(report.call for report in reports[:_MOST_NAMED])
    return f"{names} and {more} more" if more > 0 else names
