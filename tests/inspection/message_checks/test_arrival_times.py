import random

import pytest

from listenctl.inspection.message_checks.arrival_times import ArrivalTimes


def arrivals_of(times: list[float], *, samples: int = 160, rate: int = 8000) -> ArrivalTimes:
    arrivals = ArrivalTimes(rate)
    for index, at in enumerate(times):
        arrivals.add_message(at, (index + 1) * samples)
    arrivals.finish()
    return arrivals


def times(count: int, *, ppm: float = 0, jitter: float = 0, seed: int = 1) -> list[float]:
    chance, latest, found = random.Random(seed), 0.0, []
    for index in range(count):
        latest = max(latest, (index + 1) * 0.02 * (1 + ppm * 1e-6) + chance.random() * jitter)
        found.append(latest)
    return found


@pytest.mark.parametrize("ppm", [-200, -20, 0, 20, 200])
@pytest.mark.parametrize("jitter", [0.0, 0.002, 0.015])
def test_a_drift_is_within_its_uncertainty(ppm: float, jitter: float) -> None:
    drift = arrivals_of(times(9000, ppm=ppm, jitter=jitter)).measure_drift([])

    assert drift is not None
    assert drift.uncertainty < 30
    assert drift.ppm == pytest.approx(ppm, abs=1.5 * drift.uncertainty + 0.5)


@pytest.mark.parametrize(
    ("share", "missing", "gaps"), [(0.5, 3.0, [160_000]), *((share, 0.02, []) for share in (0.3, 0.5, 0.7))]
)
def test_missing_audio_is_no_drift(share: float, missing: float, gaps: list[int]) -> None:
    sent = times(2000)
    at = int(share * len(sent))

    drift = arrivals_of([*sent[:at], *(time + missing for time in sent[at:])]).measure_drift(gaps)

    assert drift is not None
    assert abs(drift.ppm) < (1 if gaps else 5)


def test_too_little_audio_has_no_drift() -> None:
    assert arrivals_of(times(400)).measure_drift([]) is None


def test_a_very_long_call_is_kept_in_few_windows() -> None:
    arrivals = arrivals_of([float(second) for second in range(1, 40_000)], samples=8000)

    assert len(arrivals._windows) <= 4097
    drift = arrivals.measure_drift([])
    assert drift is not None
    assert abs(drift.ppm) < 1


def test_lateness_is_measured_from_what_is_in_time() -> None:
    on_time = times(500)
    late = [at + (0.05 if index % 10 == 0 else 0) for index, at in enumerate(on_time)]

    arrivals = arrivals_of([max(late[: index + 1]) for index in range(len(late))])

    assert arrivals.lateness.quantile(0.5) < 0.041
    assert arrivals.lateness.highest == pytest.approx(0.05, abs=0.001)


def test_a_clock_that_drifts_makes_nothing_late() -> None:
    arrivals = arrivals_of(times(60_000, ppm=100))

    assert arrivals.lateness.highest < 0.001
