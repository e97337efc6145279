"""Exclusive creation of recording files: nothing is ever overwritten, and nobody else reads what is recorded."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

FILE_MODE = 0o600
FOLDER_MODE = 0o700


class Claim(NamedTuple):
    """A new empty file: the descriptor it is written through, and its path."""

    fd: int
    path: Path


class RecordingClaim(NamedTuple):
    """The new files of one recording: its audio, and the sidecar that describes it."""

    audio: list[Claim]
    sidecar: Claim


def claim(path: Path) -> Claim:
    """
    Create ``path``, or where that is taken `NAME-2`, `NAME-3`…; folders are made as needed.

    Raises:
        OSError: The file or a folder can't be made.
    """
    make_folder(path.parent)
    for name in _numbered(path):
        with suppress(FileExistsError):
            return Claim(create(name), name)
    raise AssertionError("unreachable: numbers don't end")


def claim_recording(path: Path, labels: Sequence[str], final_extension: str = ".wav") -> RecordingClaim:
    """
    Create the files of a recording, all with the same number or none: one for each label (`NAME-left.wav`,
    `NAME-right.wav`), and `NAME.json`.

    A name is taken also where the recording would stand in its final format. Files are created rather than looked for:
    that is the dearest part of beginning a recording.

    Raises:
        OSError: A file or a folder can't be made; then none is.
    """
    make_folder(path.parent)
    for name in _numbered(path):
        if final_extension != path.suffix and _is_taken(name, labels, final_extension):
            continue
        with suppress(FileExistsError), ExitStack() as undo:
            made = []
            for wanted in (name.with_suffix(".json"), *_labelled(name, labels, path.suffix)):
                made.append(Claim(create(wanted), wanted))
                undo.callback(abandon, made[-1])
            undo.pop_all()
            return RecordingClaim(made[1:], made[0])
    raise AssertionError("unreachable: numbers don't end")


def create(path: Path) -> int:
    """Create a file that wasn't there and return its descriptor, for reading and writing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)


def abandon(claimed: Claim) -> None:
    """Close a claimed file and take it away again."""
    os.close(claimed.fd)
    claimed.path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, for its owner only; `mkdir(parents=True)` would open the upper ones to all."""
    if folder.is_dir() or folder == folder.parent:
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(FOLDER_MODE)


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def _labelled(path: Path, labels: Sequence[str], extension: str) -> list[Path]:
    return [path.with_name(f"{path.stem}{label}{extension}") for label in labels]


def _is_taken(path: Path, labels: Sequence[str], extension: str) -> bool:
    return any(os.path.lexists(name) for name in _labelled(path, labels, extension))
