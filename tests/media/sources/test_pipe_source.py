import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.files.wav_header import stream_header
from listenctl.media.sources.pipe_decoder import PipeDecoder
from listenctl.media.sources.pipe_source import PipeSource, open_pipe
from listenctl.protocol.audio import AudioFormat


class Pipe:
    """Both ends of a pipe; who reads it must have reached its end before it is closed."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        self._open = True

    async def write(self, data: bytes) -> int:
        return await asyncio.to_thread(os.write, self._writer, data)

    def end(self) -> None:
        if self._open:
            os.close(self._writer)
            self._open = False


@pytest.fixture
async def pipe() -> AsyncIterator[Pipe]:
    one = Pipe()
    async with asyncio.timeout(20):
        yield one
    one.end()


async def read_all(source: PipeSource, samples: int = 160) -> bytes:
    """Read what comes until the end; the pipe has ended, or will without us."""
    pieces = []
    async with asyncio.timeout(20):
        while piece := await source.read(samples):
            pieces.append(piece)
            await asyncio.sleep(0)
    await source.close()
    return b"".join(pieces)


async def come(source: PipeSource, size: int) -> None:
    """Wait until so many bytes are waiting to be read."""
    async with asyncio.timeout(20):
        await source._until(size)


async def test_a_slow_writer_is_padded_with_silence_and_nothing_is_lost(pipe: Pipe) -> None:
    await pipe.write(b"\1\0\2\0")
    source = await open_pipe(pipe.reader, 8000)
    await come(source, 4)

    first = await source.read(4)
    nothing = await source.read(2)
    await pipe.write(b"\3\0")
    await come(source, 2)
    second = await source.read(2)
    pipe.end()

    assert first == b"\1\0\2\0\0\0\0\0"
    assert nothing == bytes(4)
    assert second == b"\3\0\0\0"


async def test_a_sample_cut_in_two_is_put_together_and_half_a_one_left_out(pipe: Pipe) -> None:
    await pipe.write(b"\1\0\2\0\3")
    source = await open_pipe(pipe.reader, 8000)
    await come(source, 4)
    await pipe.write(b"\0\4")
    await come(source, 6)
    pipe.end()

    heard = await read_all(source, 1)

    assert heard[:6] == b"\1\0\2\0\3\0"
    assert set(heard[6:]) <= {0}


@pytest.mark.parametrize("data", [b"", b"\1", stream_header(AudioFormat(8000, 1))], ids=["nothing", "byte", "header"])
async def test_a_pipe_without_audio_is_refused(pipe: Pipe, data: bytes) -> None:
    await pipe.write(data)
    pipe.end()

    with pytest.raises(ListenctlError, match="stdin: ended without any audio") as caught:
        await open_pipe(pipe.reader, 8000)
    assert caught.value.exit_status == 1


async def test_a_pipe_that_ends_without_audio_during_the_call_is_refused_then(pipe: Pipe) -> None:
    source = await open_pipe(pipe.reader, 8000, patience=0)
    early = await source.read(160)
    pipe.end()
    await come(source, 2)

    with pytest.raises(ListenctlError, match="stdin: ended without any audio"):
        await source.read(160)
    assert early == bytes(320)


async def test_a_pipe_whose_audio_ends_is_over(pipe: Pipe) -> None:
    await pipe.write(b"\1\0")
    pipe.end()
    source = await open_pipe(pipe.reader, 8000)
    await come(source, 4)

    assert [await source.read(1), await source.read(1)] == [b"\1\0", b""]


async def test_who_writes_faster_than_the_call_waits(pipe: Pipe) -> None:
    audio = np.arange(2_000_000).astype("<i2").tobytes()
    writing = asyncio.create_task(pipe.write(audio))
    source = PipeSource(pipe.reader, PipeDecoder(8000), lossless=True)
    await come(source, 1 << 20)

    early = writing.done()
    heard = b"".join([await source.read(50_000) for _ in range(40)])
    await writing
    pipe.end()

    assert not early
    assert heard == audio


async def test_a_file_on_stdin_is_never_padded(tmp_path: Path) -> None:
    audio = np.arange(300_000).astype("<i2").tobytes()
    (tmp_path / "audio").write_bytes(audio)
    fd = os.open(tmp_path / "audio", os.O_RDONLY)

    source = await open_pipe(fd, 8000, patience=0)
    heard = await read_all(source, 16_000)
    os.close(fd)

    assert heard == audio


async def test_what_cant_be_read_later_ends_the_source(pipe: Pipe) -> None:
    source = await open_pipe(pipe.reader, 8000, patience=0)
    await pipe.write(b"#!AMR and more")
    await come(source, 1)

    with pytest.raises(UsageError, match="stdin is AMR"):
        await source.read(160)


async def test_a_pipe_that_has_broken_off_already_is_heard_before_that_is_said(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(-9000, 9000, 40_000, dtype=np.int16)
    soundfile.write(tmp_path / "cut.flac", noise, 8000)
    os.truncate(tmp_path / "cut.flac", 40_000)
    fd = os.open(tmp_path / "cut.flac", os.O_RDONLY)
    source = PipeSource(fd, PipeDecoder(8000), lossless=True)
    await come(source, sys.maxsize)

    await source.wait_for_audio()
    first = await source.read(160)
    with pytest.raises(ListenctlError, match="can't be decoded to its end"):
        await read_all(source)
    os.close(fd)

    assert len(first) == 320


async def test_a_terminal_is_refused() -> None:
    ours, theirs = pty.openpty()

    with pytest.raises(UsageError, match="stdin is a terminal"):
        await open_pipe(theirs, 8000)
    os.close(ours)
    os.close(theirs)


async def test_a_closed_stdin_is_refused() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    os.close(fd)

    with pytest.raises(UsageError, match="stdin is closed"):
        await open_pipe(fd, 8000)


async def test_closing_lets_the_reader_go(pipe: Pipe) -> None:
    writing = asyncio.create_task(pipe.write(bytes(3 << 20)))
    source = PipeSource(pipe.reader, PipeDecoder(8000))
    await come(source, 1 << 20)

    await source.close()

    # More than can wait comes only with the end.
    await come(source, 1 << 30)
    assert not writing.done()
    os.close(pipe.reader)
    assert await writing < 3 << 20
