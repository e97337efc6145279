"""
Audio that is piped in.

A thread of its own reads, because a pipe may never deliver nor end; it is a daemon, so that it keeps nobody from
leaving. It stops reading while enough is waiting, and whoever writes waits too: nothing is lost, memory is bounded.
"""

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
# How long a call waits for a writer that starts at the same time, so that it doesn't begin with silence.
_PATIENCE = 1.0


async def open_pipe(
    fd: int, sample_rate: int, *, channel: int = 0, patience: float = _PATIENCE, lossless: bool = False
) -> "PipeSource":
    """
    Read from a descriptor, usually stdin.

    Args:
        lossless: wait for what comes late, instead of going on with silence.
        patience: seconds to wait for the first audio.

    Raises:
        UsageError: It is a terminal, is closed, or what comes can't be read.
        ListenctlError: It ends without any audio.
    """
    try:
        mode = os.fstat(fd).st_mode
    except OSError as exc:
        raise UsageError("-: stdin is closed; pipe audio in") from exc
    if os.isatty(fd):
        raise UsageError("-: stdin is a terminal; pipe raw 16-bit audio or a WAV in")
    source = PipeSource(fd, PipeDecoder(sample_rate, channel=channel), lossless=lossless or stat.S_ISREG(mode))
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await source.wait_for_audio()
    return source


class PipeSource:
    """
    What comes out of a pipe; silence while it is open and nothing comes.

    Args:
        lossless: whether to wait rather than to go on with silence, because the data are there in any case.
    """

    def __init__(self, fd: int, decoder: PipeDecoder, *, lossless: bool = False) -> None:
        self._fd = fd
        self._decoder = decoder
        self._lossless = lossless
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
        """Wait until there is audio, or there will be none; raises as ``read`` does."""
        await self._until(SAMPLE_BYTES)
        self._check()

    async def read(self, samples: int) -> bytes:
        """
        Return the next samples, silence for those that haven't come.

        Raises:
            UsageError: What came can't be read.
            ListenctlError: It has ended, and no audio ever came.
        """
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
        """Stop reading; the pipe itself stays open, because it isn't ours."""
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
            self._put(self._decoder.end_stream())
            if self._silent:
                self._error = ListenctlError("stdin: no audio came; pipe raw 16-bit samples or a WAV in")
        except UsageError as exc:
            self._error = exc
        except OSError as exc:
            self._error = UsageError(f"-: stdin can't be read: {exc.strerror}; pipe audio in")
        self._over = True
        self._wake()

    def _read(self) -> bytes:
        # Someone who shares the pipe may have made it non-blocking.
        select.select([self._fd], [], [])
        return os.read(self._fd, _READ_BYTES)

    def _put(self, pcm: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < _MAX_WAITING)
            self._waiting += pcm
            self._silent = self._silent and not pcm
        self._wake()

    def _wake(self) -> None:
        # The loop may have ended before the pipe.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._arrived.set)
