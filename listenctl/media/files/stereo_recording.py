"""A recording of what both sides of a simulated call heard: left what the caller said, right what it was played."""

import asyncio
from pathlib import Path

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.files.new_files import NewFile, create_new
from listenctl.media.files.wav_recording import WavFile
from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat

_BATCH = 0.5


class StereoRecording:
    """
    A stereo WAV that grows with the call and can be played at every moment; a thread writes it.

    Raises:
        UsageError: The file is there already, or can't be made.
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        self._format = AudioFormat(sample_rate, 2)
        self._batch = round(_BATCH * sample_rate) * SAMPLE_BYTES
        self._left, self._right = bytearray(), bytearray()
        self._writing: asyncio.Task[None] | None = None
        self._error: OSError | None = None
        self.path = path
        try:
            self._file = WavFile(NewFile(create_new(path), path), self._format)
        except FileExistsError as exc:
            raise UsageError(f"{path}: exists already; name a new file, or take that one away") from exc
        except OSError as exc:
            raise UsageError(f"{path}: can't be written: {exc.strerror}; name another file") from exc

    def add_audio(self, left: bytes, right: bytes) -> None:
        """Add what the caller said and what it was played since the last time; one may be longer and waits then."""
        self._left += left
        self._right += right
        ready = min(len(self._left), len(self._right))
        if ready >= self._batch and not self._is_writing():
            self._writing = asyncio.create_task(asyncio.to_thread(self._write, self._take(ready)))

    async def wait_until_written(self) -> None:
        """Wait until what is being written is in the file."""
        if self._writing:
            await self._writing

    async def close(self) -> None:
        """
        Write what is waiting, with silence after the shorter side, and close the file.

        Raises:
            ListenctlError: Something of the call couldn't be written.
        """
        await self.wait_until_written()
        await asyncio.to_thread(self._finish, self._take(max(len(self._left), len(self._right))))
        if self._error:
            what = f"the end of the call is missing: {self._error.strerror}"
            raise ListenctlError(f"{self.path}: {what}; make room and call again") from self._error

    def _is_writing(self) -> bool:
        return self._writing is not None and not self._writing.done()

    def _take(self, length: int) -> bytes:
        import numpy as np

        sides = [bytes(side[:length]).ljust(length, b"\0") for side in (self._left, self._right)]
        del self._left[:length], self._right[:length]
        return np.column_stack([np.frombuffer(side, "<i2") for side in sides]).tobytes()

    def _write(self, pcm: bytes) -> None:
        # After an error nothing more is written: audio behind a hole would be at the wrong time.
        if self._error:
            return
        try:
            self._file.append_audio(pcm)
        except OSError as exc:
            self._error = exc

    def _finish(self, pcm: bytes) -> None:
        self._write(pcm)
        try:
            self._file.close()
        except OSError as exc:
            self._error = self._error or exc
