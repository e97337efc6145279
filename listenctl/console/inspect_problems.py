"""What went wrong in a call, the worst first: each rule that was broken once, with its place and its remedy."""

from collections import Counter
from collections.abc import Iterable, Sequence

from listenctl.console.inspect_words import SEVERITY_COLORS, count, place_of, wrapped
from listenctl.console.text import Look, printable
from listenctl.inspection.report import CallReport
from listenctl.inspection.rules import RULES, Severity, Violation

_MOST_RULES = 12
_MAX_DETAIL = 300
_DIM = "2"


def problem_lines(report: CallReport, look: Look, columns: int | None) -> list[str]:
    """Return a line for each rule that was broken, the worst first, and what to do about it."""
    grouped = _by_rule(report.violations)
    lines = [
        line for violations in grouped[:_MOST_RULES] for line in _problem(violations, report.counts, look, columns)
    ]
    more = len(grouped) - _MOST_RULES
    return [*lines, f"  and {more} more rules broken; --json has all"] if more > 0 else lines


def _by_rule(violations: Iterable[Violation]) -> list[list[Violation]]:
    rules: dict[str, list[Violation]] = {}
    for violation in violations:
        rules.setdefault(violation.rule, []).append(violation)
    return sorted(rules.values(), key=lambda same: (min(one.severity.rank for one in same), same[0].at))


def tally(report: CallReport) -> str:
    """Return how many problems of each severity there are."""
    counts = Counter[Severity]()
    for rule, number in report.counts.items():
        worst = min((one.severity for one in report.violations if one.rule == rule), key=lambda one: one.rank)
        counts[worst] += number
    words = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
    return (
        ", ".join(count(counts[severity], words[severity]) for severity in Severity if counts[severity]) or "none found"
    )


def _problem(violations: Sequence[Violation], counts: dict[str, int], look: Look, columns: int | None) -> list[str]:
    first = min(violations, key=lambda one: one.severity.rank)
    number = counts.get(first.rule, len(violations))
    times = f", {number} times" if number > 1 else ""
    head = f"  {first.severity} {first.rule}, {first.sender}, {place_of(first)}{times}: "
    text = f"{head}{printable(first.detail, _MAX_DETAIL)}"
    lines = wrapped(text, columns, "    ")
    label = str(first.severity)
    lines[0] = lines[0].replace(label, look.paint(label, SEVERITY_COLORS[first.severity]), 1)
    advice = RULES[first.rule].advice if first.rule in RULES else ""
    return [*lines, *(look.paint(line, _DIM) for line in wrapped(f"    {advice}", columns, "    "))]
