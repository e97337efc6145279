"""Files and sidecars of different ages, and the time that is given to what deletes them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from pyrage import x25519

from listenctl.json_lines import timestamp
from listenctl.media.encryption.age_keys import read_recipients
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.files.wav_recording import Recording
from listenctl.protocol.audio import AudioFormat
from listenctl.server.retention.delete_recordings import (
    Deletion,
    RetentionPolicy,
    RetentionSettings,
    delete_recordings,
)

NOW = 1_800_000_000.0
DAY = 86_400.0
RECIPIENTS = read_recipients([str(x25519.Identity.generate().to_public())])


def store(
    folder: Path, stem: str, days: float, files: Sequence[str] = (".wav",), changes: dict[str, object] | None = None
) -> None:
    """Store a recording whose call ended so many days ago."""
    folder.mkdir(parents=True, exist_ok=True)
    ended = NOW - days * DAY
    names = [f"{stem}{ending}" for ending in files]
    sidecar = {
        "v": 1,
        "started": timestamp(ended - 60),
        "ended": timestamp(ended),
        "audio": {"files": names, "format": "wav", "sample_rate": 8000, "channels": 1, "samples": 0, "seconds": 0},
        **(changes or {}),
    }
    for name in names:
        (folder / name).write_bytes(bytes(1000))
        os.utime(folder / name, (ended, ended))
    (folder / f"{stem}.json").write_text(json.dumps(sidecar))
    os.utime(folder / f"{stem}.json", (ended, ended))


def prune(
    folder: Path, max_age: float | None = None, max_bytes: int | None = None, *, depth: int = 0, dry_run: bool = False
) -> dict[str, str]:
    """Return why each recording is deleted, or kept."""
    found: list[Deletion] = []
    age = None if max_age is None else max_age * DAY
    settings = RetentionSettings(folder, depth, RetentionPolicy(age, max_bytes))
    delete_recordings(settings, NOW, found.append, dry_run=dry_run)
    return {deletion.recording.sidecar: deletion.kept_because or deletion.reason for deletion in found}


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_recordings_are_deleted_with_all_their_files_after_their_time(tmp_path: Path) -> None:
    store(tmp_path, "old", 31)
    store(tmp_path, "split", 40, ["-left.flac", "-right.flac"])
    store(tmp_path, "new", 29)
    (tmp_path / "notes.json").write_text('{"mine": true}')
    (tmp_path / "old.txt").touch()

    assert prune(tmp_path, 30, dry_run=True) == {"old.json": "age", "split.json": "age"}
    assert len(files_of(tmp_path)) == 9
    assert prune(tmp_path, 30) == {"old.json": "age", "split.json": "age"}
    assert files_of(tmp_path) == ["new.json", "new.wav", "notes.json", "old.txt"]
    assert prune(tmp_path, 30) == {}


def test_the_oldest_calls_go_first_until_the_rest_fits(tmp_path: Path) -> None:
    for days, stem in enumerate("abcde", 1):
        store(tmp_path, stem, days)
    one = sum(path.stat().st_size for path in tmp_path.glob("a.*"))
    # Only the sidecar counts: as after a copy, the times of the files say the opposite.
    for days, stem in enumerate("edcba", 1):
        for path in tmp_path.glob(f"{stem}.*"):
            os.utime(path, (NOW - days * DAY, NOW - days * DAY))

    assert prune(tmp_path, max_bytes=5 * one) == {}
    assert prune(tmp_path, max_bytes=4 * one - 1) == {"d.json": "bytes", "e.json": "bytes"}
    assert prune(tmp_path, 2.5, one, dry_run=True) == {"c.json": "age", "b.json": "bytes"}
    assert prune(tmp_path, max_bytes=0) == {"a.json": "bytes", "b.json": "bytes", "c.json": "bytes"}
    assert files_of(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ended": None}, "it is not finished"),
        ({"audio": {"files": ["other.wav"]}}, "names files that are not its own"),
        ({"audio": {"files": ["a.wav", "../outside.wav"]}}, "names files that are not its own"),
        ({"audio": {"files": ["a.txt"]}}, "names files that are not its own"),
        ({"audio": {"files": ["a"]}}, "names files that are not its own"),
    ],
)
def test_what_is_not_certain_is_kept(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    folder = tmp_path / "calls"
    store(folder, "other", 1)
    (tmp_path / "outside.wav").touch()
    store(folder, "a", 99, changes=changes)
    before = files_of(tmp_path)

    assert reason in prune(folder, 30)["a.json"]
    assert prune(folder, None, 0).keys() == {"a.json", "other.json"}
    assert {*before} - {*files_of(tmp_path)} == {"calls/other.wav", "calls/other.json"}


@pytest.mark.parametrize("changes", [{"source": "a.pcap"}, {"audio": None}, {"started": None, "audio": {"files": []}}])
def test_what_is_no_recording_of_a_call_is_not_looked_at(tmp_path: Path, changes: dict[str, object]) -> None:
    store(tmp_path, "a", 99, changes=changes)

    assert prune(tmp_path, 30) == {}
    assert prune(tmp_path, None, 0) == {}
    assert files_of(tmp_path) == ["a.json", "a.wav"]


def test_a_recording_that_was_repaired_or_just_written_is_kept(tmp_path: Path) -> None:
    store(tmp_path, "a", 99)
    (tmp_path / "a.recovered.wav").touch()
    store(tmp_path, "b", 99)
    os.utime(tmp_path / "b.json", (NOW - 500, NOW - 500))

    assert prune(tmp_path, 30) == {
        "a.json": "it was repaired",
        "b.json": "it was written less than 10 minutes ago",
    }
    assert len(files_of(tmp_path)) == 5


def test_no_symbolic_link_is_followed(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "calls"
    store(outside, "a", 99)
    store(outside, "b", 99)
    folder.mkdir()
    (folder / "day").symlink_to(outside)
    (folder / "a.json").symlink_to(outside / "a.json")
    store(folder, "b", 99)
    (folder / "b.wav").unlink()
    (folder / "b.wav").symlink_to(outside / "b.wav")

    assert prune(folder, 30, depth=1) == {}
    assert prune(folder, 30) == {"b.json": "it has files that are not regular files"}
    assert len(files_of(outside)) == 4
    assert len(files_of(folder)) == 4


def test_folders_of_the_template_go_when_they_are_empty(tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    store(folder / "2026" / "01-01", "a", 99)
    store(folder / "2026" / "01-02", "b", 99)
    (folder / "2026" / "01-02" / "notes").touch()
    (folder / "2025" / "empty").mkdir(parents=True)
    store(folder, "above", 99)
    store(folder / "2026" / "01-03" / "below", "c", 99)

    assert prune(folder, 30, depth=2) == {"a.json": "age", "b.json": "age"}
    assert not (folder / "2026" / "01-01").exists()
    assert (folder / "2025" / "empty").exists()
    assert (folder / "2026" / "01-02" / "notes").exists()
    assert (folder / "above.wav").exists()
    assert (folder / "2026" / "01-03" / "below" / "c.wav").exists()


def test_the_last_folder_stays(tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    store(folder / "2026", "a", 99)

    prune(folder, 30, depth=1)

    assert files_of(tmp_path) == ["calls"]


def test_encrypted_recordings_are_deleted_by_their_times(tmp_path: Path) -> None:
    for stem, complete in (("done", True), ("killed", False)):
        recording = Recording(tmp_path / f"{stem}.wav", AudioFormat(8000, 1), recipients=RECIPIENTS)
        recording.write_audio(0, bytes(1000))
        if complete:
            recording.finish_files()
        recording.sidecar_path.write_bytes(RECIPIENTS.encrypt(b"{}"))
        data = recording.paths[0].read_bytes()
        recording.close()
        recording.paths[0].write_bytes(data)
        for path in (recording.paths[0], recording.sidecar_path):
            os.utime(path, (NOW - 40 * DAY, NOW - 40 * DAY))

    assert prune(tmp_path, 50) == {}
    found = prune(tmp_path, 30)

    assert found["done.json.age"] == "age"
    assert "it is not finished" in found["killed.json.age"]
    assert files_of(tmp_path) == ["killed.json.age", "killed.wav.age"]


def test_audio_that_is_gone_leaves_a_sidecar_to_delete(tmp_path: Path) -> None:
    store(tmp_path, "a", 99)
    (tmp_path / "a.wav").unlink()

    assert prune(tmp_path, 30) == {"a.json": "age"}
    assert files_of(tmp_path) == []


def test_nothing_more_is_deleted_once_nobody_takes_the_reports(tmp_path: Path) -> None:
    for stem in "abc":
        store(tmp_path / "day", stem, 99)

    def report(deletion: Deletion) -> None:
        raise BrokenPipeError

    settings = RetentionSettings(tmp_path, 1, RetentionPolicy(30 * DAY))
    with pytest.raises(BrokenPipeError):
        delete_recordings(settings, NOW, report)

    assert len(files_of(tmp_path / "day")) == 4


def test_what_can_not_be_deleted_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path, "a", 99)

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)

    assert prune(tmp_path, 30) == {"a.json": "it can't be deleted: Permission denied"}


def test_of_two_servers_one_reports_a_deletion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given that another server deletes the same recording at the same time."""
    store(tmp_path, "a", 99)
    unlink = os.unlink

    def unlink_twice(path: str, *, dir_fd: int | None = None) -> None:
        unlink(path, dir_fd=dir_fd)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink_twice)

    assert prune(tmp_path, 30) == {}
    assert files_of(tmp_path) == []


@pytest.mark.parametrize(
    ("dest", "folder", "depth"),
    [
        ("calls/", "calls", 0),
        ("calls/{callSid}.wav", "calls", 0),
        ("calls/{date}/{callSid}.flac", "calls", 1),
        ("/a/b-{to}//{date}/x/y-{callSid}.wav", "/a", 3),
        ("{callSid}.wav", ".", 0),
    ],
)
def test_recordings_are_as_deep_as_the_template_says(dest: str, folder: str, depth: int) -> None:
    destination = RecordingDestination.parse(dest)

    assert (str(destination.fixed_folder), destination.folder_depth) == (folder, depth)
