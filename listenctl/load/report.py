"""The report of a load: totals over all calls, failures by reason, and the thresholds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from listenctl.load.load_call_outcome import LoadCallEnding, LoadCallOutcome, echo_as_json, times
from listenctl.load.load_thresholds import Metric, MetricCount, Threshold, ThresholdResult
from listenctl.load.measure_echo import EchoResult
from listenctl.load.plan import LoadPlan
from listenctl.percentiles import Histogram, Summary, summarize

REPORT_VERSION = 1
SLOW = 0.1
"""If the p99 of our own lateness is above this, in seconds, the figures say little about the server."""
# These hold unless a --fail-if on the same metric replaces them.
ALWAYS = ("failed>0", "ended-early>0", "lost>0")
WITH_ECHO = ("echo.lost>0", "echo.out-of-order>0", "echo.repeated>0")


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The result of a load."""

    url: str
    planned: int  # calls to place; ``endings`` counts those that were placed
    seconds: float
    interrupted: bool
    endings: Counter[LoadCallEnding]
    formats: Counter[str]
    problems: Counter[str]
    close_codes: Counter[str]  # "none" for calls that ended without one
    connected: int
    frames: int
    lost_samples: int
    ignoring_calls: int  # calls that were sent binary audio though only clips are played
    ignored_clip_calls: int  # calls that were sent clips though only a stream is played
    distributions: dict[str, Summary | None]
    echo: EchoResult | None
    outcomes: tuple[ThresholdResult, ...]

    @property
    def placed(self) -> int:
        """Calls that were started, including those that were given up before they were connected."""
        return self.endings.total()

    @property
    def failed(self) -> int:
        return self.endings[LoadCallEnding.FAILED]

    @property
    def ok(self) -> bool:
        return not self.interrupted and all(outcome.ok for outcome in self.outcomes)

    @property
    def too_slow(self) -> bool:
        """Whether this machine sent its frames too late for the figures to say much about the server."""
        lateness = self.distributions["lateness"]
        return lateness is not None and lateness.p99 > SLOW

    def as_json(self) -> dict[str, object]:
        figures = self.distributions
        unread = figures["unread"]
        return {
            "v": REPORT_VERSION,
            "url": self.url,
            "seconds": round(self.seconds, 3),
            "interrupted": self.interrupted,
            "calls": {"planned": self.planned, "placed": self.placed, "connected": self.connected}
            | {ending.value: self.endings[ending] for ending in LoadCallEnding},
            "formats": dict(self.formats),
            "frames": self.frames,
            "handshake_ms": times(figures["handshake"]),
            "first_audio_ms": times(figures["first-audio"]),
            "mark_ms": times(figures["mark"]),
            "lateness_ms": times(figures["lateness"]),
            "too_slow": self.too_slow,
            "unread_bytes": None if unread is None else unread.scaled(1),
            "lost_samples": self.lost_samples,
            "ignored_audio_calls": self.ignoring_calls,
            "ignored_clip_calls": self.ignored_clip_calls,
            "echo": None if self.echo is None else echo_as_json(self.echo),
            "close_codes": dict(self.close_codes),
            "problems": dict(self.problems.most_common()),
            "thresholds": [
                {"fail_if": one.text, "ok": one.ok, "value": one.value, "detail": one.detail} for one in self.outcomes
            ],
            "ok": self.ok,
        }


def summarize_load(
    plan: LoadPlan, calls: Sequence[LoadCallOutcome], *, seconds: float, interrupted: bool
) -> LoadReport:
    up = [call for call in calls if call.handshake is not None]
    echo = _echo(up) if plan.echo else None
    distributions = {
        "handshake": summarize(call.handshake for call in up if call.handshake is not None),
        "first-audio": summarize(call.first_audio for call in up if call.first_audio is not None),
        "mark": _merged(call.marks for call in up),
        "lateness": _merged(call.lateness for call in up),
        "unread": summarize(call.unread for call in up),
    }
    endings = Counter(call.ending for call in calls)
    lost = sum(call.lost_samples for call in up)
    metrics = _metrics(distributions, echo, endings)
    if up:
        metrics["lost"] = MetricCount(lost, None)
    return LoadReport(
        url=str(plan.target.address),
        planned=plan.calls,
        seconds=seconds,
        interrupted=interrupted,
        endings=endings,
        formats=Counter(str(call.format) for call in calls),
        problems=Counter(call.problem for call in calls if call.ending is LoadCallEnding.FAILED),
        close_codes=Counter(_close_code(call) for call in up),
        connected=len(up),
        frames=sum(call.frames for call in up),
        lost_samples=lost,
        ignoring_calls=sum(call.ignored_bytes > 0 for call in up),
        ignored_clip_calls=sum(call.ignored_clips > 0 for call in up),
        distributions=distributions,
        echo=echo,
        outcomes=tuple(threshold.check(metrics) for threshold in effective_thresholds(plan)),
    )


def effective_thresholds(plan: LoadPlan) -> list[Threshold]:
    usual = [Threshold.parse(text) for text in (*ALWAYS, *(WITH_ECHO if plan.echo else ()))]
    given = {threshold.metric for threshold in plan.thresholds}
    return [*plan.thresholds, *(one for one in usual if one.metric not in given)]


def _metrics(
    distributions: dict[str, Summary | None], echo: EchoResult | None, endings: Counter[LoadCallEnding]
) -> dict[str, Metric | None]:
    tried = endings.total() - endings[LoadCallEnding.CANCELLED]
    metrics: dict[str, Metric | None] = {**distributions}
    if tried:
        metrics["failed"] = MetricCount(endings[LoadCallEnding.FAILED], tried)
        metrics["ended-early"] = MetricCount(endings[LoadCallEnding.EARLY], tried)
    if echo is not None and echo.sent:
        metrics["echo.delay"] = echo.delay
        metrics["echo.gain"] = echo.gain
        metrics["echo.lost"] = MetricCount(echo.lost, echo.sent)
        metrics["echo.out-of-order"] = MetricCount(echo.out_of_order, echo.sent)
        metrics["echo.repeated"] = MetricCount(echo.repeated, echo.sent)
    return metrics


def _echo(calls: Iterable[LoadCallOutcome]) -> EchoResult:
    calls = list(calls)
    echoes = [call.echo for call in calls if call.echo is not None]
    counts = ("sent", "lost", "missed_at_start", "out_of_order", "repeated", "inverted")
    return EchoResult(
        **{name: sum(getattr(echo, name) for echo in echoes) for name in counts},
        delay=_merged(call.echo_delays for call in calls if call.echo_delays is not None),
        gain=summarize(chain.from_iterable(call.echo_gains for call in calls if call.echo_gains is not None)),
    )


def _merged(histograms: Iterable[Histogram]) -> Summary | None:
    whole = Histogram()
    for histogram in histograms:
        whole.merge(histogram)
    return whole.summary()


def _close_code(call: LoadCallOutcome) -> str:
    return "none" if call.end is None or call.end.code is None else str(call.end.code)
