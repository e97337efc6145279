"""The text for Prometheus, read by the parser of its own library."""

from prometheus_client.parser import text_string_to_metric_families

from listenctl.server.operations.metric_families import (
    DurationCounts,
    Durations,
    Gauge,
    Info,
    LabelledTotal,
    MetricFamily,
    Total,
)
from listenctl.server.operations.prometheus_text import prometheus_text


def read(metric: MetricFamily) -> tuple[str, str, str, dict[str, float]]:
    """Return name, type, help and samples, as a Prometheus takes them."""
    [family] = text_string_to_metric_families(prometheus_text([metric]).decode())
    samples = {f"{sample.name} {sample.labels}": sample.value for sample in family.samples}
    return family.name, family.type, family.documentation, samples


def test_a_gauge_and_a_total_are_one_number() -> None:
    assert read(Gauge("calls_live", "Live calls", 3)) == (
        "listenctl_calls_live", "gauge", "Live calls", {"listenctl_calls_live {}": 3.0}
    )  # fmt: skip
    assert read(Total("lost_seconds", "Lost audio", 0.25)) == (
        "listenctl_lost_seconds", "counter", "Lost audio", {"listenctl_lost_seconds_total {}": 0.25}
    )  # fmt: skip


def test_a_total_with_a_label_has_a_number_for_each_value() -> None:
    gaps = LabelledTotal("gaps", "Gaps", "kind", {"hole": 2, "pause": 1})

    assert read(gaps)[3] == {"listenctl_gaps_total {'kind': 'hole'}": 2, "listenctl_gaps_total {'kind': 'pause'}": 1}
    assert read(LabelledTotal("gaps", "Gaps", "kind", {})) == ("listenctl_gaps", "counter", "Gaps", {})


def test_durations_are_a_histogram() -> None:
    counts = DurationCounts((0.5, 1.0))
    for seconds in (0.25, 0.75, 4.0):
        counts.add(seconds)

    name, kind, _, samples = read(Durations("trip_seconds", "Round trips", counts))

    assert (name, kind) == ("listenctl_trip_seconds", "histogram")
    assert samples == {
        "listenctl_trip_seconds_bucket {'le': '0.5'}": 1,
        "listenctl_trip_seconds_bucket {'le': '1.0'}": 2,
        "listenctl_trip_seconds_bucket {'le': '+Inf'}": 3,
        "listenctl_trip_seconds_count {}": 3,
        "listenctl_trip_seconds_sum {}": 5.0,
    }


def test_information_is_a_label_of_a_one() -> None:
    _, _, _, samples = read(Info("build", "The version", "version", "1.2"))

    assert samples == {"listenctl_build_info {'version': '1.2'}": 1}
