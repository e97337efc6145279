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
_ANY_RATE = 8000
_NO_AUDIO = "stdin: ended without any audio; pipe raw 16-bit samples or a sound file in"


class NoAudioError(ListenctlError):
    """A pipe ended without any audio."""


async def read_opening(fd: int, *, channel: int = 0) -> bytes:
    """
    Wait for the first bytes of a pipe, for ``open_pipe``, until they show in which format its audio is.

    Raises:
        UsageError: it isn't audio, or nothing comes.
    """
    _check_pipe(fd)
    loop = asyncio.get_running_loop()
    opening: asyncio.Future[bytes] = loop.create_future()

    def settle(data: bytes, error: ListenctlError | None) -> None:
        if opening.done():
            return
        opening.set_exception(error) if error else opening.set_result(data)

    def read() -> None:
        data, error = b"", None
        try:
            data = _read_opening(fd, channel)
        except OSError as exc:
            error = _unreadable(exc)
        except ListenctlError as exc:
            error = UsageError(str(exc))
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, data, error)

    threading.Thread(target=read, name="listenctl-pipe-opening", daemon=True).start()
    return await opening


def _read_opening(fd: int, channel: int) -> bytes:
    decoder, opening = PipeDecoder(_ANY_RATE, channel=channel), b""
    try:
        while not decoder.knows_format and (data := _read(fd)):
            decoder.feed(data)
            opening += data
        if not opening:
            raise UsageError(_NO_AUDIO)
        if not decoder.knows_format:
            for _ in decoder.remaining_audio():
                pass
    finally:
        decoder.close()
    return opening


def _read(fd: int) -> bytes:
    # Another process that shares the pipe may have made it non-blocking.
    select.select([fd], [], [])
    return os.read(fd, _READ_BYTES)


def _unreadable(exc: OSError) -> UsageError:
    return UsageError(f"-: stdin can't be read: {exc.strerror}; pipe audio in")


def _check_pipe(fd: int) -> os.stat_result:
    try:
        status = os.fstat(fd)
    except OSError as exc:
        raise UsageError("-: stdin is closed; pipe audio in") from exc
    if os.isatty(fd):
        raise UsageError("-: stdin is a terminal; pipe raw 16-bit audio or a sound file in")
    return status


async def open_pipe(
    fd: int,
    sample_rate: int,
    *,
    channel: int = 0,
    patience: float = _PATIENCE,
    lossless: bool = False,
    opening: bytes = b"",
) -> "PipeSource":
    lossless = lossless or stat.S_ISREG(_check_pipe(fd).st_mode)
    source = PipeSource(fd, PipeDecoder(sample_rate, channel=channel), lossless=lossless, opening=opening)
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await source.wait_for_audio()
    return source


class PipeSource:
    """Audio from a pipe, with silence while nothing arrives."""

    def __init__(self, fd: int, decoder: PipeDecoder, *, lossless: bool = False, opening: bytes = b"") -> None:
        self._fd = fd
        self._decoder = decoder
        self._opening = opening  # what was read of the pipe before
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
        """Wait until there is audio or the pipe has ended; raises what ``read`` would raise then."""
        await self._until(SAMPLE_BYTES)
        if not self._waiting:
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
            if self._opening:
                self._put(self._decoder.feed(self._opening))
            while not self._closed and (data := _read(self._fd)):
                self._put(self._decoder.feed(data))
            for pcm in self._decoder.remaining_audio():
                self._put(pcm)
            if self._silent:
                self._error = NoAudioError(_NO_AUDIO)
        except OSError as exc:
            self._error = _unreadable(exc)
        except ListenctlError as exc:
            self._error = exc
        finally:
            self._decoder.close()
        self._over = True
        self._wake()

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
