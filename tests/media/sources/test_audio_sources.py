from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.errors import UsageError
from listenctl.media.sources.audio_sources import AudioSource, has_second_channel, mix_parties, open_source
from listenctl.media.sources.sample_speech import sample_speech
from listenctl.protocol.audio import AudioFormat


async def read_all(source: AudioSource, samples: int = 160) -> bytes:
    pieces = []
    while piece := await source.read(samples):
        pieces.append(piece)
    await source.close()
    return b"".join(pieces)


def numbers(pcm: bytes) -> list[int]:
    return [int(value) for value in np.frombuffer(pcm, "<i2")]


async def test_silence_never_ends() -> None:
    source = await open_source("silence", 8000)

    assert await source.read(160) == bytes(320)
    assert await source.read(3) == bytes(6)
    await source.close()


async def test_a_tone_has_its_frequency_and_level_and_joins_without_a_seam() -> None:
    source = await open_source("tone:440@-20", 8000)

    pieces = b"".join([await source.read(count) for count in (1, 159, 5000, 2840)])
    await source.close()

    whole = await (await open_source("tone:440@-20", 8000)).read(8000)
    wave = np.frombuffer(pieces, "<i2").astype(float)
    assert pieces == whole
    assert np.abs(np.fft.rfft(wave)).argmax() == 440
    assert np.abs(wave).max() == pytest.approx(3277, abs=2)


async def test_a_tone_is_12_db_below_full_scale_and_fades_in() -> None:
    source = await open_source("tone:1000", 8000)

    values = numbers(await source.read(160))

    assert max(values) == pytest.approx(8231, abs=2)
    assert max(map(abs, values[:8])) < 1700


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("tone:4000", "below 4000 Hz"),
        ("tone:0", "above 0"),
        ("tone:nan", "above 0"),
        ("tone:", "use tone:HZ"),
        ("tone", "use tone:HZ"),
        ("tone:a", "use tone:HZ"),
        ("tone:440@1", "between -120 and 0"),
        ("tone:440@nan", "between -120 and 0"),
        ("tone:440@", "use tone:HZ"),
    ],
)
async def test_an_impossible_tone_is_refused(spec: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        await open_source(spec, 8000)


@pytest.mark.parametrize("channel", [0, 1])
async def test_speech_is_a_channel_of_the_sample(channel: int) -> None:
    source = await open_source("speech", 8000, channel=channel)

    both = sample_speech(AudioFormat(8000, 2))

    assert numbers(await read_all(source)) == numbers(both)[channel::2]


async def test_speech_starts_again_without_a_gap() -> None:
    once = await read_all(await open_source("speech", 8000))
    source = await open_source("speech", 8000, loop=True)

    twice = await source.read(len(once))

    assert twice == once + once


@pytest.mark.parametrize("spec", ["silence", "tone:440", "mic", "mic:1"])
async def test_what_has_one_channel_has_no_second(spec: str) -> None:
    assert not has_second_channel(spec)
    with pytest.raises(UsageError, match="has only one channel"):
        await open_source(spec, 8000, channel=1)


def test_speech_has_a_second_channel_and_stdin_none() -> None:
    assert has_second_channel("speech")
    assert not has_second_channel("-")


def test_a_file_has_the_channels_that_its_header_says(tmp_path: Path) -> None:
    for channels in (1, 2):
        soundfile.write(tmp_path / "a.wav", np.zeros((10, channels), "int16"), 8000)
        assert has_second_channel(str(tmp_path / "a.wav")) is (channels == 2)

    with pytest.raises(UsageError, match=r"nowhere\.wav: can't be read: No such file"):
        has_second_channel("nowhere.wav")


@pytest.mark.parametrize(
    ("mix_type", "caller", "callee", "mixed"),
    [
        ("mono", [1], [2, 3], [1]),
        # The shorter one ends in silence.
        ("stereo", [1], [2, 3], [1, 2, 0, 3]),
        ("stereo", [], [], []),
        ("mixed", [1, 32767, -32768, 5], [2, 1, -1], [3, 32767, -32768, 5]),
    ],
)
def test_parties_are_mixed_by_the_mix_type(
    mix_type: str, caller: list[int], callee: list[int], mixed: list[int]
) -> None:
    parties = (np.array(values, "<i2").tobytes() for values in (caller, callee))

    assert numbers(mix_parties(mix_type, *parties)) == mixed
