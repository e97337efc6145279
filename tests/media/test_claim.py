import os
from pathlib import Path

import pytest

from listenctl.media.claim import RecordingClaim, claim, claim_recording


@pytest.fixture(autouse=True)
def _open_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


def claimed(path: Path) -> str:
    made = claim(path)
    os.close(made.fd)
    return made.path.name


def close(made: RecordingClaim) -> None:
    for claimed in (*made.audio, made.sidecar):
        os.close(claimed.fd)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_files_and_folders_are_the_owners_alone(tmp_path: Path) -> None:
    fd, path = claim(tmp_path / "a" / "b" / "call.wav")
    os.write(fd, b"RIFF")
    os.close(fd)

    assert path.read_bytes() == b"RIFF"
    assert [mode(path), mode(path.parent), mode(path.parent.parent)] == [0o600, 0o700, 0o700]


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"

    assert [claimed(path) for _ in range(3)] == ["call.wav", "call-2.wav", "call-3.wav"]


@pytest.mark.parametrize("sibling", ["call.json", "call.flac", "call.wav"])
def test_sidecar_and_finished_format_take_the_name(tmp_path: Path, sibling: str) -> None:
    (tmp_path / sibling).touch()

    made = claim_recording(tmp_path / "call.wav", ("",), ".flac")

    close(made)
    assert [made.audio[0].path.name, made.sidecar.path.name] == ["call-2.wav", "call-2.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([sibling, "call-2.wav", "call-2.json"])


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "call.wav").symlink_to(tmp_path / "elsewhere")

    assert claimed(tmp_path / "call.wav") == "call-2.wav"
    assert not (tmp_path / "elsewhere").exists()


def test_files_of_one_recording_share_their_number(tmp_path: Path) -> None:
    (tmp_path / "call-right.wav").touch()

    made = claim_recording(tmp_path / "call.wav", ("-left", "-right"))

    close(made)
    assert [claimed.path.name for claimed in made.audio] == ["call-2-left.wav", "call-2-right.wav"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "call-2-left.wav",
        "call-2-right.wav",
        "call-2.json",
        "call-right.wav",
    ]


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotADirectoryError):
        claim(tmp_path / "file" / "sub" / "call.wav")


def test_a_half_made_claim_is_taken_back(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long"):
        claim_recording(tmp_path / "call.wav", ("-left", "x" * 300))

    assert list(tmp_path.iterdir()) == []
