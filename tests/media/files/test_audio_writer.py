import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.errors import CheckFailedError, UsageError
from listenctl.media.files.audio_writer import AudioWriter, StereoRecording
from listenctl.protocol.audio import AudioFormat
from tests.helpers.server import mode_of, until

STEREO = AudioFormat(8000, 2)
PCM = bytes(range(200)) * 4


def unexpected(problem: OSError) -> None:
    raise AssertionError(problem)


def test_a_file_is_a_wav_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "kept.wav"
    writer = AudioWriter.to_file(path, STEREO, unexpected)

    writer.write_audio(PCM)
    writer.write_audio(PCM)
    writer.close()

    samples, rate = soundfile.read(path, dtype="int16")
    assert (rate, samples.tobytes()) == (8000, PCM + PCM)
    assert mode_of(path) == 0o600


def test_a_file_that_exists_and_a_missing_folder_are_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "kept.wav"
    path.write_text("mine")

    with pytest.raises(UsageError, match=r"kept.wav: already exists"):
        AudioWriter.to_file(path, STEREO, unexpected)
    with pytest.raises(UsageError, match="can't be written: No such file"):
        AudioWriter.to_file(tmp_path / "missing" / "kept.wav", STEREO, unexpected)
    assert path.read_text() == "mine"


def test_a_reader_who_leaves_is_told_of_and_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    told, problems = threading.Event(), list[OSError]()

    def tell(problem: OSError) -> None:
        problems.append(problem)
        told.set()

    writer = AudioWriter.to_pipe(writing, tell)
    writer.write_audio(PCM)
    assert told.wait(30)
    writer.write_audio(PCM)
    writer.close()

    assert [problem.errno for problem in problems] == [errno.EPIPE]
    os.close(writing)


def test_a_disk_that_is_full_is_an_error_in_the_end() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    told = threading.Event()
    writer = AudioWriter.to_pipe(fd, lambda _: told.set())

    writer.write_audio(PCM)
    assert told.wait(30)

    with pytest.raises(CheckFailedError, match="stdout: the end of the audio is missing: No space left"):
        writer.close()
    os.close(fd)


def test_a_pipe_gets_all_samples_when_it_is_waited_for_and_stays_open() -> None:
    reading, writing = os.pipe()
    writer = AudioWriter.to_pipe(writing, unexpected)

    writer.write_audio(PCM)
    writer.wait_until_written()
    os.set_blocking(reading, False)

    assert os.read(reading, 10_000) == PCM
    assert writer.written_bytes == len(PCM)
    writer.close()
    os.write(writing, b"!")
    assert os.read(reading, 10_000) == b"!"
    os.close(reading)
    os.close(writing)


def test_a_reader_that_has_stopped_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.media.files.audio_writer.CLOSE_LIMIT", 0.05)
    reading, writing = os.pipe()
    left = threading.Event()
    writer = AudioWriter.to_pipe(writing, lambda _: left.set(), max_waiting_bytes=2 << 20)

    assert [writer.write_audio(bytes(1 << 20)) for _ in range(3)] == [True, True, False]
    writer.wait_until_written()
    assert writer.lost_bytes == 1 << 20
    with pytest.raises(CheckFailedError, match="stdout: audio is missing because the disk or the reader was too slow"):
        writer.close()

    os.close(reading)
    assert left.wait(30)
    os.close(writing)


LEFT = np.arange(8000, dtype="<i2").tobytes()
RIGHT = np.arange(-8000, 0, dtype="<i2").tobytes()


def channels_of(path: Path) -> tuple[bytes, bytes]:
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    assert rate == 8000
    return samples[:, 0].tobytes(), samples[:, 1].tobytes()


async def test_channels_that_come_in_different_pieces_are_aligned_and_the_shorter_ends_in_silence(
    tmp_path: Path,
) -> None:
    recording = StereoRecording(tmp_path / "a.wav", 8000)

    recording.add_audio(LEFT[:12000], b"")
    recording.add_audio(b"", RIGHT[:100])
    recording.add_audio(LEFT[12000:], RIGHT[100:15000])
    recording.add_audio(b"", RIGHT[15000:15800])
    await recording.close()

    assert channels_of(tmp_path / "a.wav") == (LEFT, RIGHT[:15800].ljust(16000, b"\0"))


async def test_a_recording_can_be_played_during_the_call_and_a_full_disk_is_an_error_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    recording = StereoRecording(path, 8000)
    assert channels_of(path) == (b"", b"")
    recording.add_audio(LEFT[:8000], RIGHT[:8000])
    await until(lambda: channels_of(path) == (LEFT[:8000], RIGHT[:8000]))
    pwrite, failed = os.pwrite, threading.Event()

    def full(fd: int, data: bytes, offset: int) -> int:
        if offset:
            failed.set()
            raise OSError(28, "No space left on device")
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    recording.add_audio(LEFT[8000:], RIGHT[8000:])
    assert failed.wait(30)
    monkeypatch.setattr(os, "pwrite", pwrite)
    recording.add_audio(LEFT, RIGHT)

    with pytest.raises(CheckFailedError, match="the end of the audio is missing: No space left on device"):
        await recording.close()
    assert channels_of(path) == (LEFT[:8000], RIGHT[:8000])
