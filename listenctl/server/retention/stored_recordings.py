"""
Find the recordings in a folder. Only what a sidecar of ours names counts, and only regular files in the folder itself:
no symbolic link is followed, and every file is reached through the folder that was opened.
"""

import os
import re
import stat
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from listenctl.media.encryption.age_keys import AGE_MAGIC
from listenctl.media.encryption.encrypted_messages import FIRST_LINE, LAST_LINE
from listenctl.media.files.recording_names import ENCRYPTED_EXTENSION, FORMATS_BY_EXTENSION
from listenctl.media.files.sidecar import MAX_SIDECAR_BYTES, Sidecar

SETTLE_TIME = 600.0
"""Seconds after the last write before a recording is deleted; until then it may wait for its conversion."""

_LABELS = ("", "-left", "-right")
_ENDING = re.compile(rf"(?:{'|'.join(_LABELS)})(?:{'|'.join(map(re.escape, FORMATS_BY_EXTENSION))})")


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """A recording in an open folder; ``kept_because`` says why it must not be deleted, empty if it may be."""

    folder: Path
    folder_fd: int
    sidecar: str
    files: Sequence[str]
    ended: float  # Unix time; of an unfinished recording that of its last write
    size: int  # bytes of all files
    kept_because: str

    @property
    def paths(self) -> list[Path]:
        """The files with audio, or the sidecar if there are none."""
        return [self.folder / name for name in self.files or [self.sidecar]]

    def delete(self) -> bool:
        """
        Delete the files, the sidecar last: without it, nobody would find the others. Return whether it was this call
        that did it, because another server may do the same. Raises OSError if a file can't be deleted.
        """
        for name in self.files:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self.folder_fd)
        try:
            os.unlink(self.sidecar, dir_fd=self.folder_fd)
        except FileNotFoundError:
            return False
        return True


def visit_recordings(folder: Path, depth: int, now: float, visit: Callable[[StoredRecording], bool]) -> None:
    """
    Call ``visit`` with each recording ``depth`` folders below ``folder``; it returns whether it deleted it. A folder
    that is empty then is removed, but never ``folder`` itself. Raises OSError if that can't be read.
    """
    folder_fd = _open_folder(folder)
    try:
        _visit(folder_fd, folder, depth, now, visit)
    finally:
        os.close(folder_fd)


def _visit(folder_fd: int, folder: Path, depth: int, now: float, visit: Callable[[StoredRecording], bool]) -> bool:
    """Return whether something was deleted, so that the folder may be empty."""
    names = frozenset(os.listdir(folder_fd))
    deleted = False
    if not depth:
        for name in names:
            recording = _read_recording(folder_fd, folder, name, names, now)
            deleted |= recording is not None and visit(recording)
        return deleted
    for name in names:
        try:
            inner_fd = _open_folder(name, folder_fd)
        except OSError:  # It is no folder, or not ours to read.
            continue
        try:
            emptied = _visit(inner_fd, folder / name, depth - 1, now, visit)
        finally:
            os.close(inner_fd)
        if emptied:
            deleted = True
            with suppress(OSError):  # The folder is not empty.
                os.rmdir(name, dir_fd=folder_fd)
    return deleted


def _open_folder(folder: Path | str, folder_fd: int | None = None) -> int:
    nofollow = 0 if folder_fd is None else os.O_NOFOLLOW
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | nofollow, dir_fd=folder_fd)


@dataclass(frozen=True, slots=True)
class _Described:
    files: Sequence[str]
    ended: float | None  # None if the recording is not finished


def _read_recording(
    folder_fd: int, folder: Path, name: str, names: Container[str], now: float
) -> StoredRecording | None:
    """Return the recording whose sidecar ``name`` is, None if it is none."""
    stem = name.removesuffix(ENCRYPTED_EXTENSION).removesuffix(".json")
    try:
        own = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        described = _describe(folder_fd, name, stem, names, own)
        if described is None:
            return None
        found = dict(_stat_files(folder_fd, [file for file in described.files if file in names]))
    except OSError:  # Deleted meanwhile, or not readable.
        return None
    written = max(info.st_mtime for info in (own, *found.values()))
    if described.ended is None:
        kept = "it is not finished: its call is live, or its recorder was killed"
    elif not all(stat.S_ISREG(info.st_mode) for info in found.values()):
        kept = "it has files that are not regular files"
    elif not all(_belongs_to(file.removesuffix(ENCRYPTED_EXTENSION), stem) for file in described.files):
        kept = "its sidecar names files that are not its own"
    elif any(f"{stem}{label}.recovered.wav" in names for label in _LABELS):
        kept = "it was repaired"
    elif written > now - SETTLE_TIME:
        kept = f"it was written less than {SETTLE_TIME / 60:.0f} minutes ago"
    else:
        kept = ""
    return StoredRecording(
        folder=folder,
        folder_fd=folder_fd,
        sidecar=name,
        files=list(found),
        ended=written if described.ended is None else described.ended,
        size=own.st_size + sum(info.st_size for info in found.values()),
        kept_because=kept,
    )


def _stat_files(folder_fd: int, files: Sequence[str]) -> Iterator[tuple[str, os.stat_result]]:
    for file in files:
        with suppress(FileNotFoundError):
            yield file, os.stat(file, dir_fd=folder_fd, follow_symlinks=False)


def _belongs_to(file: str, stem: str) -> bool:
    return file.startswith(stem) and _ENDING.fullmatch(file[len(stem) :]) is not None


def _describe(folder_fd: int, name: str, stem: str, names: Container[str], info: os.stat_result) -> _Described | None:
    if not stat.S_ISREG(info.st_mode):
        return None
    if name.endswith(f".json{ENCRYPTED_EXTENSION}"):
        return _describe_encrypted(folder_fd, name, stem, names, info.st_mtime)
    return _describe_plain(folder_fd, name) if name.endswith(".json") else None


def _describe_plain(folder_fd: int, name: str) -> _Described | None:
    sidecar = Sidecar.parse(_read(folder_fd, name, MAX_SIDECAR_BYTES))
    # What `inspect` has extracted from a capture has a source, and is no recording of ours.
    if sidecar is None or sidecar.audio is None or not sidecar.audio.files or sidecar.source is not None:
        return None
    return _Described(sidecar.audio.files, sidecar.ended)


def _describe_encrypted(
    folder_fd: int, name: str, stem: str, names: Container[str], written: float
) -> _Described | None:
    """Describe what only the recipients can read, by what is not encrypted: names, times, first and last lines."""
    files = [file for label in _LABELS if (file := f"{stem}{label}.wav{ENCRYPTED_EXTENSION}") in names]
    if not files or _read(folder_fd, name, len(AGE_MAGIC)) != AGE_MAGIC:
        return None
    if any(_read(folder_fd, file, len(FIRST_LINE)) != FIRST_LINE for file in files):
        return None
    complete = all(_read_end(folder_fd, file, len(LAST_LINE)) == LAST_LINE for file in files)
    return _Described(files, written if complete else None)


def _read(folder_fd: int, name: str, size: int) -> bytes:
    with _file(folder_fd, name) as descriptor:
        return os.read(descriptor, size)


def _read_end(folder_fd: int, name: str, size: int) -> bytes:
    with _file(folder_fd, name) as descriptor:
        return os.pread(descriptor, size, max(0, os.fstat(descriptor).st_size - size))


@contextmanager
def _file(folder_fd: int, name: str) -> Iterator[int]:
    # Non-blocking, because a pipe may have the name.
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
