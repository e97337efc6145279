import pytest

from listenctl.play_to_call.rate_probe import rate_of_silence


@pytest.mark.parametrize(
    ("seconds", "rate"),
    [(0.48, 8000), (0.53, 8000), (0.24, 16000), (0.29, 16000), (0.16, 24000), (0.02, None), (0.4, None), (0.7, None)],
)
def test_the_time_that_silence_takes_tells_the_rate(seconds: float, rate: int | None) -> None:
    assert rate_of_silence(seconds) == rate
