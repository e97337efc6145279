from itertools import accumulate
from math import ceil

import numpy as np
import pytest

from listenctl.media.resampling import PromptResampler, StreamResampler
from listenctl.protocol.audio import Resampler

RATES = [(24000, 8000), (8000, 16000), (16000, 8000), (44100, 8000), (8000, 48000), (11025, 16000)]


def sine(frequency: float, sample_rate: int) -> bytes:
    wave = 16384 * np.sin(2 * np.pi * frequency * np.arange(sample_rate) / sample_rate)
    return bytes(np.rint(wave).astype("<i2").tobytes())


def in_pieces(resampler: Resampler, pcm: bytes, size: int) -> list[bytes]:
    pieces = [resampler(pcm[at : at + size]) for at in range(0, len(pcm), size)]
    return [*pieces, resampler(b"", last=True)]


def loudness(pcm: bytes) -> float:
    """Return the RMS level in dB relative to the sine above, without the edges."""
    wave = np.frombuffer(pcm, "<i2").astype(float)
    middle = wave[len(wave) // 4 : 3 * len(wave) // 4]
    return float(20 * np.log10(np.sqrt(np.mean(middle**2)) / (16384 / np.sqrt(2)) + 1e-9))


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_playout_gets_each_piece_at_once_and_in_full(from_rate: int, to_rate: int) -> None:
    pieces = in_pieces(PromptResampler(from_rate, to_rate), sine(1000, from_rate), from_rate // 50 * 2)

    sizes = list(accumulate(len(piece) // 2 for piece in pieces))

    taken = [from_rate // 50 * number for number in range(1, 51)]
    assert sizes[:50] == [ceil(samples * to_rate / from_rate) for samples in taken]


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
@pytest.mark.parametrize("size", [2, 34, 100_000])
def test_playout_sounds_the_same_however_it_is_cut(from_rate: int, to_rate: int, size: int) -> None:
    pcm = sine(1000, from_rate)[:8000]

    whole = b"".join(in_pieces(PromptResampler(from_rate, to_rate), pcm, len(pcm)))
    cut = b"".join(in_pieces(PromptResampler(from_rate, to_rate), pcm, size))

    one, other = (np.frombuffer(heard, "<i2").astype(int) for heard in (whole, cut))
    assert np.abs(one - other).max() <= 2


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
@pytest.mark.parametrize("frequency", [300, 1000, 2000])
def test_speech_passes_as_loud_as_it_was(from_rate: int, to_rate: int, frequency: int) -> None:
    heard = b"".join(in_pieces(PromptResampler(from_rate, to_rate), sine(frequency, from_rate), 640))

    assert loudness(heard) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("from_rate", [16000, 24000, 44100, 48000])
def test_what_the_call_cant_carry_is_taken_away(from_rate: int) -> None:
    heard = b"".join(in_pieces(PromptResampler(from_rate, 8000), sine(6000, from_rate), 640))

    assert loudness(heard) < -50


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_a_whole_clip_has_its_length(from_rate: int, to_rate: int) -> None:
    clip = PromptResampler(from_rate, to_rate)(sine(1000, from_rate), last=True)

    assert abs(len(clip) // 2 - to_rate) <= 1
    assert loudness(clip) == pytest.approx(0, abs=0.1)


def test_nothing_becomes_nothing() -> None:
    assert PromptResampler(24000, 8000)(b"", last=True) == b""
    assert PromptResampler(24000, 8000)(b"") == b""


def test_full_quality_gives_the_whole_length_in_the_end() -> None:
    heard = b"".join(in_pieces(StreamResampler(44100, 8000), sine(1000, 44100), 1764))

    assert abs(len(heard) // 2 - 8000) <= 1
    assert loudness(heard) == pytest.approx(0, abs=0.05)


def test_what_gets_too_loud_is_clipped() -> None:
    square = np.repeat(np.array([32767, -32768] * 50, "<i2"), 20).tobytes()

    heard = np.frombuffer(StreamResampler(8000, 16000)(square, last=True), "<i2")

    assert (heard.min(), heard.max()) == (-32768, 32767)
