"""What is reported of a recording when the disk fails while it is finished."""

import errno
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from listenctl.background_writer import Job
from listenctl.errors import ListenctlError
from listenctl.events import EventFields, RecordingFailedEvent, RecordingSavedEvent
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.convert_recording import Conversion, ConversionStopped
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.server.recording import recording_writer
from listenctl.server.recording.conversion_pool import ConversionPool
from listenctl.server.recording.recording_writer import INTERIM_AFTER, RecordingWriter, RecordSettings
from tests.helpers.server import call_log

METADATA = '{"callSid": "a", "sampleRate": 8000, "mixType": "stereo"}'
AUDIO = struct.pack("<320h", *range(320))


class FakeConversions(ConversionPool):
    """Copies a WAV; fails for names that contain ``failing``, and is stopped before those that contain ``stopped``."""

    def __init__(self, failing: str = "nothing", stopped: str = "nothing") -> None:
        super().__init__()
        self.failing = failing
        self.stopped = stopped

    def convert(self, wav: Path, target: Path, kind: str, tags: Mapping[str, str]) -> Conversion:
        assert kind == "flac"
        assert tags
        if self.failing in wav.name:
            raise ListenctlError(f"{target}: can't be converted")
        if self.stopped in wav.name:
            raise ConversionStopped(wav, kind)
        target.write_bytes(wav.read_bytes())
        return Conversion(target, ())


class OneWriter:
    """The writer of one split call of 160 samples, without threads."""

    def __init__(self, folder: Path, kind: str = "wav", conversions: ConversionPool | None = None) -> None:
        self.events: list[EventFields] = []
        self.later: list[Job] = []
        self.closed: list[RecordingWriter] = []
        settings = RecordSettings(
            RecordingDestination.parse(f"{folder}/{{callSid}}.{kind}"), layout=ChannelLayout.SPLIT
        )
        self.log = call_log(METADATA)
        self.writer = RecordingWriter(
            settings,
            self.log,
            self.events.append,
            self.later.append,
            lambda: 0.0,
            conversions or FakeConversions(),
            self.closed.append,
        )
        self.writer.open_files()
        self.writer.write_pieces([(0, AUDIO)])
        self.log.samples = 160
        self.log.ended_at = self.log.started_at + 1

    def finish(self) -> list[EventFields]:
        while not self.writer.finish_recording():
            pass
        return [event for event in self.events if isinstance(event, RecordingSavedEvent | RecordingFailedEvent)]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fail_once(monkeypatch: pytest.MonkeyPatch, holder: object, name: str, part: str = "") -> None:
    """Have a method fail with EIO after its work, or instead of it if ``part`` of a name says for which path."""
    work, failed = getattr(holder, name), list[object]()

    def fail(target: Path | int, **options: bool) -> None:
        if not failed and part in str(target):
            failed.append(target)
            if isinstance(target, int):
                work(target)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        work(target, **options)

    monkeypatch.setattr(holder, name, fail)


def raise_no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_close_that_fails_is_a_failed_recording_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = OneWriter(tmp_path)
    fail_once(monkeypatch, os, "close")

    # The number of the file may be that of another call's file by now, so nothing is tried again.
    assert one.writer.finish_recording()

    (failed,) = one.events
    assert isinstance(failed, RecordingFailedEvent)
    assert failed.reason == "closing the file failed: Input/output error; the end of the audio may be missing"
    assert names_in(tmp_path) == {"a.json", "a-left.wav", "a-right.wav"}
    assert set(one.closed) == {one.writer}


def test_no_interim_sidecar_is_written_once_finishing_begins(tmp_path: Path) -> None:
    one = OneWriter(tmp_path)
    samples = int(8000 * INTERIM_AFTER)
    one.writer.write_pieces([(160, bytes(4 * samples))])
    (interim,) = one.later
    (tmp_path / "a.json").unlink()

    one.writer.prepare_finish()
    interim()

    assert not (tmp_path / "a.json").exists()


def test_a_failed_conversion_is_told_whatever_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = OneWriter(tmp_path, "flac", FakeConversions("right"))
    fail_once(monkeypatch, Path, "unlink", ".flac")

    (failed,) = one.finish()

    assert isinstance(failed, RecordingFailedEvent)
    assert "can't be converted" in failed.reason
    assert {"a-left.wav", "a-right.wav"} < names_in(tmp_path)


@pytest.mark.parametrize("wav", ["left.wav", "right.wav"])
def test_a_recording_whose_conversion_is_stopped_is_saved_as_wav(wav: str, tmp_path: Path) -> None:
    one = OneWriter(tmp_path, "flac", FakeConversions(stopped=wav))

    (saved,) = one.finish()

    assert isinstance(saved, RecordingSavedEvent)
    assert (saved.format, saved.complete, saved.unrecorded_samples) == ("wav", True, 0)
    assert [Path(path).name for path in saved.paths] == ["a-left.wav", "a-right.wav"]
    (warning,) = saved.warnings
    assert warning.startswith(f"a-{wav}: is complete, but stays a WAV: the server was stopped before it was converted")
    assert names_in(tmp_path) == {"a.json", "a-left.wav", "a-right.wav"}
    audio = json.loads((tmp_path / "a.json").read_text())["audio"]
    assert (audio["format"], audio["files"], audio["warnings"]) == ("wav", ["a-left.wav", "a-right.wav"], [warning])


@pytest.mark.parametrize("wav", ["left.wav", "right.wav"])
def test_a_wav_that_can_not_be_deleted_stays_beside_what_the_sidecar_names(
    wav: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = OneWriter(tmp_path, "flac")
    fail_once(monkeypatch, Path, "unlink", wav)

    (saved,) = one.finish()

    assert isinstance(saved, RecordingSavedEvent)
    assert saved.format == "flac"
    assert [Path(path).name for path in saved.paths] == ["a-left.flac", "a-right.flac"]
    assert saved.warnings == [f"{tmp_path}/a-{wav}: can't be deleted after its conversion: Input/output error"]
    assert names_in(tmp_path) == {"a.json", "a-left.flac", "a-right.flac", f"a-{wav}"}
    assert '"a-left.flac", "a-right.flac"' in " ".join((tmp_path / "a.json").read_text().split())


def test_files_count_as_open_until_they_are_closed_and_no_longer(tmp_path: Path) -> None:
    closed_before: list[int] = []

    class Conversions(FakeConversions):
        def convert(self, wav: Path, target: Path, kind: str, tags: Mapping[str, str]) -> Conversion:
            closed_before.append(len(one.closed))
            return super().convert(wav, target, kind, tags)

    one = OneWriter(tmp_path, "flac", Conversions())
    one.finish()

    assert closed_before[0] == 1
    assert set(one.closed) == {one.writer}


def test_a_wav_that_is_deleted_while_its_sidecar_waits_for_the_disk_is_a_failed_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = OneWriter(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(recording_writer, "replace_file", raise_no_space)
        assert not one.writer.finish_recording()
    (tmp_path / "a-left.wav").unlink()

    (failed,) = one.finish()

    assert isinstance(failed, RecordingFailedEvent)
    assert failed.reason == f"{tmp_path}/a-left.wav: was removed before it was finished"
