"""Metrics as plain data."""

import pytest

from listenctl.server.operations.metric_families import DurationCounts


def test_durations_are_counted_up_to_and_with_each_bound() -> None:
    counts = DurationCounts((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 2.0):
        counts.add(seconds)

    assert counts.cumulative() == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert counts.total == pytest.approx(2.65)
