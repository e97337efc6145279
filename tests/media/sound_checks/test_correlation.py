"""Delays are found at every sample rate, also at those at which only half of the samples are compared."""

import numpy as np
import pytest

from listenctl.media.sound_checks.correlation import BLOCK, Correlator, Floats, spectra

RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000]


def noise(rate: int, seed: int, blocks: int = 4) -> Floats:
    return np.random.default_rng(seed).normal(0, 3000, round(blocks * BLOCK * rate)).astype(np.float32)


def correlate(rate: int, first: Floats, second: Floats) -> Correlator:
    correlator = Correlator(rate, rate)
    size = correlator.sizes[0]
    for at in range(0, len(first) - size + 1, size):
        correlator.add_block(first[at : at + size], second[at : at + size])
    return correlator


@pytest.mark.parametrize("delay", [0.0, 0.0123, 0.25])
@pytest.mark.parametrize("rate", RATES)
def test_a_delayed_sound_is_found_in_another(rate: int, delay: float) -> None:
    sound = noise(rate, 1)
    echo = np.roll(sound, round(delay * rate)) + noise(rate, 2) * np.float32(0.5)

    found = correlate(rate, sound, echo).result()

    assert found is not None
    assert found.delay == pytest.approx(delay, abs=0.0003)
    assert found.strength > 0.4


@pytest.mark.parametrize("rate", RATES)
def test_unrelated_sounds_have_no_delay(rate: int) -> None:
    assert correlate(rate, noise(rate, 1), noise(rate, 2)).result() is None


def test_half_of_the_samples_give_the_strength_of_all() -> None:
    """At 16 kHz half of the samples are compared, at 8 kHz all."""
    rate = 16_000
    spectrum = np.fft.rfft(noise(rate, 1))
    spectrum[len(spectrum) // 2 :] = 0
    narrow = np.fft.irfft(spectrum).astype(np.float32)
    echo = np.roll(narrow, 2 * 400)

    halves, whole = correlate(rate, narrow, echo).result(), correlate(8000, narrow[::2], echo[::2]).result()

    assert halves is not None
    assert whole is not None
    assert halves.delay == whole.delay == 400 / 8000
    assert halves.strength == pytest.approx(whole.strength, abs=0.01)


@pytest.mark.parametrize("size", [512, 1000])
def test_each_row_has_the_spectrum_of_its_windowed_samples(size: int) -> None:
    rows = noise(8000, 1)[: 3 * size].reshape(3, size)

    exact = np.fft.rfft(rows.astype(np.float64) * np.hanning(size))

    np.testing.assert_allclose(spectra(rows), exact, atol=1e-6 * float(np.abs(exact).max()))
