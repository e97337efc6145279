import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listenctl.inspection.plot.envelope_and_spectrum import MAX_COLUMNS, MAX_SPECTRA, Envelope
from listenctl.media.sources.tones import SineTone


def envelope(samples: "np.ndarray[tuple[int], np.dtype[np.int16]]", cuts: list[int]) -> Envelope:
    made = Envelope(8000)
    data = samples.tobytes()
    for begin, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        made.add_audio(data[begin * 2 : end * 2])
    return made


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300_000), st.lists(st.integers(0, 300_000), max_size=20), st.integers(0, 1000))
def test_each_column_has_the_extremes_of_its_samples_however_they_are_cut(
    count: int, cuts: list[int], seed: int
) -> None:
    samples = np.random.default_rng(seed).integers(-3000, 3000, count, np.int16)

    seconds, low, high = envelope(samples, sorted(min(cut, count) for cut in cuts)).columns()

    column = round(seconds * 8000)
    assert len(low) == -(-count // column) <= MAX_COLUMNS
    for number in {0, len(low) // 2, len(low) - 1}:
        part = samples[number * column : (number + 1) * column]
        assert (low[number], high[number]) == (part.min(), part.max())


def test_an_hour_needs_no_more_columns_than_a_minute() -> None:
    made = Envelope(8000, with_spectrum=True)
    made.add_silence(8000 * 1800)
    made.add_audio(SineTone(1000, 8000, -6).samples(0, 8000))
    made.add_silence(8000 * 1799)

    seconds, low, _ = made.columns()
    assert made.spectrum is not None
    decibels = made.spectrum.decibels()

    assert MAX_COLUMNS // 2 <= len(low) <= MAX_COLUMNS
    assert decibels.shape[1] < MAX_SPECTRA
    assert seconds * len(low) == pytest.approx(3600, rel=0.01)
    loudest = np.unravel_index(decibels.argmax(), decibels.shape)
    assert loudest[0] * made.spectrum.max_frequency / (decibels.shape[0] - 1) == pytest.approx(1000, abs=20)
    assert loudest[1] * made.spectrum.column_seconds == pytest.approx(1800, abs=5)


def test_a_tone_at_full_scale_is_0_db() -> None:
    made = Envelope(8000, with_spectrum=True)
    made.add_audio(SineTone(1000, 8000, 0).samples(0, 16_000))
    made.columns()

    assert made.spectrum is not None
    assert made.spectrum.decibels().max() == pytest.approx(0, abs=0.5)


def test_the_range_outside_of_the_audio_is_zero() -> None:
    low, high = envelope(np.full(8000, 500, np.int16), []).range_between(np.array([-2.0, -1.0, 0.5, 0.9, 1.5, 2.0]))

    assert low.tolist() == high.tolist() == [0, 500, 500, 500, 0]
