import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from listenctl.media.files.kept_names import PAGE, keeps_name, replace_file, restore_name
from listenctl.media.files.new_files import create_new

LENGTHS = [10, PAGE, PAGE + 1, 5 * PAGE]


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """An open file of more than one block, as a recording has it."""
    path = tmp_path / "out" / "a.wav"
    path.parent.mkdir()
    fd = create_new(path)
    os.write(fd, b"audio" * 300_000)
    yield fd, path
    os.close(fd)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("before", [0, *LENGTHS])
@pytest.mark.parametrize("after", LENGTHS)
def test_a_file_has_the_new_content_and_nothing_of_the_old(
    before: int, after: int, in_place: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    if before:
        replace_file(path, b"x" * (before - 1) + b"\n")

    replace_file(path, b"y" * (after - 1) + b"\n", page_in_place=in_place)

    # What stays of a longer page are ends of lines.
    assert path.read_bytes().rstrip(b"\n") == b"y" * (after - 1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("before", [b"old\n", b"o" * 9000])
def test_a_full_disk_leaves_the_old_content(before: bytes, in_place: bool, tiny: Path) -> None:
    path = tiny / "a.json"
    replace_file(path, before)
    (tiny / "ballast").write_bytes(bytes(150_000))

    with pytest.raises(OSError, match="No space left"):
        replace_file(path, bytes(100_000), page_in_place=in_place)

    assert path.read_bytes() == before
    assert sorted(one.name for one in tiny.iterdir()) == ["a.json", "ballast"]


def test_a_short_sidecar_is_written_though_the_disk_is_full(tiny: Path) -> None:
    path = tiny / "a.json"
    replace_file(path, b"begun\n")
    with pytest.raises(OSError, match="No space left"):
        (tiny / "ballast").write_bytes(bytes(300_000))

    replace_file(path, b"z" * PAGE, page_in_place=True)

    assert path.read_bytes() == b"z" * PAGE


def test_what_a_crash_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".a.json.part").write_bytes(b"half of a sidec")

    replace_file(tmp_path / "a.json", b"{}\n")

    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"precious")
    (tmp_path / "a.json").symlink_to(tmp_path / "other")

    replace_file(tmp_path / "a.json", b"{}\n", page_in_place=True)

    assert (tmp_path / "other").read_bytes() == b"precious"
    assert (tmp_path / "a.json").read_bytes() == b"{}\n"


def remove_all(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


@pytest.mark.parametrize(
    "lose",
    [Path.unlink, remove_all, lambda path: path.parent.rename(path.parent.parent / "moved")],
    ids=["file deleted", "folder deleted", "folder moved"],
)
def test_a_file_gets_its_name_again(lose: object, recorded: tuple[int, Path]) -> None:
    fd, path = recorded
    assert keeps_name(fd, path)
    assert callable(lose)
    lose(path)
    assert not keeps_name(fd, path)

    assert restore_name(fd, path) == path

    assert path.read_bytes() == b"audio" * 300_000
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["a.wav"]


def test_a_name_that_something_else_has_stays_with_it(recorded: tuple[int, Path]) -> None:
    fd, path = recorded
    path.unlink()
    path.write_bytes(b"precious")

    restored = restore_name(fd, path)

    assert restored.name == "a-2.wav"
    assert restored.read_bytes() == b"audio" * 300_000
    assert path.read_bytes() == b"precious"


def test_a_name_that_can_not_be_restored_leaves_no_part(recorded: tuple[int, Path]) -> None:
    fd, path = recorded
    remove_all(path)
    path.parent.write_bytes(b"a file is in the way")

    with pytest.raises(OSError, match="Not a directory"):
        restore_name(fd, path)

    assert path.parent.read_bytes() == b"a file is in the way"
