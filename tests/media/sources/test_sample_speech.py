from importlib import resources

import numpy as np
import pytest
import soundfile

from listenctl.media.sources.sample_speech import SPEECH_DIGIT_AT, sample_speech
from listenctl.protocol.audio import AudioFormat

SECONDS = 9.98


def speech_levels(audio_format: AudioFormat) -> list[float]:
    samples = np.frombuffer(sample_speech(audio_format), "<i2").reshape(-1, audio_format.channels)
    return [round(float(level), 3) for level in np.sqrt(np.mean((samples / 32768) ** 2, axis=0))]


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 24000, 32000, 48000, 64000])
@pytest.mark.parametrize("channels", [1, 2])
def test_speech_comes_at_any_rate_with_its_length_and_loudness(sample_rate: int, channels: int) -> None:
    audio_format = AudioFormat(sample_rate, channels)

    data = sample_speech(audio_format)

    assert abs(audio_format.samples_in(len(data)) - SECONDS * sample_rate) <= 1
    assert len(data) % audio_format.frame_bytes == 0
    assert speech_levels(audio_format) == pytest.approx([0.043, 0.050][:channels], abs=0.003)


def test_stereo_at_its_own_rate_is_the_file_untouched_and_mono_the_caller_alone() -> None:
    with resources.as_file(resources.files("listenctl.media.sources") / "speech.flac") as path:
        samples, sample_rate = soundfile.read(path, dtype="int16")
        size = path.stat().st_size

    assert (sample_rate, samples.shape) == (16000, (159_680, 2))
    assert sample_speech(AudioFormat(16000, 2)) == samples.astype("<i2").tobytes()
    assert sample_speech(AudioFormat(16000, 1)) == samples[:, 0].astype("<i2").tobytes()
    assert size < 250_000


def test_the_voices_take_turns() -> None:
    samples = np.frombuffer(sample_speech(AudioFormat(8000, 2)), "<i2").reshape(-1, 2)

    both = np.count_nonzero(np.all(np.abs(samples) > 300, axis=1))

    assert both == 0


def test_nobody_speaks_while_the_key_is_pressed() -> None:
    audio_format = AudioFormat(8000, 2)
    start = int(SPEECH_DIGIT_AT * 8000) * audio_format.frame_bytes
    pressed = np.frombuffer(sample_speech(audio_format)[start : start + audio_format.byte_rate // 5], "<i2")

    assert np.abs(pressed).max() < 300
