import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from listenctl.errors import ListenctlError
from listenctl.media.files import convert_recording as module
from listenctl.media.files.convert_recording import CODECS, AudioCodec, ConversionStopped, convert_wav
from listenctl.media.files.wav_header import wav_header
from listenctl.protocol.audio import AudioFormat


def speech(rate: int, channels: int, seconds: float = 3.0) -> NDArray[np.int16]:
    """A tone of changing loudness; the second channel is quieter and higher."""
    at = np.arange(round(rate * seconds))[:, np.newaxis] / rate
    pitch, loudness = np.array([300.0, 700.0])[:channels], np.array([9000.0, 3000.0])[:channels]
    samples = np.sin(2 * np.pi * pitch * at) * loudness * (1 + np.sin(2 * np.pi * 3 * at)) / 2
    return np.asarray(samples, "<i2")


def write(path: Path, samples: NDArray[np.int16], rate: int) -> Path:
    data = samples.astype("<i2").tobytes()
    path.write_bytes(wav_header(AudioFormat(rate, samples.shape[1]), len(data)) + data)
    return path


def rms(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.square(samples).mean(axis=0)))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 64000])
def test_lossless_formats_hold_every_sample(tmp_path: Path, rate: int, channels: int) -> None:
    samples = speech(rate, channels)
    wav = write(tmp_path / "call.wav", samples, rate)

    flac = convert_wav(wav, tmp_path / "call.flac", "flac")
    raw = convert_wav(wav, tmp_path / "call.raw", "raw")

    assert flac.warnings == raw.warnings == ()
    assert (tmp_path / "call.raw").read_bytes() == samples.tobytes()
    decoded, decoded_rate = soundfile.read(tmp_path / "call.flac", dtype="int16", always_2d=True)
    assert decoded_rate == rate
    assert np.array_equal(decoded, samples)
    done = subprocess.run(["sox", str(tmp_path / "call.flac"), "-n", "stat"], capture_output=True, check=True)
    assert b"Length (seconds):      3.000000" in done.stderr
    assert wav.exists()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("kind", "rate", "held"),
    [
        ("ogg", 8000, 8000),
        ("ogg", 11025, 12000),
        ("ogg", 32000, 48000),
        ("ogg", 64000, 48000),
        ("mp3", 8000, 8000),
        ("mp3", 11025, 11025),
        ("mp3", 48000, 48000),
        ("mp3", 64000, 48000),
    ],
)
def test_lossy_formats_hold_length_and_level(tmp_path: Path, kind: str, rate: int, held: int, channels: int) -> None:
    samples = speech(rate, channels)
    wav = write(tmp_path / "call.wav", samples, rate)
    target = tmp_path / f"call.{kind}"

    conversion = convert_wav(wav, target, kind)

    decoded, decoded_rate = soundfile.read(target, always_2d=True)
    assert decoded_rate == held
    assert decoded.shape == (3 * held, channels)
    # A broken encoder is far off here: libsndfile's 16-bit stereo MP3 has half its samples as noise.
    assert np.allclose(rms(decoded), rms(samples / 32768), rtol=0.05)
    codec = soundfile.info(target).subtype
    assert codec == {"ogg": "OPUS", "mp3": "MPEG_LAYER_III"}[kind]
    resampled = f"call.{kind}: {codec} can't hold {rate} Hz, resampled to {held} Hz"
    assert conversion.warnings == ((resampled,) if held != rate else ())
    assert conversion.resampled_to == (held if held != rate else None)
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.iterdir()) == sorted([target, wav])


def test_the_result_is_read_without_a_glitch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    at = np.arange(16000 * 60) / 16000
    voice = sum(np.sin(2 * np.pi * 150 * overtone * at) / overtone for overtone in range(1, 30))
    syllables = 5000 * np.asarray(voice) * (np.sin(2 * np.pi * 3 * at) > -0.2)
    samples = np.asarray(np.stack([syllables, np.roll(syllables, 4000)], axis=1), "<i2")

    convert_wav(write(tmp_path / "call.wav", samples, 16000), tmp_path / "call.mp3", "mp3")

    # libmpg123 complains on stderr when it is made to seek between blocks.
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", list(CODECS))
def test_an_empty_recording_stays_a_wav_or_is_an_empty_raw_file(tmp_path: Path, kind: str) -> None:
    wav = write(tmp_path / "call.wav", speech(8000, 2, seconds=0), 8000)

    conversion = convert_wav(wav, tmp_path / f"call.{kind}", kind)

    if kind == "raw":
        assert conversion.path.read_bytes() == b""
    else:
        assert conversion.path == wav
        assert conversion.warnings == (f"call.wav: has no audio, so it stays a WAV and is not converted to {kind}",)
        assert list(tmp_path.iterdir()) == [wav]


@pytest.mark.parametrize("kind", list(CODECS))
@pytest.mark.parametrize("channels", [1, 2])
def test_short_silent_and_loud_recordings_pass(tmp_path: Path, kind: str, channels: int) -> None:
    noise = np.random.default_rng(1).integers(-32768, 32767, (40000, channels)).astype("<i2")
    one_sided = noise.copy()
    one_sided[:, 1:] = -1
    recordings = [noise[:1], noise[:160], np.zeros_like(noise), noise, np.full_like(noise, -1), one_sided]

    for number, samples in enumerate(recordings):
        wav = write(tmp_path / f"{number}.wav", samples, 8000)
        target = tmp_path / f"{number}.{kind}"
        assert convert_wav(wav, target, kind).path == target


def test_a_taken_name_is_not_overwritten(tmp_path: Path) -> None:
    wav = write(tmp_path / "call.wav", speech(8000, 1), 8000)
    target = tmp_path / "call.flac"
    target.write_bytes(b"precious")

    with pytest.raises(
        ListenctlError, match=r"call\.flac: can't be converted from call\.wav: .*File exists.*; the WAV is kept"
    ):
        convert_wav(wav, target, "flac")

    assert target.read_bytes() == b"precious"
    assert sorted(tmp_path.iterdir()) == [target, wav]


def test_a_result_with_other_samples_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wav = write(tmp_path / "call.wav", speech(8000, 1), 8000)
    monkeypatch.setitem(module.CODECS, "flac", AudioCodec("FLAC", "PCM_S8", lossless=True, rates=(8000,)))

    with pytest.raises(ListenctlError, match=r"call\.flac: doesn't read back as it was written; the WAV is kept"):
        convert_wav(wav, tmp_path / "call.flac", "flac")

    assert list(tmp_path.iterdir()) == [wav]


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("flac", "flac decoder lost sync."), ("raw", "holds 79950 samples instead of 80000")],
)
def test_a_result_that_is_cut_is_refused(
    kind: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wav = write(tmp_path / "call.wav", speech(8000, 1, seconds=10), 8000)
    close = soundfile.SoundFile.close

    def close_and_cut(file: soundfile.SoundFile) -> None:
        cuts = not file.closed and file.mode == "w"
        close(file)
        if cuts:
            os.truncate(file.name, Path(file.name).stat().st_size - 100)

    monkeypatch.setattr(soundfile.SoundFile, "close", close_and_cut)

    with pytest.raises(ListenctlError, match=re.escape(f"{fault}; the WAV is kept")):
        convert_wav(wav, tmp_path / f"call.{kind}", kind)

    assert list(tmp_path.iterdir()) == [wav]


@pytest.mark.parametrize(
    ("part", "gain", "fault"),
    [(slice(None), 0.1, "reads back with channel 0 at level 0.0"), (slice(1000), 1, "reads back as 1000 samples")],
)
def test_a_result_of_another_level_or_length_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: slice, gain: float, fault: str
) -> None:
    wav = write(tmp_path / "call.wav", speech(16000, 2), 16000)
    whole = soundfile.SoundFile.write
    monkeypatch.setattr(soundfile.SoundFile, "write", lambda sink, block: whole(sink, block[part] * gain))

    with pytest.raises(ListenctlError, match=re.escape(fault)):
        convert_wav(wav, tmp_path / "call.mp3", "mp3")

    assert list(tmp_path.iterdir()) == [wav]


def test_what_is_no_wav_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_bytes(b"noise")

    with pytest.raises(ListenctlError, match=r"can't be converted from call\.wav"):
        convert_wav(tmp_path / "call.wav", tmp_path / "call.flac", "flac")


@pytest.mark.parametrize("kind", list(CODECS))
def test_a_full_disk_is_an_error_and_leaves_the_wav(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(1).integers(-9000, 9000, (80000, 2)).astype("<i2")
    wav = write(tmp_path / "call.wav", noise, 8000)
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from listenctl.media.files.convert_recording import convert_wav\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "convert_wav(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])"
    )

    command = [sys.executable, "-c", script, str(wav), str(tmp_path / "call.out"), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "ListenctlError: " in done.stderr
    assert "system error, such as a full disk; the WAV is kept" in done.stderr
    assert list(tmp_path.iterdir()) == [wav]


@pytest.mark.parametrize(
    ("kind", "looks"), [*product(("flac", "ogg", "mp3", "raw"), (0, 1, 2)), ("ogg", 4), ("mp3", 4)]
)
def test_a_conversion_that_is_stopped_leaves_only_the_wav(kind: str, looks: int, tmp_path: Path) -> None:
    wav = write(tmp_path / "a.wav", speech(8000, 1, seconds=20), 8000)  # Three blocks.
    answers = iter([False] * looks + [True] * 100)

    with pytest.raises(ConversionStopped, match=r"a\.wav: is complete, but stays a WAV: the server was stopped"):
        convert_wav(wav, tmp_path / f"a.{kind}", kind, is_stopped=lambda: next(answers))

    assert list(tmp_path.iterdir()) == [wav]


@pytest.mark.parametrize("kind", ["ogg", "mp3"])
def test_a_rate_that_would_grow_a_thousandfold_is_refused(kind: str, tmp_path: Path) -> None:
    wav = write(tmp_path / "a.wav", speech(8000, 1), 1)

    with pytest.raises(ListenctlError, match="1 Hz is too low to be resampled to 8000 Hz; the WAV is kept"):
        convert_wav(wav, tmp_path / f"a.{kind}", kind)

    assert list(tmp_path.iterdir()) == [wav]
