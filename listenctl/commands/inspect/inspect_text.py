"""Words that all views of a capture have in common."""

from collections.abc import Sequence
from textwrap import wrap

from listenctl.inspection.rule_catalogue import Severity
from listenctl.inspection.rule_violations import Violation
from listenctl.terminal.printable_text import format_duration

_NARROWEST = 40
_MOST_NAMED = 5
SEVERITY_COLORS = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.INFO: "36"}


def count(number: int, noun: str) -> str:
    """Return ``1 packet`` or ``2 packets``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def enumerated(names: Sequence[str]) -> str:
    """Return the first of many names, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return ", ".join([*names[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])


def exact_moment(seconds: float) -> str:
    """Return a time within a call with its milliseconds: ``0:07.321``."""
    thousandths = max(0, round(seconds * 1000))
    return f"{format_duration(thousandths // 1000)}.{thousandths % 1000:03}"


def place_of(violation: Violation) -> str:
    """Return where a rule was broken."""
    packet = f" (packet {violation.packet})" if violation.packet is not None else ""
    return f"at {exact_moment(violation.at)}{packet}"


def wrapped(text: str, columns: int | None, indent: str) -> list[str]:
    """Return a text in lines of so many columns, all but the first after ``indent``; None is any width."""
    if columns is None or len(text) <= columns:
        return [text]
    return wrap(text, max(columns, _NARROWEST), subsequent_indent=indent)
