"""What was found wrong with a call: a bounded list, and counts of what is over."""

from collections import Counter
from collections.abc import Callable

from listenctl.inspection.message_checks.mark_and_clip_records import MessagePlace
from listenctl.inspection.rule_catalogue import RULES, Culprit, Severity, Violation, in_order

MAX_OF_ONE_RULE = 50
"""A peer that does the same thing wrong fifty times a second is told so, but not a thousand times."""


class ViolationLog:
    """
    Collect violations.

    Attributes:
        position: samples per channel received so far.
        packet: number of the packet that is looked at.
    """

    def __init__(self, tell: Callable[[Violation], None]) -> None:
        self._tell = tell
        self._kept: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.position = 0
        self.packet: int | None = None

    def add(self, rule: str, at: float, sender: Culprit, detail: str, *, severity: Severity | None = None) -> None:
        """Add a violation that happens here."""
        self.at_place(rule, MessagePlace(at, self.position, self.packet), sender, detail, severity=severity)

    def at_place(
        self, rule: str, place: MessagePlace, sender: Culprit, detail: str, *, severity: Severity | None = None
    ) -> None:
        """Add a violation that happened elsewhere, by what was sent there."""
        self.counts[rule] += 1
        if self.counts[rule] > MAX_OF_ONE_RULE:
            return
        severity = severity or RULES[rule].severity
        violation = Violation(rule, severity, max(0.0, place.at), sender, place.position, place.packet, detail)
        self._kept.append(violation)
        self._tell(violation)

    def first(self, rule: str, sender: Culprit, detail: str) -> None:
        """Add a violation that happened before anything else."""
        self.at_place(rule, MessagePlace(0.0), sender, detail)

    def in_order(self) -> list[Violation]:
        """Return those that were kept, in order of time, the worst first among those of one time."""
        return sorted(self._kept, key=in_order)
