"""Create and write recording files: nothing is overwritten, and only the owner can read them."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

FILE_MODE = 0o600
FOLDER_MODE = 0o700

Created = TypeVar("Created")


class NewFile(NamedTuple):
    fd: int
    path: Path


def create_numbered(path: Path) -> NewFile:
    """Create ``path``, or `NAME-2`, `NAME-3`… if the name is taken; folders are created as needed."""
    make_private_folder(path.parent)
    suffix = path.suffix if path.suffix != ".age" else "".join(path.suffixes[-2:])
    stem = str(path).removesuffix(suffix)

    def create(number: int) -> NewFile:
        name = f"{numbered(stem, number)}{suffix}"
        return NewFile(create_new(name), Path(name))

    return _with_free_number(create, lambda number: os.path.lexists(f"{numbered(stem, number)}{suffix}"))


def create_recording_files(
    path: Path, labels: Sequence[str], final_extension: str = ".wav", *, added_extension: str = ""
) -> list[NewFile]:
    """
    Create the audio files of a recording, one for each label (`NAME-left.wav`, `NAME-right.wav`), numbered alike, with
    ``added_extension`` after the extension of ``path``.

    A name also counts as taken if its sidecar exists, if the recording would have this name in its final format, or if
    another recording has it with other labels, so that no two recordings need the same sidecar.
    """
    suffix = path.suffix
    stem = str(path).removesuffix(suffix)
    other = "-left" if labels == ("",) else ""
    endings = [f"{label}{extension}" for label in labels for extension in {suffix, final_extension}]
    # The sidecar is first: nearly every recording has one, so that most names that are taken cost one look.
    endings = [".json", f"{other}{suffix}", *endings]
    if added_extension:
        endings += [ending + added_extension for ending in endings]

    def create(number: int) -> list[NewFile]:
        first = number == 1 and labels == ("",) and not added_extension
        names = (f"{numbered(stem, number)}{label}{suffix}{added_extension}" for label in labels)
        return _create_all([path] if first else [Path(name) for name in names])

    def is_taken(number: int) -> bool:
        base = numbered(stem, number)
        return any(os.path.lexists(base + ending) for ending in endings)

    try:
        return _with_free_number(create, is_taken)
    except FileNotFoundError:
        # Only the first recording in a folder finds none.
        make_private_folder(path.parent)
        return _with_free_number(create, is_taken)


def numbered(stem: str, number: int) -> str:
    """Return the ``number``-th name for a file: NAME, NAME-2, NAME-3…"""
    return stem if number == 1 else f"{stem}-{number}"


def _with_free_number(create: Callable[[int], Created], is_taken: Callable[[int], bool]) -> Created:
    """Call ``create`` with a free number, again if somebody else takes it meanwhile."""
    while True:
        with suppress(FileExistsError):
            return create(find_free_number(is_taken))


def find_free_number(is_taken: Callable[[int], bool]) -> int:
    """
    Return a free number after one that is taken.

    A peer can send the same callSid thousands of times. Trying one number after the other would then delay the
    recordings of all calls; this looks at about twice as many names as the number has bits.
    """
    free = 1
    while is_taken(free):
        free *= 2
    taken = free // 2
    while free - taken > 1:
        middle = (free + taken) // 2
        if is_taken(middle):
            taken = middle
        else:
            free = middle
    return free


def create_new(path: Path | str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)


def remove_new_file(new_file: NewFile) -> None:
    # A file system may report a write error only here; the descriptor is closed all the same.
    try:
        os.close(new_file.fd)
    finally:
        new_file.path.unlink(missing_ok=True)


def remove_new_files(new_files: Sequence[NewFile]) -> None:
    """Remove what was created before something else failed, whose error counts."""
    for new_file in new_files:
        with suppress(OSError):
            remove_new_file(new_file)


def check_writable(folder: Path) -> None:
    """Create a folder if needed, and a file in it that vanishes; raises OSError if that fails."""
    import tempfile

    make_private_folder(folder)
    fd, name = tempfile.mkstemp(prefix=".listenctl-", dir=folder)
    os.close(fd)
    Path(name).unlink()


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


def _create_all(paths: Sequence[Path]) -> list[NewFile]:
    made: list[NewFile] = []
    try:
        # If one fails, those created before are already in the list.
        made.extend(NewFile(create_new(path), path) for path in paths)
    except OSError:
        remove_new_files(made)
        raise
    return made
