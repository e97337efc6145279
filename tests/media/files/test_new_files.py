import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.media.files.new_files import (
    NewFile,
    create_numbered,
    create_recording_files,
    find_free_number,
    numbered,
    remove_new_file,
)


@pytest.fixture(autouse=True)
def _open_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


def close(made: list[NewFile]) -> list[str]:
    for one in made:
        os.close(one.fd)
    return [one.path.name for one in made]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_files_and_folders_are_the_owners_alone(tmp_path: Path) -> None:
    fd, path = create_numbered(tmp_path / "a" / "b" / "call.wav")
    os.write(fd, b"RIFF")
    os.close(fd)

    assert path.read_bytes() == b"RIFF"
    assert [mode(path), mode(path.parent), mode(path.parent.parent)] == [0o600, 0o700, 0o700]


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    made = [create_numbered(tmp_path / "call.wav") for _ in range(3)]

    assert close(made) == ["call.wav", "call-2.wav", "call-3.wav"]


@pytest.mark.parametrize("labels", [("",), ("-left", "-right")])
def test_thousands_of_taken_names_cost_a_few_looks(
    labels: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 5001):
        (tmp_path / numbered("call", number)).with_suffix(".json").touch()
    looks = list[str]()

    def exists(path: str) -> bool:
        looks.append(path)
        return os.access(path, os.F_OK)

    monkeypatch.setattr(os.path, "lexists", exists)

    names = close(create_recording_files(tmp_path / "call.wav", labels))

    assert names == [f"call-5001{label}.wav" for label in labels]
    assert len(looks) < 100


@given(st.sets(st.integers(1, 200)))
def test_the_number_found_is_free_and_follows_a_taken_one(taken: set[int]) -> None:
    number = find_free_number(taken.__contains__)

    assert number not in taken
    assert number == 1 or number - 1 in taken


@pytest.mark.parametrize("sibling", ["call.json", "call.flac", "call.wav"])
def test_sidecar_and_finished_format_take_the_name(tmp_path: Path, sibling: str) -> None:
    (tmp_path / sibling).touch()

    made = create_recording_files(tmp_path / "call.wav", ("",), ".flac")

    assert close(made) == ["call-2.wav"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([sibling, "call-2.wav"])


@pytest.mark.parametrize("first", [("",), ("-left", "-right")])
def test_no_two_recordings_want_the_same_sidecar(tmp_path: Path, first: tuple[str, ...]) -> None:
    second = ("-left", "-right") if first == ("",) else ("",)
    close(create_recording_files(tmp_path / "call.wav", first))

    names = close(create_recording_files(tmp_path / "call.wav", second))

    assert all(name.startswith("call-2") for name in names)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "call.wav").symlink_to(tmp_path / "elsewhere")

    assert close([create_numbered(tmp_path / "call.wav")]) == ["call-2.wav"]
    assert not (tmp_path / "elsewhere").exists()


def test_files_of_one_recording_share_their_number(tmp_path: Path) -> None:
    (tmp_path / "call-right.wav").touch()

    made = create_recording_files(tmp_path / "call.wav", ("-left", "-right"))

    assert close(made) == ["call-2-left.wav", "call-2-right.wav"]
    assert not (tmp_path / "call-left.wav").exists()


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotADirectoryError):
        create_numbered(tmp_path / "file" / "sub" / "call.wav")


def test_a_half_made_claim_is_taken_back(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long"):
        create_recording_files(tmp_path / "call.wav", ("-left", "x" * 300))

    assert list(tmp_path.iterdir()) == []


def test_files_that_fail_to_close_leave_neither_descriptors_nor_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close_file = os.close

    def close_with_error(fd: int) -> None:
        close_file(fd)
        raise OSError(errno.EIO, "Input/output error")

    before = set(Path("/proc/self/fd").iterdir())
    monkeypatch.setattr(os, "close", close_with_error)
    # The error of the file that can't be made is what matters.
    with pytest.raises(OSError, match="File name too long"):
        create_recording_files(tmp_path / "call.wav", ("-left", "-right", "x" * 300))
    with pytest.raises(OSError, match="Input/output error"):
        remove_new_file(create_numbered(tmp_path / "call.wav"))
    monkeypatch.undo()

    assert list(tmp_path.iterdir()) == []
    assert set(Path("/proc/self/fd").iterdir()) == before
