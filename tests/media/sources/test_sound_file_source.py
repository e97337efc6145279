import asyncio
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.sources.sound_file_source import SoundFileDecoder, SoundFileSource
from tests.media.sources.test_audio_sources import read_all

SECOND = np.random.default_rng(1).integers(-20000, 20000, 50_000).astype("int16")


def sine(
    frequency: float, sample_rate: int, seconds: float = 1.0
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * sample_rate)) / sample_rate)


def strongest(pcm: bytes, sample_rate: int) -> float:
    wave = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.abs(np.fft.rfft(wave)).argmax() * sample_rate / len(wave))


@pytest.mark.parametrize("extension", ["wav", "flac", "aiff", "w64"])
@pytest.mark.parametrize("samples", [1, 160, 16384, 60_000])
async def test_a_file_at_the_rate_of_the_call_comes_bit_for_bit(tmp_path: Path, extension: str, samples: int) -> None:
    path = tmp_path / f"a.{extension}"
    soundfile.write(path, SECOND[: 100 if samples == 1 else None], 8000)

    heard = await read_all(await SoundFileSource.open(str(path), 8000), samples)

    assert heard == SECOND[: 100 if samples == 1 else None].astype("<i2").tobytes()


@pytest.mark.parametrize(("file_rate", "call_rate"), [(44100, 8000), (8000, 48000), (11025, 16000), (48000, 11025)])
async def test_another_rate_is_converted_with_its_length_and_pitch(
    tmp_path: Path, file_rate: int, call_rate: int
) -> None:
    soundfile.write(tmp_path / "a.wav", sine(1000, file_rate), file_rate)

    heard = await read_all(await SoundFileSource.open(str(tmp_path / "a.wav"), call_rate))

    assert abs(len(heard) // 2 - call_rate) <= 1
    assert strongest(heard, call_rate) == pytest.approx(1000, abs=2)
    assert np.abs(np.frombuffer(heard, "<i2")).max() == pytest.approx(16384, rel=0.03)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.mp3", "MPEG_LAYER_III"), ("a.ogg", "VORBIS"), ("a.opus", "OPUS"), ("a.wav", "FLOAT"), ("b.wav", "ULAW")],
)
async def test_other_codecs_come_at_their_loudness(tmp_path: Path, name: str, subtype: str) -> None:
    container = "OGG" if subtype == "OPUS" else None
    soundfile.write(tmp_path / name, sine(1000, 8000, 2.0), 8000, subtype=subtype, format=container)

    heard = await read_all(await SoundFileSource.open(str(tmp_path / name), 8000))

    middle = np.frombuffer(heard, "<i2")[4000:12000]
    assert len(heard) // 2 == pytest.approx(16000, abs=3000)
    assert np.sqrt(np.mean(middle.astype(float) ** 2)) == pytest.approx(16384 / np.sqrt(2), rel=0.1)
    assert strongest(middle.tobytes(), 8000) == pytest.approx(1000, abs=2)


async def test_floats_beyond_full_scale_are_clipped_and_what_is_no_number_is_silence(tmp_path: Path) -> None:
    values = np.array([2.0, -2.0, np.nan, np.inf, -np.inf, 0.5], "float32")
    soundfile.write(tmp_path / "a.wav", values, 8000, subtype="FLOAT")

    heard = await read_all(await SoundFileSource.open(str(tmp_path / "a.wav"), 8000))

    assert np.frombuffer(heard, "<i2").tolist() == [32767, -32768, 0, 32767, -32768, 16384]


async def test_a_loop_at_another_rate_has_no_seam(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine(1000, 16000, 0.1), 16000)
    source = await SoundFileSource.open(str(tmp_path / "a.wav"), 8000, loop=True)

    heard = np.frombuffer(await source.read(8000), "<i2").astype(float)
    await source.close()

    spectrum = np.abs(np.fft.rfft(heard[2000:6000] * np.hanning(4000)))
    spectrum[495:506] = 0
    assert spectrum.max() < 1e-3 * 16384 * 1000


@pytest.mark.parametrize("loop", [False, True])
async def test_a_file_without_audio_is_refused(tmp_path: Path, loop: bool) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, "int16"), 8000)

    with pytest.raises(ListenctlError, match=r"a\.wav: holds no audio") as caught:
        await SoundFileSource.open(str(tmp_path / "a.wav"), 8000, loop=loop)
    assert caught.value.exit_status == 1


async def test_the_end_stays_the_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SECOND[:10], 8000)
    source = await SoundFileSource.open(str(tmp_path / "a.wav"), 8000)

    lengths = [len(await source.read(8)) for _ in range(4)]
    await source.close()

    assert lengths == [16, 4, 0, 0]


async def test_a_reader_that_gives_up_loses_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SECOND, 8000)
    source = await SoundFileSource.open(str(tmp_path / "a.wav"), 8000)

    reading = asyncio.create_task(source.read(50_000))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)

    assert await read_all(source) == SECOND.astype("<i2").tobytes()


def test_what_is_no_sound_is_refused_with_what_to_do_and_closed(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(1000))
    before = set(Path("/proc/self/fd").iterdir())

    with pytest.raises(UsageError, match=r"a\.raw: is not a readable sound file: .*; if it is raw audio, pipe it in"):
        SoundFileDecoder.open(str(tmp_path / "a.raw"), 8000)

    assert set(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"not a sound\n", "text"), (b"The quick brown fox. " * 500, "text"), (b'{"audio": ""}', "JSON")],
)
def test_a_text_with_the_name_of_a_sound_is_called_a_text(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "fake.wav").write_bytes(content)

    with pytest.raises(UsageError, match=rf"fake\.wav: is {kind}, not audio; give a sound file$"):
        SoundFileDecoder.open(str(tmp_path / "fake.wav"), 8000)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("missing.wav", "No such file"), ("folder", "is not a regular file"), ("pipe", "is not a regular file")],
)
async def test_what_is_no_file_is_refused(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    async with asyncio.timeout(10):
        with pytest.raises(UsageError, match=complaint):
            await SoundFileSource.open(str(tmp_path / name), 8000)


@pytest.mark.parametrize(
    ("rate", "channel", "complaint"),
    [
        (8000, 1, "has no channel 2, only 1"),
        (1, 0, "has a sample rate of 1 Hz"),
        (2_000_000, 0, "has a sample rate of 2000000 Hz"),
    ],
)
async def test_a_missing_channel_and_an_absurd_rate_are_refused(
    tmp_path: Path, rate: int, channel: int, complaint: str
) -> None:
    soundfile.write(tmp_path / "a.wav", SECOND, rate)

    with pytest.raises(UsageError, match=complaint):
        await SoundFileSource.open(str(tmp_path / "a.wav"), 8000, channel=channel)


async def test_a_file_that_breaks_off_says_so(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", SECOND, 8000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    (tmp_path / "a.flac").write_bytes(data)
    source = await SoundFileSource.open(str(tmp_path / "a.flac"), 8000)

    with pytest.raises(ListenctlError, match="can't be decoded to its end"):
        await read_all(source)
    await source.close()


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("loop", [False, True])
async def test_a_wav_that_breaks_off_is_heard_to_its_end_and_then_says_so(
    tmp_path: Path, *, rate: int, loop: bool
) -> None:
    soundfile.write(tmp_path / "a.wav", SECOND, 8000)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[: len(data) // 2])
    source = await SoundFileSource.open(str(tmp_path / "a.wav"), rate, loop=loop)

    heard = await source.read(4 * rate)
    with pytest.raises(ListenctlError, match=r"breaks off; by its header there are 3\.1 s more"):
        await source.read(1)
    await source.close()

    assert len(heard) / (2 * rate) == pytest.approx((len(data) // 2 - 44) / 16000, abs=0.001)


async def test_a_wav_whose_header_counts_itself_as_audio_is_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SECOND, 8000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = (len(SECOND) * 2 + 36).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(data)

    heard = await read_all(await SoundFileSource.open(str(tmp_path / "a.wav"), 8000))

    assert heard == SECOND.astype("<i2").tobytes()
