"""
Files that keep their names: content is replaced as a whole, and a file whose name was removed gets one again.

A crash or a full disk never leaves a part of the new content under the name.
"""

import os
from contextlib import suppress
from pathlib import Path

from listenctl.media.files.new_files import FILE_MODE, create_new, create_numbered, write_all
from listenctl.media.files.unnamed_file import link_open_file

PAGE = 4096
_COPY_BYTES = 1024 * 1024


def replace_file(path: Path, data: bytes, *, page_in_place: bool = False) -> None:
    """
    Give a text file new content, all of it, or raise OSError and leave the file as it was.

    Args:
        page_in_place: overwrite a file of at most a page instead of creating one; who reads it meanwhile may see both.
    """
    if page_in_place and len(data) <= PAGE and _overwrite_page(path, data):
        return
    part = _part_of(path)
    try:
        # One that a crash left behind is used again.
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            write_all(fd, data, 0)
        finally:
            os.close(fd)
        os.rename(part, path)  # noqa: PTH104 - pathlib makes a path of the new name, which takes longer than to rename
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise


def _overwrite_page(path: Path, data: bytes) -> bool:
    """
    Overwrite the only page of a file with a page, which the kernel does at once, a full disk allows, and costs little.

    Creating files is the most expensive part of a short recording. Returns False if there is no such file.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        before = os.fstat(fd).st_size
        if not 0 < before <= PAGE:
            return False
        # Cutting off the rest of a longer text would be a second step.
        text = data.ljust(before, b"\n")
        return os.pwrite(fd, text, 0) == len(text)
    except OSError:
        return False
    finally:
        os.close(fd)


def keeps_name(fd: int, path: Path) -> bool:
    """Return whether ``path`` still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except OSError:
        return False


def restore_name(fd: int, path: Path) -> Path:
    """
    Give an open file the name ``path`` again, or a numbered one if something else has it; return the name.

    A file that was moved gets a second name. One that was deleted is copied, because the kernel gives it none any more.
    Raises OSError if the folder can't be written.
    """
    reserved, name = create_numbered(path)
    os.close(reserved)
    part = _part_of(name)
    try:
        part.unlink(missing_ok=True)
        try:
            link_open_file(fd, part)
        except OSError:
            _copy(fd, part)
        part.rename(name)
    except OSError:
        for left in (part, name):
            with suppress(OSError):
                left.unlink()
        raise
    return name


def _copy(fd: int, path: Path) -> None:
    copy = create_new(path)
    try:
        done = 0
        while data := os.pread(fd, _COPY_BYTES, done):
            write_all(copy, data, done)
            done += len(data)
    finally:
        os.close(copy)


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
