import pytest

from listenctl.errors import UsageError
from listenctl.load.load_thresholds import MetricCount, Metrics, Threshold
from listenctl.percentiles import summarize

METRICS: Metrics = {
    "handshake": summarize([0.1, 0.2, 0.3]),
    "lateness": summarize([0.02]),
    "mark": None,
    "first-audio": None,
    "unread": summarize([0, 4096]),
    "failed": MetricCount(3, 200),
    "ended-early": MetricCount(0, 200),
    "lost": MetricCount(16000, None),
    "echo.lost": MetricCount(1, 0),
    "echo.delay": summarize([0.04]),
    "echo.gain": summarize([-6.0]),
}


@pytest.mark.parametrize(
    "text",
    [
        "handshake.p99>299ms", "handshake.p99>=300ms", "handshake.p99 > 0.299s", "HANDSHAKE.P50<1s",
        "lateness.max>=20ms", "failed>0", "failed>1%", "failed>=3", "unread.max>4000", "unread.max>4kB", "lost>15999",
        "echo.gain.min<-5dB", "echo.delay.p50>30ms", "ended-early<1",
    ],
)  # fmt: skip
def test_a_threshold_that_is_passed_fails(text: str) -> None:
    outcome = Threshold.parse(text).check(METRICS)

    assert not outcome.ok
    assert outcome.value is not None


@pytest.mark.parametrize(
    "text",
    ["handshake.p99>300ms", "handshake.max<300ms", "failed>3", "failed>1.5%", "ended-early>0", "echo.gain.min<-6",
     "unread.max>4096", "unread.max>4096B", "unread.max>1MB", "failed>=100%"],
)  # fmt: skip
def test_a_threshold_that_is_kept_is_ok(text: str) -> None:
    assert Threshold.parse(text).check(METRICS).ok


@pytest.mark.parametrize("text", ["mark.p95>1s", "first-audio.max>2s", "echo.repeated>0", "echo.lost>1%"])
def test_a_metric_that_was_never_measured_fails(text: str) -> None:
    outcome = Threshold.parse(text).check(METRICS)

    assert not outcome.ok
    assert outcome.value is None
    assert outcome.detail.endswith("was never measured")


def test_results_have_units() -> None:
    said = [
        Threshold.parse(text).check(METRICS).detail
        for text in ("handshake.p50>1s", "failed>50%", "failed>9", "unread.max>9kB")
    ]

    assert said == ["it was 200.0 ms", "it was 1.50 %", "it was 3", "it was 4096 B"]


def test_an_unknown_metric_is_refused_with_a_list() -> None:
    with pytest.raises(UsageError, match=r"unknown metric speed.p99; .*failed.*handshake"):
        Threshold.parse("speed.p99>1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("handshake>1s", "handshake needs one of .min"),
        ("handshake.p98>1s", "handshake needs one of .min"),
        ("handshake.p99>300", "a time needs a unit"),
        ("handshake.p99>3%", "a time needs a unit"),
        ("failed>3ms", "no unit except %"),
        ("unread.max>3ms", "in bytes; use a number, or kB or MB"),
        ("unread.max>3%", "is in bytes"),
        ("echo.gain.min<3s", "is in dB"),
        ("lost>1%", "lost counts samples and takes neither % nor a unit"),
        ("failed>150%", "never above 100 %"),
        ("failed>-1", "never negative"),
        ("handshake.p99>-1ms", "never negative"),
        ("failed>=0", "always true"),
        ("failed<=100%", "always true"),
        ("failed<0", "never true"),
        ("failed>100%", "never true"),
        ("failed", "not of the form METRIC>VALUE"),
        ("failed>", "not of the form METRIC>VALUE"),
        ("failed=3", "not of the form METRIC>VALUE"),
        ("", "not of the form METRIC>VALUE"),
    ],
)
def test_an_invalid_threshold_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Threshold.parse(text)
