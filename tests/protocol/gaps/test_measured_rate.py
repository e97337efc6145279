import pytest

from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap_ledger import GapLedger
from listenctl.protocol.gaps.measured_rate import RateMeter


def measured(rate: float, *, stated: int = 8000, seconds: float = 10, frame: float = 0.02) -> list[int]:
    meter, found = RateMeter(AudioFormat(stated, 1)), []
    for count in range(1, round(seconds / frame)):
        at = count * frame
        if at >= meter.due and (result := meter.measure(at, 2 * round(at * rate))):
            found.append(result)
    return found


@pytest.mark.parametrize("stated", [8000, 16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("frame", [0.01, 0.02, 0.06, 0.7])
def test_another_rate_is_found_once_and_the_stated_one_never(stated: int, rate: int, frame: float) -> None:
    assert measured(rate, stated=stated, frame=frame) == ([] if rate == stated else [rate])


@pytest.mark.parametrize("share", [0.9, 0.8, 0.6, 1.3])
def test_what_is_lost_steadily_is_no_rate(share: float) -> None:
    assert measured(8000 * share) == []


def test_a_short_call_is_measured_at_its_end() -> None:
    meter = RateMeter(AudioFormat(8000, 1))
    for at in (0.02, 0.52, 1.02):
        assert meter.measure(at, round(at * 32_000)) is None

    assert meter.measured_at_the_end() == 16_000


@pytest.mark.parametrize("late", [0.0, 0.65])
def test_what_a_late_server_measures_is_no_rate(late: float) -> None:
    ledger = GapLedger(AudioFormat(8000, 1), 0.0)
    for number in range(20):
        if late:
            ledger.add_unobserved(late)
        ledger.add_messages(320, 65)
        ledger.find_gaps(0.65 * number)

    ledger.end_call(13.0)
    assert ledger.measured_rate == (None if late else 16_000)


@pytest.mark.parametrize("seconds", [1.6, 3.2, 30])
def test_what_is_lost_after_audio_of_the_stated_rate_is_no_rate(seconds: float) -> None:
    meter = RateMeter(AudioFormat(8000, 1))
    steps = [(0.02, 320)] * 500 + [(0.02, 320 * (count % 2)) for count in range(round(seconds * 50))]
    at, received = 0.0, 0
    for step, size in steps:
        at, received = at + step, received + size
        if at >= meter.due:
            assert meter.measure(at, received) is None

    assert meter.measured_at_the_end() is None


def test_a_call_of_which_only_the_end_has_another_rate_has_none() -> None:
    meter = RateMeter(AudioFormat(8000, 1))
    for at, received in [(0.02, 320), (0.52, 2000), (1.02, 18_000), (1.52, 34_000)]:
        assert meter.measure(at, received) is None

    assert meter.measured_at_the_end() is None
