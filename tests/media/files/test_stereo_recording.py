import asyncio
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.files.stereo_recording import StereoRecording

LEFT = np.arange(8000, dtype="<i2").tobytes()
RIGHT = np.arange(-8000, 0, dtype="<i2").tobytes()


def sides(path: Path) -> tuple[bytes, bytes]:
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    assert rate == 8000
    return samples[:, 0].tobytes(), samples[:, 1].tobytes()


async def test_both_sides_stand_side_by_side(tmp_path: Path) -> None:
    heard = StereoRecording(tmp_path / "a.wav", 8000)

    for at in range(0, 16000, 320):
        heard.add_audio(LEFT[at : at + 320], RIGHT[at : at + 320])
    await heard.close()

    assert sides(tmp_path / "a.wav") == (LEFT, RIGHT)
    assert stat.S_IMODE((tmp_path / "a.wav").stat().st_mode) == 0o600


async def test_sides_that_come_in_different_pieces_stay_aligned_by_their_samples(tmp_path: Path) -> None:
    heard = StereoRecording(tmp_path / "a.wav", 8000)

    heard.add_audio(LEFT[:12000], b"")
    heard.add_audio(b"", RIGHT[:100])
    heard.add_audio(LEFT[12000:], RIGHT[100:15000])
    heard.add_audio(b"", RIGHT[15000:])
    await heard.close()

    assert sides(tmp_path / "a.wav") == (LEFT, RIGHT)


async def test_the_shorter_side_ends_in_silence(tmp_path: Path) -> None:
    heard = StereoRecording(tmp_path / "a.wav", 8000)

    heard.add_audio(LEFT, RIGHT[:200])
    await heard.close()

    assert sides(tmp_path / "a.wav") == (LEFT, RIGHT[:200].ljust(16000, b"\0"))


async def test_it_can_be_played_while_the_call_lasts(tmp_path: Path) -> None:
    heard = StereoRecording(tmp_path / "a.wav", 8000)

    empty = sides(tmp_path / "a.wav")
    heard.add_audio(LEFT[:8000], RIGHT[:8000])
    async with asyncio.timeout(20):
        await heard.wait_until_written()
    half = sides(tmp_path / "a.wav")
    await heard.close()

    assert empty == (b"", b"")
    assert half == (LEFT[:8000], RIGHT[:8000])


async def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("mine")

    with pytest.raises(UsageError, match=r"a\.wav: exists already; name a new file"):
        StereoRecording(tmp_path / "a.wav", 8000)
    assert (tmp_path / "a.wav").read_text() == "mine"


async def test_a_folder_that_is_missing_is_a_wrong_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.wav: can't be written: No such file or directory"):
        StereoRecording(tmp_path / "folder" / "a.wav", 8000)


async def test_a_full_disk_shows_when_the_call_is_over_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = StereoRecording(tmp_path / "a.wav", 8000)
    heard.add_audio(LEFT[:8000], RIGHT[:8000])
    await heard.wait_until_written()
    pwrite = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if offset:
            raise OSError(28, "No space left on device")
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    heard.add_audio(LEFT[8000:], RIGHT[8000:])
    await heard.wait_until_written()
    monkeypatch.setattr(os, "pwrite", pwrite)
    heard.add_audio(LEFT, RIGHT)

    with pytest.raises(ListenctlError, match="the end of the call is missing: No space left on device"):
        await heard.close()
    assert sides(tmp_path / "a.wav") == (LEFT[:8000], RIGHT[:8000])
