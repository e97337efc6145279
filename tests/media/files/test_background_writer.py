"""Keeping what is heard."""

import errno
import os
import threading
from pathlib import Path

import pytest
import soundfile

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.files.background_writer import MAX_WAITING, AudioSaver
from listenctl.protocol.audio import AudioFormat
from tests.helpers.server import mode_of

STEREO = AudioFormat(8000, 2)
PCM = bytes(range(200)) * 4


def unexpected(problem: OSError) -> None:
    raise AssertionError(problem)


def test_a_file_is_a_wav_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "kept.wav"
    saver = AudioSaver.to_file(path, STEREO, unexpected)

    saver.write_audio(PCM)
    saver.write_audio(PCM)
    saver.close()

    samples, rate = soundfile.read(path, dtype="int16")
    assert (rate, samples.tobytes()) == (8000, PCM + PCM)
    assert mode_of(path) == 0o600


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "kept.wav"
    path.write_text("mine")

    with pytest.raises(UsageError, match=r"kept.wav: exists already"):
        AudioSaver.to_file(path, STEREO, unexpected)
    assert path.read_text() == "mine"


def test_a_folder_that_isnt_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be written: No such file"):
        AudioSaver.to_file(tmp_path / "missing" / "kept.wav", STEREO, unexpected)


def test_a_pipe_gets_the_samples_and_stays_open() -> None:
    reading, writing = os.pipe()
    saver = AudioSaver.to_pipe(writing, unexpected)

    saver.write_audio(PCM)
    saver.close()
    os.write(writing, b"!")

    assert os.read(reading, 10_000) == PCM + b"!"
    os.close(reading)
    os.close(writing)


def test_a_reader_who_leaves_is_told_of_and_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    told, problems = threading.Event(), list[OSError]()

    def tell(problem: OSError) -> None:
        problems.append(problem)
        told.set()

    saver = AudioSaver.to_pipe(writing, tell)
    saver.write_audio(PCM)
    assert told.wait(5)
    saver.write_audio(PCM)
    saver.close()

    assert [problem.errno for problem in problems] == [errno.EPIPE]
    os.close(writing)


def test_a_disk_that_is_full_is_an_error_in_the_end() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    told = threading.Event()
    saver = AudioSaver.to_pipe(fd, lambda _: told.set())

    saver.write_audio(PCM)
    assert told.wait(5)

    with pytest.raises(ListenctlError, match="stdout: the end of the sound is missing: No space left"):
        saver.close()
    os.close(fd)


def test_catching_up_waits_until_all_is_written_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    saver = AudioSaver.to_pipe(writing, lambda _: None)

    saver.write_audio(PCM)
    saver.wait_until_written()

    os.set_blocking(reading, False)
    assert os.read(reading, 10_000) == PCM

    monkeypatch.setattr("listenctl.media.files.background_writer.PATIENCE", 0.05)
    saver.write_audio(bytes(1 << 20))
    saver.wait_until_written()
    os.close(reading)
    saver._thread.join(5)
    assert saver.error
    os.close(writing)


def test_what_a_slow_reader_leaves_is_bounded_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.media.files.background_writer.PATIENCE", 0.05)
    reading, writing = os.pipe()
    saver = AudioSaver.to_pipe(writing, lambda _: None)

    for _ in range(MAX_WAITING // (1 << 20) + 3):
        saver.write_audio(bytes(1 << 20))

    assert saver.lost_bytes > 0
    with pytest.raises(ListenctlError, match="stdout: sound is missing because it wasn't taken in time"):
        saver.close()
    os.close(reading)
    # The thread ends with its pipe.
    saver._thread.join(5)
    os.close(writing)
