from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.percentiles import Histogram, Summary, summarize


def histogram_of(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add_value(value)
    return histogram


def test_percentiles_are_measurements_at_their_rank() -> None:
    assert summarize(float(value) for value in range(100, 0, -1)) == Summary(100, 1, 50.5, 50, 95, 99, 100)


def test_one_measurement_is_all_its_figures() -> None:
    assert summarize([2.5]) == Summary(1, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5)


def test_nothing_measured_has_no_summary() -> None:
    assert summarize([]) is None
    assert Histogram().summary() is None
    assert Histogram().quantile(0.5) == 0


def test_figures_are_given_in_another_unit() -> None:
    summary = summarize([0.001, 0.003])

    assert summary is not None
    assert summary.scaled(1000) == {
        "count": 2,
        "min": 1.0,
        "mean": 2.0,
        "p50": 1.0,
        "p95": 3.0,
        "p99": 3.0,
        "max": 3.0,
    }


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=300), st.floats(0.01, 1))
def test_a_histogram_is_exact_but_for_half_a_bin(values: list[float], share: float) -> None:
    histogram = histogram_of(values)

    found, exact = histogram.summary(), summarize(values)

    assert found is not None
    assert exact is not None
    assert (found.count, found.min, found.max) == (exact.count, exact.min, exact.max)
    assert found.mean == pytest.approx(exact.mean)
    truth = [*map(exact.__getattribute__, ("p50", "p95", "p99")), sorted(values)[ceil(len(values) * share - 1e-9) - 1]]
    assert [found.p50, found.p95, found.p99, histogram.quantile(share)] == pytest.approx(truth, rel=0.001, abs=0.000051)


@given(st.lists(st.floats(-1, 1e12)))
def test_a_histogram_of_anything_keeps_the_highest(values: list[float]) -> None:
    histogram = histogram_of(values)

    assert (histogram.count, histogram.highest) == (len(values), max([0.0, *values]))


@given(st.lists(st.floats(-1, 5)), st.lists(st.floats(0, 0.9)))
def test_merged_values_and_values_added_together_count_as_single_ones(first: list[float], second: list[float]) -> None:
    merged, together = histogram_of(first), Histogram()

    merged.merge(histogram_of(second))
    together.add_values(first)
    together.add_values(second)

    whole = histogram_of(first + second).summary()
    for summary in (merged.summary(), together.summary()):
        assert (summary is None) == (whole is None)
        if summary is not None and whole is not None:
            assert summary.scaled(1, 6) == pytest.approx(whole.scaled(1, 6))
