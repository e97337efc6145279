import numpy as np
import pytest

from listenctl.media.sound_checks.channel_checks import ChannelMeasurements
from listenctl.media.sound_checks.stream_pace import StreamPace

MESSAGE = 0.02


def channel(rate: int, *, slowed: float) -> ChannelMeasurements:
    """Return measurements of noise, or of noise up to a third of the rate that plays slower by a factor."""
    noise = np.random.default_rng(1).normal(0, 5000, 2 * rate)
    if slowed > 1:
        spectrum = np.fft.rfft(noise)
        spectrum[round(len(spectrum) * 2 / 3 / slowed) :] = 0
        noise = np.fft.irfft(spectrum)
    measured = ChannelMeasurements(rate)
    measured.add_samples(np.rint(noise).astype(np.float32))
    return measured


def paced(
    rate: int, samples_per_second: float, *, seconds: float = 6.0, slowed: float = 1.0, jitter: float = 0.0
) -> list[str]:
    pace = StreamPace(rate, "the stream")
    random = np.random.default_rng(2)
    for number in range(round(seconds / MESSAGE)):
        pace.add_message(number * MESSAGE + random.uniform(0, jitter), round(samples_per_second * MESSAGE))
    return [fault.rule for fault in pace.check(channel(rate, slowed=slowed))]


@pytest.mark.parametrize(
    ("rate", "sent"), [(8000, 24000), (16000, 24000), (16000, 8000), (24000, 16000), (8000, 44100), (24000, 8000)]
)
def test_a_steady_pace_of_another_rate_is_a_fault(rate: int, sent: int) -> None:
    assert paced(rate, sent, slowed=sent / rate, jitter=0.015) == ["audio-other-rate"]


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_the_right_pace_and_a_hurry_are_none(rate: int) -> None:
    assert paced(rate, rate, jitter=0.015) == []
    assert paced(rate, rate * 1.02, jitter=0.015) == []
    assert paced(rate, rate * 1.2) == []
    assert paced(rate, rate * 100) == []
    # Too short to tell.
    assert paced(rate, rate * 3, seconds=2.5) == []


@pytest.mark.parametrize(
    ("rate", "factor"), [(8000, 1.378), (8000, 1.5), (8000, 2), (8000, 3), (8000, 4), (8000, 6), (24000, 4 / 3)]
)
def test_a_steady_hurry_is_a_fault_only_if_it_sounds_slowed_down(rate: int, factor: float) -> None:
    assert paced(rate, rate * factor) == []
    assert paced(rate, rate * factor, slowed=max(1.5, factor)) == ["audio-other-rate"]


def test_the_pace_of_silence_says_nothing() -> None:
    pace = StreamPace(8000, "the stream")
    for number in range(300):
        pace.add_message(number * MESSAGE, 480)
    silence = ChannelMeasurements(8000)
    silence.add_samples(np.zeros(16000, np.float32))

    assert list(pace.check(silence)) == []


def test_bursts_and_pauses_are_none() -> None:
    pace = StreamPace(8000, "the stream")
    time = 0.0
    for sentence in range(20):
        time += 1.0
        for _ in range(50):
            time += 0.001 * (sentence + 1)
            pace.add_message(time, 480)

    assert list(pace.check(channel(8000, slowed=2))) == []
