"""Create and write recording files: nothing is overwritten, and only the owner can read them."""

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

FILE_MODE = 0o600
FOLDER_MODE = 0o700


class NewFile(NamedTuple):
    fd: int
    path: Path


def create_numbered(path: Path) -> NewFile:
    """Create ``path``, or `NAME-2`, `NAME-3`… if the name is taken; folders are created as needed."""
    make_private_folder(path.parent)
    for number in count(1):
        name = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        with suppress(FileExistsError):
            return NewFile(create_new(name), name)
    raise AssertionError("unreachable: numbers don't end")


def create_recording_files(path: Path, labels: Sequence[str], final_extension: str = ".wav") -> list[NewFile]:
    """
    Create the audio files of a recording, one for each label (`NAME-left.wav`, `NAME-right.wav`), numbered alike.

    A name also counts as taken if its sidecar exists, if the recording would have this name in its final format, or if
    another recording has it with other labels, so that no two recordings need the same sidecar.
    """
    make_private_folder(path.parent)
    stem = str(path.with_suffix(""))
    for number in count(1):
        base = stem if number == 1 else f"{stem}-{number}"
        other = "-left" if labels == ("",) else ""
        if os.path.lexists(f"{base}.json") or os.path.lexists(f"{base}{other}{path.suffix}"):
            continue
        if final_extension != path.suffix and any(
            os.path.lexists(f"{base}{label}{final_extension}") for label in labels
        ):
            continue
        with suppress(FileExistsError):
            return _create_all([f"{base}{label}{path.suffix}" for label in labels])
    raise AssertionError("unreachable: numbers don't end")


def create_new(path: Path | str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)


def remove_new_file(new_file: NewFile) -> None:
    os.close(new_file.fd)
    new_file.path.unlink(missing_ok=True)


def write_all(fd: int, data: bytes, offset: int) -> None:
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        # A disk that gets full first writes less; the next write raises the error.
        written += os.pwrite(fd, data[written:], offset + written)


def make_private_folder(folder: Path) -> None:
    """Create a folder and its parents for the owner only; `mkdir(parents=True)` would open the parents to everyone."""
    if folder.is_dir() or folder == folder.parent:
        return
    make_private_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(FOLDER_MODE)


def _create_all(names: Sequence[str]) -> list[NewFile]:
    made: list[NewFile] = []
    try:
        # If one fails, those created before are already in the list.
        made.extend(NewFile(create_new(name), Path(name)) for name in names)
    except OSError:
        for new_file in made:
            remove_new_file(new_file)
        raise
    return made
