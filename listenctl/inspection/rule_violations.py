"""Violations of the rules in one call: what, when, by whom; a bounded list, and complete counts."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from listenctl.json_lines import JsonObject
from listenctl.protocol.jambonz_model.rule_catalogue import RULES, Severity

if TYPE_CHECKING:
    from listenctl.protocol.jambonz_model.command_verdicts import VerdictReason

MAX_LISTED_PER_RULE = 50


class Culprit(StrEnum):
    """Who caused a violation; unknown where a capture doesn't show it, such as what delayed a packet."""

    JAMBONZ = "jambonz"
    APPLICATION = "application"
    CAPTURE = "capture"
    UNKNOWN = "unknown"


FoundViolation = tuple[str, Culprit, str]
"""Rule, culprit and detail of a violation whose place the caller of a check knows."""


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    severity: Severity
    at: float  # seconds since the call began
    sender: Culprit
    position: int | None  # samples per channel received from jambonz before it, None if unknown
    packet: int | None  # number of the packet in the capture, None if unknown
    detail: str

    @property
    def section(self) -> str:
        return RULES[self.rule].section

    @property
    def order(self) -> tuple[float, int]:
        """Sort key: by time, then the worst first."""
        return self.at, self.severity.rank

    def to_json(self) -> JsonObject:
        return {
            "rule": self.rule,
            "severity": str(self.severity),
            "time": round(self.at, 3),
            "sender": str(self.sender),
            "position": self.position,
            "packet": self.packet,
            "detail": self.detail,
            "section": self.section,
            "advice": RULES[self.rule].remedy,
        }


class PlayoutRecord(Protocol):
    """The record of a mark or a clip."""

    def add_verdict(self, at: float, reason: "VerdictReason", *, finished: bool) -> None:
        """Add what jambonz is expected to do with it."""


# Created for every frame of a stream; a frozen dataclass takes three times as long.
class MessagePlace(NamedTuple):
    """Time and place of a message, and its record if it is a mark or a clip."""

    at: float
    position: int | None = None
    packet: int | None = None
    record: PlayoutRecord | None = None
    fragments: Sequence[int] = ()  # of a binary message, as in ``BinaryMessages``


class ViolationLog:
    def __init__(self, on_violation: Callable[[Violation], None]) -> None:
        self._on_violation = on_violation
        self._listed: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.position = 0  # samples per channel received so far
        self.packet: int | None = None  # number of the current packet

    def add_violation(self, rule: str, at: float, culprit: Culprit, detail: str) -> None:
        self.add_violation_at(rule, MessagePlace(at, self.position, self.packet), culprit, detail)

    def add_violation_at(
        self, rule: str, place: MessagePlace, culprit: Culprit, detail: str, *, severity: Severity | None = None
    ) -> None:
        """Add a violation caused by an earlier message; ``severity`` overrides that of the rule."""
        self.counts[rule] += 1
        if self.counts[rule] > MAX_LISTED_PER_RULE:
            return
        severity = severity or RULES[rule].severity
        violation = Violation(rule, severity, max(0.0, place.at), culprit, place.position, place.packet, detail)
        self._listed.append(violation)
        self._on_violation(violation)

    def sorted_violations(self) -> list[Violation]:
        return sorted(self._listed, key=lambda violation: violation.order)
