"""No digit can be read from audio whose tones are silenced, and everything else stays where it was."""

import random
import subprocess
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from listenctl.media.dtmf_detector import DtmfDetector
from listenctl.media.dtmf_mask import MIN_MASKED_RATE, DtmfMask
from listenctl.media.sources.sample_speech import sample_speech
from listenctl.media.sources.tones import DTMF_HIGH_HZ, DTMF_LOW_HZ, DTMF_PAD
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.dtmf_digits import DTMF_KEYS

Samples = NDArray[np.int16]

LOUD, QUIET = -9.0, -32.0
"""Level of each tone in dB of full scale; the quiet one is the lowest that Q.24 asks to detect."""
MULTIMON_RATE = 22050
MARGIN = 0.05
"""Seconds beside a tone that may be silenced with it."""
HELD = 0.06


def key(digit: str, sample_rate: int, seconds: float, level_db: float) -> NDArray[np.float64]:
    row = next(number for number, digits in enumerate(DTMF_PAD) if digit in digits)
    at = np.arange(round(sample_rate * seconds)) / sample_rate
    pair = DTMF_LOW_HZ[row], DTMF_HIGH_HZ[DTMF_PAD[row].index(digit)]
    waves = np.sin(2 * np.pi * np.outer(pair, at))
    tone: NDArray[np.float64] = 32767 * 10 ** (level_db / 20) * waves.sum(axis=0)
    return tone


def keys_in_silence(sample_rate: int, level_db: float, *, seconds: float = 0.05) -> Samples:
    """Return all keys, with pauses of different lengths that shift them against any window."""
    chance = random.Random(7)
    parts = []
    for digit in DTMF_KEYS:
        pause = np.zeros(round(sample_rate * chance.uniform(0.04, 0.09)))
        parts += [pause, key(digit, sample_rate, seconds, level_db)]
    return np.concatenate([*parts, np.zeros(sample_rate // 5)]).astype(np.int16)


def mask(audio: Samples, sample_rate: int, sizes: Sequence[int] = (137, 1, 800, 160, 5000)) -> Samples:
    """Return the audio through a mask that gets it in pieces of these sizes, in turn."""
    channels = 1 if audio.ndim == 1 else audio.shape[1]
    frames = audio.reshape(-1, channels)
    masking = DtmfMask(AudioFormat(sample_rate, channels))
    out, at, turn = [], 0, 0
    while at < len(frames):
        out.append(masking.feed(frames[at : at + sizes[turn % len(sizes)]].tobytes()))
        at, turn = at + sizes[turn % len(sizes)], turn + 1
        assert masking.held_samples <= HELD * sample_rate
    out.append(masking.flush())
    return np.frombuffer(b"".join(out), "<i2").reshape(audio.shape)


def heard_by_us(audio: Samples, sample_rate: int) -> str:
    detector = DtmfDetector(sample_rate)
    return "".join(tone.digit for tone in detector.feed(audio.tobytes()) + detector.end_audio())


def heard_by_multimon(audio: Samples, sample_rate: int) -> str:
    resampled = soxr.resample(audio.astype(np.float64), sample_rate, MULTIMON_RATE).clip(-32768, 32767)
    data = resampled.astype("<i2").tobytes()
    command = ["multimon-ng", "-q", "-t", "raw", "-a", "DTMF", "-"]
    lines = subprocess.run(command, input=data, check=True, capture_output=True).stdout.decode().splitlines()
    return "".join(line.removeprefix("DTMF: ") for line in lines if line.startswith("DTMF: "))


@pytest.mark.parametrize("sample_rate", [8000, 16000])
@pytest.mark.parametrize("level_db", [LOUD, QUIET])
@pytest.mark.parametrize("seconds", [0.04, 0.05, 0.2])
def test_no_detector_hears_any_of_the_keys(sample_rate: int, level_db: float, seconds: float) -> None:
    audio = keys_in_silence(sample_rate, level_db, seconds=seconds)
    assert heard_by_us(audio, sample_rate) == heard_by_multimon(audio, sample_rate) == DTMF_KEYS

    masked = mask(audio, sample_rate)

    assert heard_by_us(masked, sample_rate) == heard_by_multimon(masked, sample_rate) == ""


@pytest.mark.parametrize("sample_rate", [3300, 4000, 11025, 48000])
def test_keys_at_unusual_rates_are_silenced(sample_rate: int) -> None:
    audio = keys_in_silence(sample_rate, LOUD)
    assert heard_by_us(audio, sample_rate) == DTMF_KEYS

    masked = mask(audio, sample_rate)

    assert heard_by_us(masked, sample_rate) == heard_by_multimon(masked, sample_rate) == ""


def test_keys_that_are_too_short_or_too_low_for_us_are_silenced_as_well() -> None:
    audio = np.concatenate([keys_in_silence(8000, -41.0), keys_in_silence(8000, LOUD, seconds=0.025)])
    assert heard_by_us(audio, 8000) == ""
    assert heard_by_multimon(audio, 8000) == DTMF_KEYS * 2

    assert heard_by_multimon(mask(audio, 8000), 8000) == ""


def test_keys_pressed_while_somebody_talks_are_silenced() -> None:
    speech = np.frombuffer(sample_speech(AudioFormat(8000, 1)), "<i2")
    audio = speech.astype(np.float64)
    keys = keys_in_silence(8000, LOUD, seconds=0.08)
    talk = np.resize(audio[np.abs(audio) > 100], len(keys)) * 0.3
    mixed = (keys + talk).clip(-32768, 32767).astype(np.int16)
    assert len(heard_by_multimon(mixed, 8000)) >= len(DTMF_KEYS)

    masked = mask(mixed, 8000)

    assert heard_by_us(masked, 8000) == heard_by_multimon(masked, 8000) == ""


@pytest.mark.parametrize("channel", [0, 1])
def test_only_the_channel_of_the_keys_is_silenced(channel: int) -> None:
    keys = keys_in_silence(16000, LOUD)
    speech = np.resize(np.frombuffer(sample_speech(AudioFormat(16000, 1)), "<i2"), len(keys))
    audio = np.stack([keys, speech] if channel == 0 else [speech, keys], axis=1)

    masked = mask(audio, 16000)

    assert heard_by_multimon(masked[:, channel].copy(), 16000) == ""
    assert np.array_equal(masked[:, 1 - channel], speech)


def test_a_tone_is_silenced_from_its_first_to_its_last_sample_and_little_beside_it() -> None:
    rate, begin, length = 8000, 4003, 960
    audio = np.random.default_rng(3).normal(0, 300, 3 * rate).astype(np.int16)
    audio[begin : begin + length] += key("5", rate, length / rate, LOUD).astype(np.int16)

    masked = mask(audio, rate)

    silenced = np.flatnonzero(masked != audio)
    margin = round(MARGIN * rate)
    assert not masked[begin : begin + length].any()
    assert begin - margin <= silenced[0] <= begin
    assert begin + length - 1 <= silenced[-1] < begin + length + margin


def test_how_the_audio_is_cut_makes_no_difference() -> None:
    keys = keys_in_silence(8000, LOUD)
    audio = (keys + np.random.default_rng(3).integers(-20, 20, len(keys))).astype(np.int16)

    whole = mask(audio, 8000, sizes=[len(audio)])

    assert np.array_equal(mask(audio, 8000, sizes=[1]), whole)
    assert np.array_equal(mask(audio, 8000, sizes=[163]), whole)


@pytest.mark.parametrize("piece", [0.01, 0.02, 0.033])
def test_keys_in_pieces_with_gaps_between_them_are_silenced(piece: float) -> None:
    audio = keys_in_silence(8000, LOUD, seconds=0.1)
    cuts = list(range(0, len(audio), round(piece * 8000)))

    masking = DtmfMask(AudioFormat(8000, 1))
    parts = [masking.feed(audio[a:b].tobytes()) + masking.flush() for a, b in pairwise([*cuts, len(audio)])]

    masked = np.frombuffer(b"".join(parts), "<i2")
    assert len(masked) == len(audio)
    assert heard_by_us(masked, 8000) == heard_by_multimon(masked, 8000) == ""


def test_nothing_is_held_after_a_flush() -> None:
    masking = DtmfMask(AudioFormat(8000, 2))

    assert masking.flush() == b""
    passed = masking.feed(bytes(range(200)) * 4)
    assert masking.held_samples == 200 - len(passed) // 4
    assert passed + masking.flush() == bytes(range(200)) * 4
    assert masking.held_samples == 0


@pytest.mark.parametrize("sample_rate", [8000, 16000])
def test_speech_stays(sample_rate: int) -> None:
    speech = np.frombuffer(sample_speech(AudioFormat(sample_rate, 2)), "<i2").reshape(-1, 2)

    masked = mask(speech, sample_rate)

    assert np.mean(masked != speech) < 0.01


def test_a_rate_without_room_for_digits_needs_no_mask() -> None:
    assert DtmfMask.of_format(AudioFormat(MIN_MASKED_RATE - 1, 1)) is None
    assert DtmfMask.of_format(AudioFormat(MIN_MASKED_RATE, 1)) is not None
