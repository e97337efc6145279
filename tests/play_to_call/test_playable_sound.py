import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.errors import ListenctlError, UsageError
from listenctl.play_to_call.playable_sound import prepare_sound
from listenctl.play_to_call.trim_and_gain import SoundEdits
from tests.play_to_call.test_trim_and_gain import read_all


@contextmanager
def stdin_is(fd: int) -> Iterator[None]:
    """Replace stdin by a file or pipe, as the shell does, and close the descriptor."""
    kept = os.dup(0)
    os.dup2(fd, 0)
    os.close(fd)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def write_file(folder: Path, *channels: list[int], rate: int = 8000) -> str:
    path = folder / "sound.wav"
    soundfile.write(path, np.array(channels, "<i2").T, rate, subtype="PCM_16")
    return str(path)


@pytest.mark.parametrize(("rate", "clip_rate"), [(8000, 8000), (4000, 8000), (11025, 16000), (48000, 16000)])
async def test_a_file_becomes_clips_at_a_rate_that_keeps_what_is_in_it(
    tmp_path: Path, rate: int, clip_rate: int
) -> None:
    sound = await prepare_sound(write_file(tmp_path, [1] * 2 * rate, rate=rate))

    assert (sound.clip_rate, sound.seconds, sound.endless) == (clip_rate, 2.0, False)


async def test_all_channels_of_a_file_are_mixed_or_one_is_chosen(tmp_path: Path) -> None:
    path = write_file(tmp_path, [100] * 400, [300] * 400)

    mixed = await (await prepare_sound(path)).open(8000)
    second = await (await prepare_sound(path, SoundEdits(channel=1))).open(8000)

    assert await read_all(mixed) == [200] * 400
    assert await read_all(second) == [300] * 400


async def test_a_file_of_one_channel_keeps_every_sample(tmp_path: Path) -> None:
    values = [int(value) for value in np.random.default_rng(1).integers(-32768, 32768, 1000)]

    sound = await prepare_sound(write_file(tmp_path, values))

    assert await read_all(await sound.open(8000)) == values


async def test_a_file_can_be_shaped(tmp_path: Path) -> None:
    edits = SoundEdits(start=0.01, duration=0.02, gain_db=-20.0)

    sound = await prepare_sound(write_file(tmp_path, [1000] * 800), edits)

    assert sound.seconds == pytest.approx(0.02)
    assert await read_all(await sound.open(8000)) == [100] * 160


async def test_what_is_piped_in_is_played_without_a_pause_of_our_own() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"\x05\x00" * 1000)
    os.close(writer)
    with stdin_is(reader):
        sound = await prepare_sound("-")
        await sound.check()
        values = await read_all(await sound.open(8000))

    assert values == [5] * 1000
    assert (sound.seconds, sound.endless) == (None, False)


@pytest.mark.parametrize("piped", [False, True], ids=["as a file", "on stdin"])
async def test_a_sound_that_breaks_off_is_a_failure_and_not_wrong_usage(piped: bool, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(-9000, 9000, 40_000, dtype=np.int16)
    path = tmp_path / "cut.flac"
    soundfile.write(path, noise, 8000)
    os.truncate(path, 40_000)
    with stdin_is(os.open(path, os.O_RDONLY)):
        sound = await prepare_sound("-" if piped else str(path))
        await sound.check()
        source = await sound.open(8000)
        with pytest.raises(ListenctlError, match="can't be decoded to its end") as failure:
            await read_all(source)
        await source.close()

    assert not isinstance(failure.value, UsageError)


@pytest.mark.parametrize("spec", ["tone:440", "silence", "mic", "mic:3"])
async def test_some_sounds_have_no_end_but_that_of_a_duration(spec: str) -> None:
    assert (await prepare_sound(spec)).endless
    assert not (await prepare_sound(spec, SoundEdits(duration=1.0))).endless


async def test_a_file_that_loops_has_no_end_and_no_gap(tmp_path: Path) -> None:
    path = write_file(tmp_path, [1, 2, 3])
    endless = await prepare_sound(path, SoundEdits(loop=True))
    cut = await prepare_sound(path, SoundEdits(loop=True, duration=0.001))

    assert (endless.endless, endless.seconds) == (True, None)
    assert await read_all(await cut.open(8000)) == [1, 2, 3, 1, 2, 3, 1, 2]


@pytest.mark.parametrize(
    ("spec", "edits", "sentence"),
    [
        ("nowhere.wav", SoundEdits(), r"nowhere.wav: can't be read"),
        ("-", SoundEdits(fade=1.0), r"-: its length is unknown; give --duration"),
        ("tone:440", SoundEdits(fade=1.0), r"give --duration with --fade"),
        ("tone:440", SoundEdits(loop=True), r"tone:440: can't be repeated"),
        ("-", SoundEdits(loop=True), r"-: can't be repeated"),
        ("tone:440", SoundEdits(channel=1), r"tone:440: has only one channel"),
        ("tone:440", SoundEdits(gain_db=float("nan")), r"--gain must be a number"),
    ],
)
async def test_what_cannot_be_is_refused(spec: str, edits: SoundEdits, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        await prepare_sound(spec, edits)


@pytest.mark.parametrize(
    ("channels", "edits", "sentence"),
    [
        (([1] * 800, [2] * 800), SoundEdits(start=5.0), r"is 0.10 s long, so nothing follows"),
        (([1] * 800, [2] * 800), SoundEdits(channel=2), r"has 2 channels, so there is no --channel 3"),
        (([1] * 800, [2] * 800), SoundEdits(start=0.1), r"nothing follows --start 0.1"),
        (([],), SoundEdits(), r"\.wav: holds no audio$"),
    ],
)
async def test_what_a_file_does_not_have_is_refused(
    tmp_path: Path, channels: tuple[list[int], ...], edits: SoundEdits, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        await prepare_sound(write_file(tmp_path, *channels), edits)


async def test_a_microphone_that_is_not_there_is_wrong_usage() -> None:
    sound = await prepare_sound("mic:no such device")

    with pytest.raises(UsageError):
        await sound.open(8000)
