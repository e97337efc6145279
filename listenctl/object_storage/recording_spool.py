"""
The spool: the folder to which calls are recorded before they go to object storage.

Its sidecars are the queue. A recording is deleted when the store has confirmed it; what a crash leaves behind is found
again by whoever uses the folder next.
"""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.files.new_files import make_private_folder
from listenctl.media.files.recording_names import ENCRYPTED_EXTENSION
from listenctl.media.files.sidecar import MAX_SIDECAR_BYTES, Sidecar


@dataclass(frozen=True, slots=True)
class SpooledRecording:
    sidecar_path: Path
    sidecar: Sidecar  # without its events, gaps and warnings
    audio_paths: tuple[Path, ...]

    @classmethod
    def read(cls, sidecar_path: Path) -> "SpooledRecording":
        """Read a recording by its sidecar; raises ListenctlError if it isn't whole."""
        try:
            if sidecar_path.stat().st_size > MAX_SIDECAR_BYTES:
                raise ListenctlError(f"{sidecar_path}: is too large for a sidecar")
            sidecar = Sidecar.parse(sidecar_path.read_bytes())
        except OSError as exc:
            raise ListenctlError(f"{sidecar_path}: can't be read: {exc.strerror or exc}") from exc
        if sidecar is None or sidecar.audio is None or not sidecar.audio.files:
            raise ListenctlError(f"{sidecar_path}: is no sidecar of a recording")
        names = [Path(name).name for name in sidecar.audio.files]
        paths = tuple(sidecar_path.with_name(name) for name in names)
        if missing := [path for path in paths if not path.is_file()]:
            raise ListenctlError(f"{missing[0]}: the audio of {sidecar_path.name} is missing")
        # These are megabytes for a long call, and thousands of recordings may wait for hours.
        return cls(sidecar_path, replace(sidecar, events=(), gaps=(), warnings=()), paths)

    @property
    def finished(self) -> bool:
        return self.sidecar.ended is not None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All its files, the sidecar last."""
        return (*self.audio_paths, self.sidecar_path)

    def suffix_of(self, path: Path) -> str:
        """Return what follows the name of the recording in that of one of its files, such as ``-left.wav``."""
        stem = self.sidecar_path.stem
        return path.name.removeprefix(stem) if path.name.startswith(stem) else path.suffix

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.paths)

    def delete(self) -> None:
        """Delete the files, the sidecar last: without it, nobody would find the others."""
        for path in self.paths:
            path.unlink(missing_ok=True)


def find_recordings(folder: Path) -> Iterator[SpooledRecording | ListenctlError]:
    """Return the recordings below a folder, and why others are none, in the order of their names."""
    for path in sorted(folder.rglob("*.json*")):
        if path.name.endswith(f".json{ENCRYPTED_EXTENSION}"):
            yield ListenctlError(f"{path}: is encrypted, so its call is unknown; copy it with another program")
            continue
        if path.suffix != ".json":
            continue
        try:
            yield SpooledRecording.read(path)
        except ListenctlError as exc:
            yield exc


class SpoolLock:
    """Who uses a spool. Servers share it; only who has it alone knows that nothing in it is of a live call."""

    def __init__(self, folder: Path) -> None:
        try:
            make_private_folder(folder)
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise UsageError(f"{folder}: can't be used as a spool: {exc.strerror or exc}") from exc

    def lock_alone(self) -> bool:
        """Return whether nobody else uses the folder, and keep others out if so."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def share(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def release(self) -> None:
        os.close(self._descriptor)
