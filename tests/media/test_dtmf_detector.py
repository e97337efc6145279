"""The limits are those of ITU-T Q.24 (annex A, AT&T)."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from listenctl.media.dtmf_detector import CallDtmfDetector, DtmfDetector, DtmfTone
from listenctl.media.sources.sample_speech import sample_speech
from listenctl.media.sources.tones import DTMF_DIGITS, DTMF_HIGH_HZ, DTMF_LOW_HZ, DTMF_PAD, dtmf_tones
from listenctl.protocol.audio import AudioFormat
from tests.helpers.capture import CAPTURES, received_audio


def detect(pcm: bytes, sample_rate: int = 8000) -> list[DtmfTone]:
    detector = DtmfDetector(sample_rate)
    return detector.feed(pcm) + detector.end_audio()


def digits(pcm: bytes, sample_rate: int = 8000) -> str:
    return "".join(tone.digit for tone in detect(pcm, sample_rate))


def press(
    digit: str,
    seconds: float = 0.04,
    *,
    sample_rate: int = 8000,
    low_db: float = -9.0,
    high_db: float = -9.0,
    low_off: float = 0.0,
    high_off: float = 0.0,
) -> bytes:
    """Return a key's two tones, with abrupt edges, each louder or quieter and higher or lower than it should be."""
    row = next(n for n, keys in enumerate(DTMF_PAD) if digit in keys)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    low, high = DTMF_LOW_HZ[row] * (1 + low_off), DTMF_HIGH_HZ[DTMF_PAD[row].index(digit)] * (1 + high_off)
    wave = 10 ** (low_db / 20) * np.sin(2 * np.pi * low * time)
    wave += 10 ** (high_db / 20) * np.sin(2 * np.pi * high * time)
    return pcm_of(wave * 32767)


def pcm_of(wave: NDArray[np.float64]) -> bytes:
    return np.rint(wave).clip(-32768, 32767).astype("<i2").tobytes()


def silence(seconds: float, sample_rate: int = 8000) -> bytes:
    return bytes(2 * round(seconds * sample_rate))


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 22050, 44100, 48000, 64000])
def test_every_key_is_heard_once_where_it_was_pressed(sample_rate: int) -> None:
    tones = detect(dtmf_tones(DTMF_DIGITS, sample_rate), sample_rate)

    assert "".join(tone.digit for tone in tones) == DTMF_DIGITS
    every = 2 * round(0.1 * sample_rate)
    starts = [(tone.position - n * every) / sample_rate for n, tone in enumerate(tones)]
    # The tones fade in and out within 5 ms, and are there when they have half their amplitude.
    assert starts == pytest.approx([0.0025] * len(DTMF_DIGITS), abs=0.001)
    assert [tone.duration for tone in tones] == pytest.approx([0.095] * len(DTMF_DIGITS), abs=0.001)


@pytest.mark.parametrize("sample_rate", [8000, 11025, 48000])
@pytest.mark.parametrize("seconds", [0.04, 0.05, 0.3, 5.0])
def test_the_duration_is_told(sample_rate: int, seconds: float) -> None:
    pcm = silence(0.1037, sample_rate) + press("7", seconds, sample_rate=sample_rate) + silence(0.2, sample_rate)

    (tone,) = detect(pcm, sample_rate)

    assert tone.position / sample_rate == pytest.approx(0.1037, abs=0.0015)
    assert tone.duration == pytest.approx(seconds, abs=0.003)
    assert tone.duration_ms == round(tone.duration * 1000)


def test_a_key_is_told_soon_after_its_end() -> None:
    for lead in range(0, 1600, 100):
        detector = DtmfDetector(8000)
        pressed = bytes(lead) + press("4", 0.1)

        assert detector.feed(pressed) == []
        assert [tone.digit for tone in detector.feed(silence(0.15))] == ["4"]


@pytest.mark.parametrize("digit", DTMF_DIGITS)
@pytest.mark.parametrize("sample_rate", [8000, 48000])
def test_40_ms_are_a_key_and_23_ms_are_none(digit: str, sample_rate: int) -> None:
    for lead in (0.1, 0.1013, 0.1031):
        before = silence(lead, sample_rate)

        assert digits(before + press(digit, 0.04, sample_rate=sample_rate), sample_rate) == digit
        assert digits(before + press(digit, 0.023, sample_rate=sample_rate), sample_rate) == ""


@pytest.mark.parametrize("digit", DTMF_DIGITS)
def test_a_frequency_may_be_off_by_1_5_percent_but_not_by_3_5(digit: str) -> None:
    for low_sign, high_sign in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        assert digits(press(digit, low_off=0.015 * low_sign, high_off=0.015 * high_sign)) == digit
        assert digits(press(digit, 0.2, low_off=0.035 * low_sign)) == ""
        assert digits(press(digit, 0.2, high_off=0.035 * high_sign)) == ""


@pytest.mark.parametrize("digit", "1AD*5")
@pytest.mark.parametrize(
    ("low_db", "high_db", "heard"),
    [
        # The high tone may be 8 dB below the low one and 4 dB above it.
        *((-14, -28, False), (-14, -22, True), (-14, -14, True), (-14, -10, True), (-14, -4, False)),
        # Loud and quiet tones are keys, traces are not.
        *((-6, -6, True), (-20, -20, True), (-32, -32, True), (-42, -42, False), (-60, -60, False)),
    ],
)
def test_the_levels_of_both_tones_decide(digit: str, low_db: float, high_db: float, heard: bool) -> None:
    assert digits(press(digit, low_db=low_db, high_db=high_db)) == (digit if heard else "")


@pytest.mark.parametrize("sample_rate", [8000, 48000])
def test_noise_15_db_below_hides_nothing_and_adds_nothing(sample_rate: int) -> None:
    clean = np.frombuffer(dtmf_tones(DTMF_DIGITS * 5, sample_rate, tone=0.05, gap=0.05), "<i2").astype(float)
    # Both tones together, -9 and -7 dB, have this power.
    power = 32767**2 / 2 * (10**-0.9 + 10**-0.7)
    noise = np.random.default_rng(24).normal(0, np.sqrt(power / 10**1.5), len(clean))

    assert digits(pcm_of(clean + noise), sample_rate) == DTMF_DIGITS * 5


def test_the_same_key_again_needs_a_pause_of_40_ms_and_another_key_none() -> None:
    assert digits(press("3") + silence(0.04) + press("3")) == "33"
    assert digits(b"".join(press(digit, 0.05) for digit in "123ABCD#0*7415963")) == "123ABCD#0*7415963"


@pytest.mark.parametrize("interruption", [0.002, 0.005, 0.01])
def test_an_interruption_of_up_to_10_ms_is_no_pause(interruption: float) -> None:
    (tone,) = detect(press("3") + silence(interruption) + press("3"))

    assert tone.digit == "3"
    assert tone.duration == pytest.approx(0.08 + interruption, abs=0.004)


def test_an_interruption_soon_after_the_beginning_doesnt_move_it() -> None:
    (tone,) = detect(silence(0.1) + press("3", 0.024) + silence(0.01) + press("3", 0.1))

    assert tone.position / 8000 == pytest.approx(0.1, abs=0.0015)
    assert tone.duration == pytest.approx(0.134, abs=0.004)


def test_keys_that_follow_at_once_dont_overlap() -> None:
    quiet, loud = detect(press("9", 0.0742, low_db=-4, high_db=-6) + press("0", 0.0625, low_db=0, high_db=0))

    assert quiet.digit + loud.digit == "90"
    assert quiet.position + quiet.duration * 8000 <= loud.position + 1


def test_a_key_that_fades_is_still_one_key() -> None:
    wave = np.frombuffer(press("6", 1.0, low_db=-7, high_db=-7), "<i2") * np.linspace(1, 0.1, 8000)

    (tone,) = detect(pcm_of(wave))

    assert tone.digit == "6"
    assert tone.duration == pytest.approx(1.0, abs=0.005)


# Read at other rates, speech is that of smaller and of larger people.
@pytest.mark.parametrize("sample_rate", [8000, 9500, 11025, 13000, 16000, 19000, 22050, 26000, 32000])
@pytest.mark.parametrize("channel", [0, 1])
def test_speech_is_no_key(sample_rate: int, channel: int) -> None:
    pcm = np.frombuffer(sample_speech(AudioFormat(16000, 2)), "<i2")[channel::2]

    assert detect(pcm.tobytes(), sample_rate) == []


@pytest.mark.parametrize("name", CAPTURES)
def test_nothing_in_a_captured_call_is_a_key(name: str) -> None:
    audio = received_audio(name)
    samples = np.frombuffer(audio.data, "<i2").reshape(-1, audio.channels)

    assert [detect(channel.tobytes(), audio.sample_rate) for channel in samples.T] == [[]] * audio.channels


@pytest.mark.parametrize(
    "pcm",
    [
        press("5", 1.0, high_db=-200),
        press("5", 1.0, low_db=-200),
        pcm_of(np.random.default_rng(23).normal(0, 3000, 8000 * 30)),
        pcm_of(np.random.default_rng(22).choice([-32768, 32767], 8000 * 5).astype(float)),
        silence(2),
        b"\xff\xff" * 16000,
    ],
    ids=["low tone alone", "high tone alone", "noise", "loudest noise", "silence", "silence of FreeSWITCH"],
)
def test_other_sounds_are_no_key(pcm: bytes) -> None:
    assert detect(pcm) == []


@cache
def mixture() -> bytes:
    """Return speech, keys in noise, and an interrupted key."""
    spoken = np.frombuffer(sample_speech(AudioFormat(8000, 2)), "<i2")[:8000:2].tobytes()
    noise = np.random.default_rng(21).normal(0, 800, 16000)
    keys = pcm_of(np.frombuffer(dtmf_tones("147*", 8000).ljust(32000, b"\0"), "<i2") + noise)
    return spoken + keys + press("D") + silence(0.01) + press("D")


def test_what_comes_byte_by_byte_is_heard_alike() -> None:
    detector = DtmfDetector(8000)
    pcm = mixture()

    tones = [tone for n in range(len(pcm)) for tone in detector.feed(pcm[n : n + 1])] + detector.end_audio()

    assert tones == detect(pcm)
    assert "".join(tone.digit for tone in tones) == "147*D"


@given(st.lists(st.integers(0, 45_000), max_size=30))
def test_how_the_audio_is_cut_changes_nothing(cuts: list[int]) -> None:
    detector = DtmfDetector(8000)
    pcm = mixture()
    edges = [0, *sorted(min(cut, len(pcm)) for cut in cuts), len(pcm)]

    tones = [tone for start, end in pairwise(edges) for tone in detector.feed(pcm[start:end])]

    assert tones + detector.end_audio() == detect(pcm)


@given(
    st.sampled_from([8000, 11025, 16000]),
    st.lists(
        st.tuples(
            st.sampled_from(DTMF_DIGITS), st.floats(0, 0.08), st.floats(-40, 0), st.floats(-40, 0), st.floats(0, 0.05)
        ),
        max_size=12,
    ),
)
def test_no_audio_is_too_odd(sample_rate: int, presses: list[tuple[str, float, float, float, float]]) -> None:
    pcm = b"".join(
        press(digit, seconds, sample_rate=sample_rate, low_db=low_db, high_db=high_db) + silence(pause, sample_rate)
        for digit, seconds, low_db, high_db, pause in presses
    )

    tones = detect(pcm, sample_rate)

    ends = [tone.position + tone.duration * sample_rate for tone in tones]
    assert all(end <= after.position + 1 for end, after in zip(ends, tones[1:], strict=False))
    assert len(tones) <= len(presses)


def stereo(left: bytes, right: bytes) -> bytes:
    parts = [np.frombuffer(side, "<i2") for side in (left, right)]
    length = max(map(len, parts))
    return np.stack([np.pad(part, (0, length - len(part))) for part in parts], axis=1).tobytes()


def test_tones_of_each_channel_have_their_position_in_the_call() -> None:
    detector = CallDtmfDetector(AudioFormat(8000, 2), 12_000)
    # The last key is down when the call ends.
    data = stereo(dtmf_tones("12", 8000), bytes(8000) + dtmf_tones("#", 8000, gap=0))

    tones = [tone for at in range(0, len(data), 4 * 777) for tone in detector.feed(data[at : at + 4 * 777])]
    tones += detector.end_audio()

    assert [(tone.digit, tone.channel) for tone in tones] == [("1", 1), ("2", 1), ("#", 2)]
    for tone, begin in zip(tones, (0, 1600, 4000), strict=True):
        assert abs(tone.position - 12_000 - begin) < 40
        assert abs(tone.duration_ms - 100) < 10
