import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.new_files import create_numbered
from listenctl.media.files.wav_header import HEADER_BYTES, read_header
from listenctl.media.files.wav_recording import Recording, WavFile
from listenctl.protocol.audio import AudioFormat

MONO = AudioFormat(8000, 1)
STEREO = AudioFormat(8000, 2)


def samples(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


def heard(path: Path) -> object:
    """Return what a player finds in a file."""
    return soundfile.read(path, dtype="int16")[0].tolist()


@pytest.fixture
def wav(tmp_path: Path) -> Iterator[WavFile]:
    file = WavFile(create_numbered(tmp_path / "a.wav"), MONO)
    yield file
    file.close()


class FailingDisk:
    """Stands in for ``os.pwrite``: takes ``room`` bytes more, then is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write = os.pwrite
        monkeypatch.setattr(os, "pwrite", self)

    def __call__(self, fd: int, data: bytes, offset: int) -> int:
        if data and not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(fd, data[: self.room], offset)
        self.room -= written
        return written


def test_a_file_is_valid_at_every_moment_and_lacks_less_than_a_second(wav: WavFile) -> None:
    assert wav.path.stat().st_size == HEADER_BYTES
    assert heard(wav.path) == []
    block = samples(*range(160))

    for number in range(1, 200):
        wav.append_audio(block)
        frames = soundfile.info(wav.path).frames
        assert frames % 160 == 0
        assert number * 160 - 8000 < frames <= number * 160

    wav.write_header()
    assert heard(wav.path) == list(range(160)) * 199


def test_a_file_becomes_rf64_in_place_past_4_gib(tmp_path: Path) -> None:
    file = WavFile(create_numbered(tmp_path / "long.wav"), STEREO)
    # The 4 GiB before are a hole in the file.
    file.size = (1 << 32) - 8000

    file.append_audio(bytes(320))
    file.write_header()
    with file.path.open("rb") as before:
        kind_before = read_header(before).kind
    file.append_audio(samples(*range(1, 4001)))
    file.write_header()
    with file.path.open("rb") as after:
        info = read_header(after)
        after.seek(HEADER_BYTES + file.size - 8)
        last = after.read()
    file.close()

    assert kind_before == "RIFF"
    assert info.kind == "RF64"
    assert info.data_bytes == file.size == (1 << 32) - 8000 + 320 + 8000
    assert soundfile.info(file.path).frames == file.size // 4
    assert last == samples(3997, 3998, 3999, 4000)


@pytest.mark.parametrize("length", [1, 2, 3, 1000])
@pytest.mark.parametrize("at", [0, 1, 4])
def test_silence_of_any_length_goes_anywhere(at: int, length: int, wav: WavFile) -> None:
    wav.append_audio(samples(1, 2, 3, 4))

    wav.insert_silence(at * 2, length * 2)

    assert heard(wav.path) == [1, 2, 3, 4][:at] + [0] * length + [1, 2, 3, 4][at:]


def test_what_a_failed_write_left_is_never_heard_and_cut_off_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = WavFile(create_numbered(tmp_path / "a.wav"), MONO)
    file.append_audio(samples(1, 2))
    disk = FailingDisk(monkeypatch, room=100)
    with pytest.raises(OSError, match="No space left"):
        file.append_audio(samples(*[7] * 4000))
    disk.room = 1_000_000

    file.insert_silence(4, 4)
    file.append_audio(samples(3))
    file.write_header()
    assert heard(file.path) == [1, 2, 0, 0, 3]
    file.close()

    assert file.path.stat().st_size == HEADER_BYTES + 10
    assert heard(file.path) == [1, 2, 0, 0, 3]


@pytest.mark.parametrize(
    ("before", "room"), [(range(4000), 100), (range(0), 8000)], ids=["no room for audio", "no room for the header"]
)
def test_a_failed_append_leaves_the_file_as_it_was(
    before: range, room: int, wav: WavFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before:
        wav.append_audio(samples(*before))
    disk = FailingDisk(monkeypatch, room)

    with pytest.raises(OSError, match="No space left"):
        wav.append_audio(samples(*range(4000)))

    assert wav.size == 2 * len(before)
    assert heard(wav.path) == list(before)
    disk.room = 1_000_000
    wav.append_audio(samples(*range(4000)))
    assert heard(wav.path) == [*before, *range(4000)]


def test_late_metadata_changes_the_header_alone(wav: WavFile) -> None:
    wav.append_audio(samples(1, 2, 3, 4))

    wav.change_format(AudioFormat(16000, 2))

    info = soundfile.info(wav.path)
    assert (info.samplerate, info.channels, info.frames) == (16000, 2, 2)


# The files of a call.


@pytest.mark.parametrize(
    ("fill", "audio", "positions"),
    [(False, [1, 2, 6], [0, 1, 2]), (True, [1, 2, 0, 0, 0, 6], [0, 1, 5])],
    ids=["missing", "filled"],
)
def test_what_was_not_written_is_counted_and_missing_or_silence(
    fill: bool, audio: list[int], positions: list[int], tmp_path: Path
) -> None:
    recording = Recording(tmp_path / "a.wav", MONO, fill=fill)

    recording.write_audio(0, samples(1, 2))
    recording.write_audio(5, samples(6))
    recording.close()

    assert heard(recording.paths[0]) == audio
    assert recording.lost_samples == 3
    assert [recording.file_position(position) for position in (0, 1, 5)] == positions


def test_a_recording_counts_each_write_at_once_however_short(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.wav", MONO)

    recording.write_audio(0, samples(1, 2, 3))

    assert heard(tmp_path / "a.wav") == [1, 2, 3]
    recording.close()


def test_silence_goes_before_what_came_at_its_position(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.wav", STEREO, fill=True)

    recording.write_audio(0, samples(1, -1, 2, -2, 3, -3))
    recording.insert_silence(1, 2)
    recording.insert_silence(2, 1)
    recording.write_audio(3, samples(4, -4))
    recording.close()

    assert heard(recording.paths[0]) == [[1, -1], [0, 0], [0, 0], [2, -2], [0, 0], [3, -3], [4, -4]]
    assert [recording.file_position(position) for position in (0, 1, 2, 3)] == [0, 3, 5, 6]


def test_both_files_of_a_split_call_stay_level_when_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording(tmp_path / "a.wav", STEREO, layout=ChannelLayout.SPLIT)
    recording.write_audio(0, samples(1, -1, 2, -2))
    disk = FailingDisk(monkeypatch, room=4)
    with pytest.raises(OSError, match="No space left"):
        recording.write_audio(2, samples(3, -3, 4, -4))
    disk.room = 1_000_000

    recording.write_audio(4, samples(5, -5))
    recording.close()

    assert [heard(path) for path in recording.paths] == [[1, 2, 5], [-1, -2, -5]]
    assert recording.lost_samples == 2


def test_silence_keeps_both_files_of_a_split_call_level(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.wav", STEREO, layout=ChannelLayout.SPLIT, fill=True)

    recording.write_audio(0, samples(1, -1, 2, -2))
    recording.insert_silence(1, 2)
    recording.close()

    assert [heard(path) for path in recording.paths] == [[1, 0, 0, 2], [-1, 0, 0, -2]]


def test_a_recording_that_can_not_begin_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FailingDisk(monkeypatch, room=100)

    with pytest.raises(OSError, match="No space left"):
        Recording(tmp_path / "a.wav", STEREO, layout=ChannelLayout.SPLIT)

    assert list(tmp_path.iterdir()) == []


def test_late_metadata_moves_positions_with_the_format(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.wav", MONO)
    recording.write_audio(0, samples(1, 2))
    recording.write_audio(4, samples(5, 6))

    recording.change_format(STEREO)
    recording.write_audio(3, samples(7, 8))
    recording.close()

    assert recording.lost_samples == 1
    assert [recording.file_position(position) for position in (0, 2, 3)] == [0, 1, 2]
    assert heard(recording.paths[0]) == [[1, 2], [5, 6], [7, 8]]


@pytest.mark.parametrize("layout", [ChannelLayout.LEFT, ChannelLayout.SPLIT])
def test_late_metadata_that_says_mono_ends_the_rearranging(layout: ChannelLayout, tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.wav", STEREO, layout=layout)
    recording.write_audio(0, samples(1, 2, 3, 4))

    recording.change_format(MONO)
    recording.write_audio(4, samples(5, 6))
    recording.close()

    # What was taken apart already stays so; all that follows is whole.
    samples_, _ = soundfile.read(recording.paths[0], dtype="int16")
    assert samples_.tolist()[-2:] == [5, 6]
    assert recording.lost_samples == 0


def test_every_file_is_closed_once_even_if_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording, closed, close = Recording(tmp_path / "a.wav", STEREO, layout=ChannelLayout.SPLIT), list[int](), os.close

    def close_and_fail(fd: int) -> None:
        close(fd)
        closed.append(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "close", close_and_fail)
        with pytest.raises(OSError, match="Input/output error"):
            recording.close()
        recording.close()

    assert len(set(closed)) == len(closed) == 2
