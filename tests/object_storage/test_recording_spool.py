from dataclasses import replace
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError, UsageError
from listenctl.object_storage.recording_spool import SpooledRecording, SpoolLock, find_recordings
from tests.helpers.object_storage import make_recording
from tests.helpers.server import mode_of


def test_recordings_are_found_below_a_folder_and_others_are_explained(tmp_path: Path) -> None:
    made = make_recording(tmp_path / "a", "CS-1")
    make_recording(tmp_path / "b", "CS-2").audio_paths[0].unlink()
    (tmp_path / "c.json").write_text("[1]")
    (tmp_path / "d.json.age").write_bytes(b"")

    found = list(find_recordings(tmp_path))

    assert found[0] == made
    assert [str(one) for one in found[1:]] == [
        f"{tmp_path}/b/CS-2.wav: the audio of CS-2.json is missing",
        f"{tmp_path}/c.json: is no sidecar of a recording",
        f"{tmp_path}/d.json.age: is encrypted, so its call is unknown; copy it with another program",
    ]


def test_a_sidecar_names_no_file_elsewhere(tmp_path: Path) -> None:
    made = make_recording(tmp_path / "a")
    text = made.sidecar_path.read_text().replace('"CS-1.wav"', '"../../secret.wav"')
    made.sidecar_path.write_text(text)

    with pytest.raises(ListenctlError, match=r"a/secret\.wav: the audio of CS-1\.json is missing"):
        SpooledRecording.read(made.sidecar_path)


def test_a_recording_that_waits_takes_no_memory_for_the_events_of_its_call(tmp_path: Path) -> None:
    made = make_recording(tmp_path)
    sidecar = replace(made.sidecar, events=[{"event": "dtmf"}], gaps=[{"kind": "hole"}], warnings=[{"rule": "x"}])
    made.sidecar_path.write_bytes(sidecar.serialize())

    read = SpooledRecording.read(made.sidecar_path).sidecar

    assert read == replace(sidecar, events=(), gaps=(), warnings=())


def test_only_one_has_a_spool_alone(tmp_path: Path) -> None:
    first, second = SpoolLock(tmp_path / "spool"), SpoolLock(tmp_path / "spool")

    alone = first.lock_alone()
    first.share()
    assert (alone, second.lock_alone()) == (True, False)

    second.share()
    first.release()
    second.release()
    assert SpoolLock(tmp_path / "spool").lock_alone()


def test_a_spool_and_the_folders_above_it_are_created_for_their_owner_only(tmp_path: Path) -> None:
    SpoolLock(tmp_path / "state" / "spool").release()

    assert [mode_of(tmp_path / name) for name in ("state", "state/spool")] == [0o700, 0o700]


def test_a_file_is_no_spool(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="file: can't be used as a spool"):
        SpoolLock(tmp_path / "file")
