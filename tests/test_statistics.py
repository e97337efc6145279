from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.statistics import Histogram, Summary, summarize


def test_percentiles_are_measurements_at_their_rank() -> None:
    assert summarize(float(value) for value in range(100, 0, -1)) == Summary(100, 1, 50.5, 50, 95, 99, 100)


def test_one_measurement_is_all_its_figures() -> None:
    assert summarize([2.5]) == Summary(1, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5)


def test_nothing_measured_comes_to_nothing() -> None:
    assert summarize([]) is None
    assert Histogram().summary() is None


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


@given(st.lists(st.floats(0, 9.9), min_size=1, max_size=300))
def test_a_histogram_is_never_better_than_the_truth_and_at_most_a_bin_worse(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)

    found = histogram.summary()

    exact = sorted(values)
    assert found is not None
    assert (found.count, found.min, found.max) == (len(values), exact[0], exact[-1])
    assert found.mean == pytest.approx(sum(values) / len(values))
    for percent, got in ((50, found.p50), (95, found.p95), (99, found.p99)):
        truth = exact[ceil(len(values) * percent / 100) - 1]
        assert truth - 1e-9 <= got <= truth + 0.0001 + 1e-9


def test_what_is_beyond_the_histogram_keeps_its_maximum() -> None:
    histogram = Histogram()

    histogram.add(11.0)
    histogram.add(60.0)

    found = histogram.summary()
    assert found is not None
    assert (found.p50, found.max) == (60.0, 60.0)


@given(st.lists(st.floats(0, 5)), st.lists(st.floats(0, 5)))
def test_merged_histograms_count_as_one(first: list[float], second: list[float]) -> None:
    whole, left, right = Histogram(), Histogram(), Histogram()
    for histogram, values in ((whole, first + second), (left, first), (right, second)):
        for value in values:
            histogram.add(value)

    left.merge(right)

    merged, expected = left.summary(), whole.summary()
    assert (merged is None) == (expected is None)
    if merged is not None and expected is not None:
        assert merged.scaled(1, 6) == pytest.approx(expected.scaled(1, 6))


def test_histograms_of_different_resolutions_do_not_merge() -> None:
    with pytest.raises(ValueError, match="resolutions"):
        Histogram(0.001).merge(Histogram(0.0001))
