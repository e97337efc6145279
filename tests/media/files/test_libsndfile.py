from io import BytesIO

import numpy as np
import pytest
import soundfile

from listenctl.media.files.libsndfile import read_clip_wav
from listenctl.protocol.jambonz_model.clip_decoder import DecodedSound

RAMP = np.arange(-30000, 30000, 37, dtype="int16")


def wav(samples: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]", rate: int = 8000, **layout: str) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format=layout.get("format", "WAV"), subtype=layout.get("subtype"))
    return file.getvalue()


def test_16_bits_come_as_they_are() -> None:
    assert read_clip_wav(wav(RAMP, 22050)) == DecodedSound(22050, RAMP.astype("<i2").tobytes())


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
def test_channels_of_any_width_are_added_up(format: str, subtype: str) -> None:
    stereo = RAMP[: len(RAMP) // 2 * 2].reshape(-1, 2)
    kept = stereo >> 8 << 8 if subtype == "PCM_U8" else stereo

    sound = read_clip_wav(wav(stereo, format=format, subtype=subtype))

    total = kept.astype(int).sum(axis=1).clip(-32768, 32767)
    assert sound == DecodedSound(8000, total.astype("<i2").tobytes())


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"])
def test_other_samples_are_read_at_their_loudness(subtype: str) -> None:
    sine = 0.5 * np.sin(np.arange(8000) / 8)

    sound = read_clip_wav(wav(sine, subtype=subtype))

    assert sound is not None
    assert np.abs(np.frombuffer(sound.samples, "<i2")).max() == pytest.approx(16384, rel=0.05)


def test_a_sum_that_is_too_loud_is_clipped() -> None:
    sound = read_clip_wav(wav(np.array([[0.9, 0.9], [-0.9, -0.9]], "float32"), subtype="FLOAT"))

    assert sound == DecodedSound(8000, b"\xff\x7f\x00\x80")


@pytest.mark.parametrize(
    "data",
    [b"", b"RIFF", b"no sound at all", wav(RAMP)[:20], wav(RAMP, format="FLAC"), wav(RAMP, 1)],
    ids=["nothing", "RIFF", "text", "a part of the header", "FLAC", "a rate of 1 Hz that would last for hours"],
)
def test_what_is_no_wav_to_play_is_none(data: bytes) -> None:
    assert read_clip_wav(data) is None


def test_a_header_that_promises_more_than_there_is_gives_what_there_is() -> None:
    data = bytearray(wav(RAMP))
    data[40:44] = (0x7FFFFFF0).to_bytes(4, "little")

    assert read_clip_wav(bytes(data)) == DecodedSound(8000, RAMP.astype("<i2").tobytes())
