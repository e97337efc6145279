import numpy as np
import pytest

from listenctl.errors import UsageError
from listenctl.media.sources.tones import SineTone, beep, dtmf_tones, normalize_digits

ROWS = (697, 770, 852, 941)
COLUMNS = (1209, 1336, 1477, 1633)
PAD = ("123A", "456B", "789C", "*0#D")


def levels(pcm: bytes, sample_rate: int) -> dict[int, float]:
    """Return the level of each DTMF frequency in dB relative to full scale, as a correlation tells it."""
    wave = np.frombuffer(pcm, "<i2") / 32767
    time = np.arange(len(wave)) / sample_rate
    return {
        hertz: float(20 * np.log10(2 * abs(np.mean(wave * np.exp(-2j * np.pi * hertz * time))) + 1e-9))
        for hertz in ROWS + COLUMNS
    }


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 48000])
@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("column", range(4))
def test_each_key_has_its_two_tones_with_the_high_one_2_db_louder(row: int, column: int, sample_rate: int) -> None:
    pcm = dtmf_tones(PAD[row][column], sample_rate, tone=1.0, gap=0)

    found = levels(pcm, sample_rate)

    low, high = found.pop(ROWS[row]), found.pop(COLUMNS[column])
    assert (low, high) == pytest.approx((-9, -7), abs=0.1)
    assert max(found.values()) < -50


def test_digits_follow_each_other_with_gaps_and_pauses() -> None:
    one, two = (dtmf_tones(digit, 8000, tone=0.06, gap=0.04) for digit in "12")

    both = dtmf_tones("1w2", 8000, tone=0.06, gap=0.04)

    assert both == one + bytes(8000) + two
    assert len(one) == 1600
    assert one[960:] == bytes(640)
    assert dtmf_tones("1", 8000, tone=0, gap=0.01) == bytes(160)
    assert dtmf_tones("", 8000) == b""


def test_a_key_neither_clicks_nor_clips() -> None:
    pcm = np.frombuffer(dtmf_tones("D", 8000, gap=0), "<i2").astype(int)

    assert pcm[0] == pcm[-1] == 0
    assert np.abs(pcm[:8]).max() < 32767 * 0.2
    assert np.abs(pcm).max() < 32767 * 0.81


def test_letters_may_be_small() -> None:
    assert normalize_digits("09*#adw") == "09*#ADw"
    assert dtmf_tones("a", 8000) == dtmf_tones("A", 8000)


@pytest.mark.parametrize("text", ["E", "1 2", "1,2", "W", "²", "٣", "1\n"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a digit; use 0-9"):
        normalize_digits(text)


@pytest.mark.parametrize("sample_rate", [8000, 44100])
def test_the_beep_is_half_a_second_of_1500_hz(sample_rate: int) -> None:
    wave = np.frombuffer(beep(sample_rate), "<i2").astype(float)

    assert len(wave) == sample_rate // 2
    assert np.abs(np.fft.rfft(wave)).argmax() * 2 == 1500
    assert wave[0] == wave[-1] == 0


def test_a_tone_at_full_scale_doesnt_wrap() -> None:
    wave = np.frombuffer(SineTone(1000, 8000, 0.0).samples(0, 8000), "<i2")

    assert (wave.min(), wave.max()) == (-32767, 32767)


def test_a_tone_keeps_its_phase_for_hours() -> None:
    tone = SineTone(440, 8000, -12.0)

    assert tone.samples(8000 * 36_000, 160) == tone.samples(8000, 160)
