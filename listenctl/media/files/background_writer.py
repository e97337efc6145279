"""What is heard, kept: as a WAV that plays at every moment, or as raw samples on a pipe; a thread writes it."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.files.new_files import NewFile, create_new
from listenctl.media.files.wav_recording import WavFile
from listenctl.protocol.audio import AudioFormat

MAX_WAITING = 64 * 1024 * 1024
"""Bytes that may wait for a disk or a reader; what comes then is lost, and that is said."""
PATIENCE = 5.0


class AudioSaver:
    """
    Keep audio in a file, or on a pipe.

    Attributes:
        error: why nothing more can be written; None while it can.
        lost_bytes: bytes that weren't written.

    Args:
        on_broken: called once, in the writing thread, when nothing more can be written.
    """

    def __init__(self, file: "WavFile | _Pipe", name: str, on_broken: Callable[[OSError], None]) -> None:
        self.error: OSError | None = None
        self.lost_bytes = 0
        self._file = file
        self._name = name
        self._on_broken = on_broken
        # Each is counted by one thread alone.
        self._taken = self._written = 0
        self._queue: SimpleQueue[bytes | threading.Event | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="saver", daemon=True)
        self._thread.start()

    @classmethod
    def to_file(cls, path: Path, audio_format: AudioFormat, on_broken: Callable[[OSError], None]) -> "AudioSaver":
        """
        Save to a new WAV, which only we can read.

        Raises:
            UsageError: the file is there already, or can't be made.
        """
        try:
            return cls(WavFile(NewFile(create_new(path), path), audio_format), str(path), on_broken)
        except FileExistsError as exc:
            raise UsageError(f"{path}: exists already; name a new file, or take that one away") from exc
        except OSError as exc:
            raise UsageError(f"{path}: can't be written: {exc.strerror}; name another file") from exc

    @classmethod
    def to_pipe(cls, fd: int, on_broken: Callable[[OSError], None]) -> "AudioSaver":
        """Write bare samples to a descriptor."""
        return cls(_Pipe(fd), "stdout", on_broken)

    def wait_until_written(self) -> None:
        """Wait until what was given is written, but not for a reader that has stopped."""
        written = threading.Event()
        self._queue.put(written)
        written.wait(PATIENCE)

    def write_audio(self, pcm: bytes) -> None:
        """Write 16-bit samples when their turn comes."""
        if self.error or self._taken - self._written > MAX_WAITING:
            self.lost_bytes += len(pcm)
            return
        self._taken += len(pcm)
        self._queue.put(pcm)

    def close(self) -> None:
        """
        Wait until everything is written, but not for a reader that has stopped.

        Raises:
            ListenctlError: something is missing; a reader who left before wanted no more.
        """
        self._queue.put(None)
        self._thread.join(PATIENCE)
        if isinstance(self.error, BrokenPipeError):
            return
        if self.error:
            raise ListenctlError(f"{self._name}: the end of the sound is missing: {self.error.strerror}")
        if self.lost_bytes or self._thread.is_alive():
            raise ListenctlError(f"{self._name}: sound is missing because it wasn't taken in time")

    def _work(self) -> None:
        try:
            while (given := self._queue.get()) is not None:
                if isinstance(given, threading.Event):
                    given.set()
                    continue
                self._file.append_audio(given)
                self._written += len(given)
        except OSError as exc:
            # Audio behind a hole would be at the wrong time.
            self.error = exc
            self._on_broken(exc)
        with suppress(OSError):
            self._file.close()


class _Pipe:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def append_audio(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def close(self) -> None:
        """Leave it open; it is not ours."""
