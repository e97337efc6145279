import numpy as np
import pytest

from listenctl.media.sound_checks.speech_pitch import SpeechPitch
from listenctl.media.sources.sample_speech import sample_speech
from listenctl.protocol.audio import AudioFormat
from tests.helpers.capture import CAPTURES
from tests.media.sound_checks.test_sender_sound import capture_frames


def faults(samples: "np.ndarray[tuple[int, ...], np.dtype[np.int16]]", rate: int, piece: int = 1000) -> list[str]:
    pitch = SpeechPitch(rate, "the stream")
    for at in range(0, len(samples), piece):
        pitch.add_samples(samples[at : at + piece])
    return [fault.sentence for fault in pitch.check()]


def speech(rate: int, channel: int = 0) -> "np.ndarray[tuple[int, ...], np.dtype[np.int16]]":
    return np.frombuffer(sample_speech(AudioFormat(rate, 2)), "<i2")[channel::2]


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
@pytest.mark.parametrize(("times", "pitch"), [(2, 42), (3, 29)])
def test_a_voice_that_plays_too_slowly_is_recognised(rate: int, times: int, pitch: int) -> None:
    [sentence] = faults(speech(rate * times), rate)

    assert f"has a pitch of {pitch} Hz, lower than any voice: it plays too slowly" in sentence
    assert f"its own sample rate is higher than {rate} Hz" in sentence


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 24000, 48000])
@pytest.mark.parametrize("channel", [0, 1])
def test_a_voice_at_its_speed_or_too_fast_is_none(rate: int, channel: int) -> None:
    assert faults(speech(rate, channel), rate) == []
    assert faults(speech(rate, channel), 2 * rate) == []


@pytest.mark.parametrize("name", CAPTURES)
def test_real_calls_are_none(name: str) -> None:
    frames, rate = capture_frames(name)

    for channel in range(frames.shape[1]):
        assert faults(np.ascontiguousarray(frames[:, channel]), rate) == []


@pytest.mark.parametrize("notes", [[41.2], [55.0, 49.0, 61.7], [36.7, 73.4]])
def test_bass_notes_and_hum_are_none(notes: list[float]) -> None:
    at = np.arange(4000) / 8000
    played = [sum(np.sin(2 * np.pi * note * k * at) / k for k in range(1, 15)) for note in notes * 12]
    samples = np.rint(np.concatenate(played) * 6000).astype(np.int16)

    assert faults(samples, 8000) == []


def test_silence_and_noise_are_none() -> None:
    assert faults(np.zeros(80_000, np.int16), 8000) == []
    assert faults(np.full(80_000, -1, np.int16), 8000) == []
    assert faults(np.random.default_rng(1).normal(0, 5000, 80_000).astype(np.int16), 8000) == []
