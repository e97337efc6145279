"""Files that get their names only when they are complete; a crash before that leaves nothing behind."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from listenctl.media.files.new_files import FILE_MODE, NewFile, create_new

_OPEN_FILES = Path("/proc/self/fd")


@contextmanager
def unnamed_file(folder: Path) -> Iterator[NewFile]:
    """
    Create a file in ``folder`` without a name there; its path is good for opening it while the block runs.

    Where the file system has no such files, it has a hidden name for so long.
    """
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
        path = _OPEN_FILES / str(fd)
    except OSError:
        fd, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
        path = Path(name)
    try:
        yield NewFile(fd, path)
    finally:
        os.close(fd)
        if path.parent != _OPEN_FILES:
            path.unlink(missing_ok=True)


def give_name(part: NewFile, target: Path) -> None:
    """Give the file of ``unnamed_file`` a name; raises FileExistsError if something has it."""
    if part.path.parent == _OPEN_FILES:
        link_open_file(part.fd, target)
        return
    # Not every file system has hard links; an empty file reserves the name.
    os.close(create_new(target))
    try:
        part.path.replace(target)
    except OSError:
        target.unlink()
        raise


def link_open_file(fd: int, path: Path) -> None:
    """Give an open file a name that nothing has; raises FileExistsError, or FileNotFoundError if it was deleted."""
    # Only with a folder descriptor does Python pass on that the link in /proc is to be followed.
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.link(_OPEN_FILES / str(fd), path, src_dir_fd=root, follow_symlinks=True)
    except FileExistsError as exc:
        raise FileExistsError(exc.errno, exc.strerror, str(path)) from None
    finally:
        os.close(root)
