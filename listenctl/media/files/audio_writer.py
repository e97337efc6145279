"""Audio written in the background: to a WAV that is playable at every moment, or as bare samples to a pipe."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from listenctl.background_writer import BackgroundWriter
from listenctl.errors import CheckFailedError, UsageError
from listenctl.media.files.new_files import NewFile, create_new
from listenctl.media.files.wav_recording import WavFile
from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait for a disk or a reader; audio beyond that is lost, and counted."""
CLOSE_LIMIT = 5.0
"""Seconds to wait for a reader that has stopped."""

_STEREO_BATCH = 0.5


class AudioWriter:
    """Write audio to a file or a pipe."""

    def __init__(
        self,
        target: "WavFile | _Pipe",
        name: str,
        on_error: Callable[[OSError], None],
        max_waiting_bytes: float = MAX_WAITING_BYTES,
    ) -> None:
        self.error: OSError | None = None  # why nothing more can be written; None while it can
        self.lost_bytes = self.written_bytes = 0
        self._target = target
        self._name = name
        self._on_error = on_error  # called once, in the writing thread, when nothing more can be written
        self._writer = BackgroundWriter("audio-writer", max_waiting_bytes)

    @classmethod
    def to_file(
        cls, path: Path, audio_format: AudioFormat, on_error: Callable[[OSError], None] = lambda _: None
    ) -> "AudioWriter":
        try:
            return cls(WavFile(NewFile(create_new(path), path), audio_format), str(path), on_error)
        except FileExistsError as exc:
            raise UsageError(f"{path}: already exists; name a new file, or remove this one") from exc
        except OSError as exc:
            raise UsageError(f"{path}: can't be written: {exc.strerror}; name another file") from exc

    @classmethod
    def to_pipe(
        cls, fd: int, on_error: Callable[[OSError], None], max_waiting_bytes: float = MAX_WAITING_BYTES
    ) -> "AudioWriter":
        return cls(_Pipe(fd), "stdout", on_error, max_waiting_bytes)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait to be written; after an error, those that will not be."""
        return self._writer.waiting_bytes

    def write_audio(self, pcm: bytes) -> bool:
        if self.error or not self._writer.reserve_bytes(len(pcm)):
            self.lost_bytes += len(pcm)
            return False
        self._writer.add_jobs(partial(self._append, pcm))
        return True

    def wait_until_written(self) -> None:
        """Wait until everything queued is written, but not for a reader that has stopped."""
        self._writer.wait_until_done(CLOSE_LIMIT)

    def end(self, limit: float | None = CLOSE_LIMIT) -> bool:
        self._writer.add_jobs(self._close)
        return self._writer.close(limit)

    def close(self) -> None:
        ended = self.end()
        if isinstance(self.error, BrokenPipeError):
            return
        if self.error:
            raise CheckFailedError(f"{self._name}: the end of the audio is missing: {self.error.strerror}; make room")
        if self.lost_bytes or not ended:
            raise CheckFailedError(f"{self._name}: audio is missing because the disk or the reader was too slow")

    def _append(self, pcm: bytes) -> None:
        if self.error is not None:
            return  # Audio after a failed write would be at the wrong time.
        try:
            self._target.append_audio(pcm)
        except OSError as exc:
            self._fail(exc)
        else:
            self.written_bytes += len(pcm)
            self._writer.release_bytes(len(pcm))

    def _close(self) -> None:
        try:
            self._target.finish_file()
            self._target.close()
        except OSError as exc:
            self._fail(exc)

    def _fail(self, exc: OSError) -> None:
        if self.error is None:
            self.error = exc
            self._on_error(exc)


class _Pipe:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def append_audio(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def finish_file(self) -> None:
        """Do nothing: a pipe has no header, and no name."""

    def close(self) -> None:
        """Leave the descriptor open: it isn't ours."""


class StereoRecording:
    """A stereo WAV of a simulated call: left what the caller says, right what the caller hears."""

    def __init__(self, path: Path, sample_rate: int) -> None:
        self._batch = round(_STEREO_BATCH * sample_rate) * SAMPLE_BYTES
        self._left, self._right = bytearray(), bytearray()
        self._writer = AudioWriter.to_file(path, AudioFormat(sample_rate, 2))

    def add_audio(self, left: bytes, right: bytes) -> None:
        self._left += left
        self._right += right
        ready = min(len(self._left), len(self._right))
        if ready >= self._batch:
            self._write(ready)

    async def close(self) -> None:
        """Write what is waiting, with silence after the shorter channel, and close the file."""
        self._write(max(len(self._left), len(self._right)))
        await asyncio.to_thread(self._writer.close)

    def _write(self, length: int) -> None:
        import numpy as np

        channels = [bytes(channel[:length]).ljust(length, b"\0") for channel in (self._left, self._right)]
        del self._left[:length], self._right[:length]
        self._writer.write_audio(np.column_stack([np.frombuffer(channel, "<i2") for channel in channels]).tobytes())
