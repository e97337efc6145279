"""The conditions of ``--fail-if``, such as ``failed>1%``; a metric that was never measured fails its threshold."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from listenctl.errors import UsageError
from listenctl.percentiles import FIGURES, Summary


class MetricUnit(StrEnum):
    SECONDS = "s"
    BYTES = "B"
    DECIBELS = "dB"


@dataclass(frozen=True, slots=True)
class MetricCount:
    """A number of things out of ``total``, which is None if a percentage makes no sense."""

    value: int
    total: int | None


Metric = Summary | MetricCount
Metrics = Mapping[str, Metric | None]
"""All metrics of a load by name; None if never measured."""

DISTRIBUTIONS: Mapping[str, MetricUnit] = {
    "handshake": MetricUnit.SECONDS,
    "first-audio": MetricUnit.SECONDS,
    "mark": MetricUnit.SECONDS,
    "lateness": MetricUnit.SECONDS,
    "unread": MetricUnit.BYTES,
    "echo.delay": MetricUnit.SECONDS,
    "echo.gain": MetricUnit.DECIBELS,
}
COUNTS = ("failed", "ended-early", "lost", "echo.lost", "echo.out-of-order", "echo.repeated")
WITHOUT_SHARE = ("lost",)

_FACTORS: Mapping[MetricUnit, Mapping[str, float]] = {
    MetricUnit.SECONDS: {"ms": 0.001, "s": 1},
    MetricUnit.BYTES: {"": 1, "b": 1, "kb": 1000, "mb": 1_000_000},
    MetricUnit.DECIBELS: {"": 1, "db": 1},
}
_HINTS: Mapping[MetricUnit, str] = {
    MetricUnit.SECONDS: "a time needs a unit, ms or s",
    MetricUnit.BYTES: "this metric is in bytes; use a number, or kB or MB",
    MetricUnit.DECIBELS: "this metric is in dB; use a number",
}

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_EXPRESSION = re.compile(
    r"\s*([a-z0-9.-]+?)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)\s*([a-z]+|%)?\s*", re.ASCII | re.IGNORECASE
)
_FORM = "METRIC>VALUE, such as handshake.p99>300ms or failed>1%"


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    text: str
    ok: bool
    value: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """One condition under which a load fails."""

    text: str
    metric: str  # a name from ``DISTRIBUTIONS`` or ``COUNTS``
    figure: str  # of a distribution, such as ``p99``; empty for a count
    comparison: str
    limit: float  # in the unit of the metric, or in percent
    percent: bool

    @classmethod
    def parse(cls, text: str) -> "Threshold":
        found = _EXPRESSION.fullmatch(text)
        if found is None:
            raise UsageError(f"--fail-if {text!r}: not of the form {_FORM}")
        name, comparison, number, unit = found[1].lower(), found[2], float(found[3]), (found[4] or "").lower()
        metric, figure = _metric(name, text)
        limit = _count(number, unit, metric, text) if metric in COUNTS else _measure(number, unit, metric, text)
        _check_can_fail(metric, comparison, limit, percent=unit == "%", text=text)
        return cls(text.strip(), metric, figure, comparison, limit, percent=unit == "%")

    def check(self, metrics: Metrics) -> ThresholdResult:
        value = self._value(metrics.get(self.metric))
        if value is None:
            return ThresholdResult(self.text, ok=False, value=None, detail=f"{self.metric} was never measured")
        failed = _OPERATORS[self.comparison](value, self.limit)
        return ThresholdResult(self.text, ok=not failed, value=value, detail=f"it was {self._format(value)}")

    def _value(self, metric: Metric | None) -> float | None:
        match metric:
            case Summary():
                return float(getattr(metric, self.figure))
            case MetricCount(value=value) if not self.percent:
                return float(value)
            case MetricCount(value=value, total=int(total)) if total:
                return 100 * value / total
        return None

    def _format(self, value: float) -> str:
        if self.percent:
            return f"{value:.2f} %"
        match DISTRIBUTIONS.get(self.metric):
            case MetricUnit.SECONDS:
                return f"{value * 1000:.1f} ms"
            case MetricUnit.DECIBELS:
                return f"{value:.1f} dB"
            case MetricUnit.BYTES:
                return f"{value:.0f} B"
        return f"{value:.0f}"


def _metric(name: str, text: str) -> tuple[str, str]:
    """Split ``handshake.p99`` into metric and figure; a count has no figure."""
    metric, _, figure = name.rpartition(".")
    if name in COUNTS:
        return name, ""
    if metric in DISTRIBUTIONS and figure in FIGURES:
        return metric, figure
    if name in DISTRIBUTIONS or metric in DISTRIBUTIONS:
        known = name if name in DISTRIBUTIONS else metric
        raise UsageError(f"--fail-if {text!r}: {known} needs one of .{', .'.join(FIGURES)}, such as {known}.p99")
    raise UsageError(
        f"--fail-if {text!r}: unknown metric {name}; use {', '.join(COUNTS)}, or with .{', .'.join(FIGURES)}: "
        f"{', '.join(DISTRIBUTIONS)}"
    )


def _count(number: float, unit: str, metric: str, text: str) -> float:
    if metric in WITHOUT_SHARE and unit:
        raise UsageError(f"--fail-if {text!r}: {metric} counts samples and takes neither % nor a unit; remove {unit}")
    if unit not in ("", "%"):
        raise UsageError(f"--fail-if {text!r}: a count takes no unit except %")
    return number


def _measure(number: float, unit: str, metric: str, text: str) -> float:
    of = DISTRIBUTIONS[metric]
    factor = _FACTORS[of].get(unit)
    if factor is None:
        raise UsageError(f"--fail-if {text!r}: {_HINTS[of]}")
    return number * factor


def _check_can_fail(metric: str, comparison: str, limit: float, *, percent: bool, text: str) -> None:
    """Refuse a condition whose result is known before any call is placed."""
    if DISTRIBUTIONS.get(metric) is MetricUnit.DECIBELS:
        return
    if limit < 0:
        raise UsageError(f"--fail-if {text!r}: {metric} is never negative")
    if percent and limit > 100:
        raise UsageError(f"--fail-if {text!r}: a percentage is never above 100 %")
    if metric not in COUNTS:
        return
    highest = 100 if percent else None
    if (comparison, limit) in ((">=", 0), ("<=", highest)):
        raise UsageError(f"--fail-if {text!r}: always true; no load could pass")
    if (comparison, limit) in (("<", 0), (">", highest)):
        raise UsageError(f"--fail-if {text!r}: never true; no load could fail")
