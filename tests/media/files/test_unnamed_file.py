import os
from pathlib import Path

import pytest

from listenctl.media.files.unnamed_file import give_name, unnamed_file


@pytest.fixture(params=[True, False], ids=["unnamed", "hidden"], autouse=True)
def _file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system with and without files that have no name."""
    if not request.param:
        monkeypatch.setattr(os, "O_TMPFILE", os.O_WRONLY | os.O_DIRECTORY)


def test_a_complete_file_gets_its_name(tmp_path: Path) -> None:
    with unnamed_file(tmp_path) as part:
        part.path.write_bytes(b"fLaC")
        during = [path.name for path in tmp_path.iterdir()]
        give_name(part, tmp_path / "a.flac")

    assert during == [] or (during[0].startswith("."), during[0].endswith(".part")) == (True, True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"]
    assert (tmp_path / "a.flac").read_bytes() == b"fLaC"
    assert (tmp_path / "a.flac").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_not_completed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stopped"), unnamed_file(tmp_path):
        raise ValueError("stopped")

    assert list(tmp_path.iterdir()) == []


def test_a_name_that_something_has_stays_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"precious")

    with unnamed_file(tmp_path) as part, pytest.raises(FileExistsError, match=r"File exists: '.*/a\.flac'"):
        give_name(part, tmp_path / "a.flac")

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"precious"]
