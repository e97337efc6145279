"""Times of messages in HAR files, in every unit and from every origin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.capture.formats.har_times import HarTimes

BEGAN = 1795273200.25
# A text, audio of 20 ms every 20 ms, a pause of a minute, audio again.
OFFSETS = [0.1, *(0.12 + 0.02 * number for number in range(20)), *(60.0 + 0.02 * number for number in range(5))]
UNITS = {"s": 1, "ms": 1000, "µs": 1_000_000, "ns": 1_000_000_000}


def parsed(values: list[float], *, began: float = BEGAN, duration: float = 0.0, audio: float = 0.02) -> list[float]:
    times = HarTimes(began, duration, values, [(value, audio) for value in values[1:]] if audio else [])
    found = [round(times.parse_time(value) - began, 3) for value in values]
    assert times.wrong == 0
    return found


@pytest.mark.parametrize("unit", UNITS)
def test_unix_times_may_have_any_unit(unit: str) -> None:
    assert parsed([(BEGAN + at) * UNITS[unit] for at in OFFSETS], audio=0.0) == [round(at, 3) for at in OFFSETS]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("speed", [0.2, 1, 6])
def test_times_from_zero_have_the_unit_that_audio_has_its_pace_in(unit: str, speed: float) -> None:
    values = [at * UNITS[unit] for at in OFFSETS]

    assert parsed(values, audio=0.02 * speed) == [round(at, 3) for at in OFFSETS]


@pytest.mark.parametrize("unit", UNITS)
def test_without_audio_the_duration_of_the_entry_tells_the_unit(unit: str) -> None:
    values = [at * UNITS[unit] for at in (0.1, 12.0, 50.0)]

    assert parsed(values, duration=60.0, audio=0.0) == [0.1, 12.0, 50.0]


def test_times_that_count_from_elsewhere_begin_with_the_connection() -> None:
    assert parsed([5000.5 + at for at in OFFSETS])[:2] == [0.0, 0.02]
    assert parsed([(5000.5 + at) * 1000 for at in OFFSETS])[:2] == [0.0, 0.02]


def test_times_may_be_text() -> None:
    times = HarTimes(BEGAN, 0.0, ["2026-11-21T15:00:00.350Z"])

    values = ["2026-11-21T15:00:00.350Z", "1795273200.45", 1795273200.55, "later", None, True]
    assert [round(times.parse_time(value) - BEGAN, 3) for value in values] == [0.1, 0.2, 0.3, 0.3, 0.3, 0.3]


@pytest.mark.parametrize("end", [BEGAN + 5, (BEGAN + 5) * 1000, "2026-11-21T15:00:05.250Z"])
def test_the_end_may_have_another_unit_than_messages(end: object) -> None:
    times = HarTimes(BEGAN, 0.0, [BEGAN + 1])
    times.parse_time(BEGAN + 1)

    assert times.parse_close_time(end) == pytest.approx(BEGAN + 5)
    assert times.parse_close_time(BEGAN + 2) == pytest.approx(BEGAN + 5)
    assert times.wrong == 0


@given(st.floats() | st.text() | st.none(), st.lists(st.floats() | st.integers() | st.text(max_size=30)))
def test_no_time_raises(end: object, values: list[object]) -> None:
    times = HarTimes(BEGAN, 1.0, values, [(value, 0.02) for value in values])

    for value in values:
        assert 0 <= times.parse_time(value) < 1e10
    assert 0 <= times.parse_close_time(end) < 1e10
