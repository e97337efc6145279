"""Select the calls of a capture that ``--call`` names."""

from collections.abc import Iterable, Sequence

from listenctl.errors import NotFoundError, UsageError
from listenctl.inspection.call_report import CallReport
from listenctl.protocol.find_named_call import find_named_calls

_MAX_NAMES = 10


def choose_calls(reports: Sequence[CallReport], wanted: Iterable[str]) -> list[CallReport]:
    """Return the named calls, oldest first; raises NotFoundError for none, UsageError for an ambiguous name."""
    chosen = {_find_call(reports, name).session.number for name in wanted}
    return [report for report in reports if report.session.number in chosen]


def _find_call(reports: Sequence[CallReport], wanted: str) -> CallReport:
    if not reports:
        raise NotFoundError("--call: there is no listen call in the capture")
    oldest_first = sorted(reports, key=lambda report: report.session.began)
    found = find_named_calls(
        oldest_first, wanted, lambda report: (report.call, report.metadata.call_sid if report.metadata else None)
    )
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"--call {wanted} matches {len(found)} calls: {_names(found)}")
    raise NotFoundError(f"--call {wanted}: there is no such call; there are {_names(reports)}")


def _names(reports: Sequence[CallReport]) -> str:
    more = len(reports) - _MAX_NAMES
    names = ", ".join(report.call for report in reports[:_MAX_NAMES])
    return f"{names} and {more} more" if more > 0 else names
