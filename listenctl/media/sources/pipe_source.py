"""Read a bounded amount of audio ahead from a pipe, in a daemon thread that doesn't keep the process from exiting."""

import asyncio
import os
import select
import stat
import threading
from contextlib import suppress

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.sources.pipe_decoder import PipeDecoder
from listenctl.protocol.audio import SAMPLE_BYTES

_MAX_WAITING = 1 << 20
_READ_BYTES = 1 << 16
# Seconds to wait for a writer that is started at the same time, so that the call doesn't begin with silence.
_PATIENCE = 1.0


async def open_pipe(
    fd: int, sample_rate: int, *, channel: int = 0, patience: float = _PATIENCE, lossless: bool = False
) -> "PipeSource":
    try:
        mode = os.fstat(fd).st_mode
    except OSError as exc:
        raise UsageError("-: stdin is closed; pipe audio in") from exc
    if os.isatty(fd):
        raise UsageError("-: stdin is a terminal; pipe raw 16-bit audio or a sound file in")
    source = PipeSource(fd, PipeDecoder(sample_rate, channel=channel), lossless=lossless or stat.S_ISREG(mode))
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await source.wait_for_audio()
    return source


class PipeSource:
    """Audio from a pipe, with silence while nothing arrives."""

    def __init__(self, fd: int, decoder: PipeDecoder, *, lossless: bool = False) -> None:
        self._fd = fd
        self._decoder = decoder
        self._lossless = lossless  # wait for late audio instead of returning silence
        self._changed = threading.Condition()
        self._waiting = bytearray()
        self._error: ListenctlError | None = None
        self._silent = True
        self._over = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        threading.Thread(target=self._run, name="listenctl-pipe", daemon=True).start()

    async def wait_for_audio(self) -> None:
        """Wait until there is audio or the pipe has ended; raises what ``read`` raises."""
        await self._until(SAMPLE_BYTES)
        self._check()

    async def read(self, samples: int) -> bytes:
        wanted = samples * SAMPLE_BYTES
        if self._lossless:
            await self._until(wanted)
        with self._changed:
            found = bytes(self._waiting[:wanted])
            del self._waiting[:wanted]
            over = self._over
            self._changed.notify_all()
        if not found:
            self._check()
        return found if over else found.ljust(wanted, b"\0")

    async def close(self) -> None:
        """Stop reading; the descriptor stays open, because it isn't ours."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _check(self) -> None:
        if self._error:
            raise self._error

    async def _until(self, wanted: int) -> None:
        while True:
            self._arrived.clear()
            with self._changed:
                if self._over or len(self._waiting) >= wanted:
                    return
            await self._arrived.wait()

    def _run(self) -> None:
        try:
            while not self._closed and (data := self._read()):
                self._put(self._decoder.feed(data))
            for pcm in self._decoder.remaining_audio():
                self._put(pcm)
            if self._silent:
                self._error = ListenctlError(
                    "stdin: ended without any audio; pipe raw 16-bit samples or a sound file in"
                )
        except OSError as exc:
            self._error = UsageError(f"-: stdin can't be read: {exc.strerror}; pipe audio in")
        except ListenctlError as exc:
            self._error = exc
        finally:
            self._decoder.close()
        self._over = True
        self._wake()

    def _read(self) -> bytes:
        # Another process that shares the pipe may have made it non-blocking.
        select.select([self._fd], [], [])
        return os.read(self._fd, _READ_BYTES)

    def _put(self, pcm: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < _MAX_WAITING)
            self._waiting += pcm
            self._silent = self._silent and not pcm
        self._wake()

    def _wake(self) -> None:
        # The loop may be closed before the pipe ends.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._arrived.set)
