"""
Sound files as audio sources: whatever libsndfile reads, in blocks that a thread decodes ahead.

The header of a WAV is parsed here, as it is on a pipe: libsndfile finds no audio if a size is 0 or a pad byte missing.
"""

import asyncio
import os
import stat
from dataclasses import dataclass
from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase
from typing import TYPE_CHECKING, Any, Self

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.files.libsndfile import disable_seeking, error_reason, finite, holds_integers
from listenctl.media.files.wav_header import A_LAW, FLOAT, MU_LAW, PCM, WavInfo, only_chunks_follow, read_header
from listenctl.media.resampling import StreamResampler, to_pcm
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.sound_containers import OPENING_BYTES, WAV_NAMES, id3_bytes, sound_container, text_kind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK_SAMPLES = 16384
# A header can say anything: a few bytes at 1 Hz would be hours, and a filter from 1 GHz would take all memory.
_RATES = range(1000, 1_000_001)
# libsndfile's names of what a WAV holds, by format tag and bits.
_SUBTYPES = {
    (PCM, 8): "PCM_U8",
    (PCM, 16): "PCM_16",
    (PCM, 24): "PCM_24",
    (PCM, 32): "PCM_32",
    (FLOAT, 32): "FLOAT",
    (FLOAT, 64): "DOUBLE",
    (A_LAW, 8): "ALAW",
    (MU_LAW, 8): "ULAW",
}
_MAX_CHANNELS = 64
_HEADER_COUNTED = 44
"""Bytes: some writers count the header as audio."""
READABLE = frozenset(
    {
        *WAV_NAMES,
        "W64",
        "AIFF",
        "AIFC",
        "AU",
        "CAF",
        "FLAC",
        "Ogg",
        "MP3",
        "MP2",
        "VOC",
        "NIST SPHERE",
        "AVR",
        "PAF",
        "8SVX",
    }
)
"""Containers that libsndfile reads, by the names that ``sound_container`` gives."""


class SoundFileDecoder:
    """Decode one channel of a file, or a mix of all (``channel`` None), block by block. Every method may block."""

    def __init__(self, fd: int, path: str, sample_rate: int, *, loop: bool = False, channel: int | None = 0) -> None:
        self._path = path
        self._loop = loop
        self._channel = channel
        self._fd = fd  # closed with the decoder, or if this fails
        try:
            self._lacks = _lacking_seconds(fd)  # Before the decoder, which shares the position in the file.
            self._file = _decoder(self._fd, path)
            self._check()
        except ListenctlError:
            os.close(self._fd)
            raise
        from_rate = self._file.samplerate
        self._resampler = None if from_rate == sample_rate else StreamResampler(from_rate, sample_rate)
        if self._file.channels == 1:
            self._channel = self._channel or 0
        unchanged = self._resampler is None and self._channel is not None
        self._dtype = "int16" if unchanged and holds_integers(self._file) else "float32"
        # Limits the size of a block before and after resampling.
        self._block = max(1, _BLOCK_SAMPLES * min(from_rate, sample_rate) // (sample_rate * self._file.channels))
        self._empty_passes = 0
        self._over = False

    @classmethod
    def open(cls, path: str, sample_rate: int, *, loop: bool = False, channel: int | None = 0) -> Self:
        return cls(_open(path), path, sample_rate, loop=loop, channel=channel)

    def read(self) -> bytes:
        """Return the next block, none at the end; raises ListenctlError if the file ends too early."""
        pcm = b""
        while not pcm and not self._over:
            pcm = self._next()
        if not pcm and self._lacks:
            raise ListenctlError(
                f"{self._path}: breaks off; by its header there are {self._lacks:.1f} s more. Get the whole file, or "
                "use what `listenctl recover` makes of it"
            )
        return pcm

    def close(self) -> None:
        self._file.close()
        os.close(self._fd)

    def _next(self) -> bytes:
        block = self._decode()
        if len(block):
            self._empty_passes = 0
        elif self._loop and not self._empty_passes and not self._lacks:
            # A file without audio must not be read forever.
            self._empty_passes += 1
            self._rewind()
            return b""
        else:
            self._over = True
        if self._resampler:
            return to_pcm(self._resampler.floats(block, last=self._over))
        return to_pcm(block) if self._dtype == "float32" else bytes(block.astype("<i2").tobytes())

    def _decode(self) -> Any:
        import soundfile

        try:
            frames = self._file.read(self._block, dtype=self._dtype, always_2d=True)
        except soundfile.SoundFileError as exc:
            raise ListenctlError(
                f"{self._path}: can't be decoded to its end: {error_reason(exc)}; convert it first"
            ) from exc
        block = frames.mean(axis=1) if self._channel is None else frames[:, self._channel]
        return finite(block) if self._dtype == "float32" else block

    def _rewind(self) -> None:
        # Opened again instead of seeking, because not every decoder returns exactly to its first sample.
        self._file.close()
        self._file = _decoder(self._fd, self._path)

    def _check(self) -> None:
        rate, channels = self._file.samplerate, self._file.channels
        if rate not in _RATES:
            raise UsageError(f"{self._path}: has a sample rate of {rate} Hz; convert it to the rate of the call first")
        if self._channel is not None and self._channel >= channels:
            number = self._channel + 1
            raise UsageError(f"{self._path}: has no channel {number}, only {channels}; give that party its own source")
        if not self._file.frames:
            raise ListenctlError(f"{self._path}: holds no audio; for a silent caller use silence")


class SoundFileSource:
    def __init__(self, file: SoundFileDecoder) -> None:
        self._file = file
        self._pcm = b""
        self._at = 0
        self._error: ListenctlError | None = None
        self._next: asyncio.Future[bytes] | None = None
        self._prefetch()

    @classmethod
    async def open(cls, path: str, sample_rate: int, *, loop: bool = False, channel: int | None = 0) -> Self:
        return cls(await asyncio.to_thread(SoundFileDecoder.open, path, sample_rate, loop=loop, channel=channel))

    async def read(self, samples: int) -> bytes:
        wanted = samples * SAMPLE_BYTES
        while self._next and len(self._pcm) - self._at < wanted:
            block = b""
            try:
                # If the reader is cancelled, the decoder goes on.
                block = await asyncio.shield(self._next)
            except ListenctlError as exc:
                self._error = exc  # What was decoded before comes first.
            self._pcm = self._pcm[self._at :] + block
            self._at = 0
            self._next = None
            if block:
                self._prefetch()
        found = self._pcm[self._at : self._at + wanted]
        self._at += len(found)
        if not found and self._error is not None:
            raise self._error
        return found

    async def close(self) -> None:
        if self._next:
            await asyncio.gather(self._next, return_exceptions=True)
        await asyncio.to_thread(self._file.close)

    def _prefetch(self) -> None:
        self._next = asyncio.get_running_loop().run_in_executor(None, self._file.read)


@dataclass(frozen=True, slots=True)
class SoundFileInfo:
    sample_rate: int
    channels: int
    seconds: float


def read_sound_info(path: str) -> SoundFileInfo:
    fd = _open(path)
    try:
        with _decoder(fd, path) as file:
            rate = max(1, int(file.samplerate))
            return SoundFileInfo(rate, int(file.channels), int(file.frames) / rate)
    finally:
        os.close(fd)


def _open(path: str) -> int:
    try:
        # Non-blocking, so that a pipe without a writer doesn't block before it is refused below.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise UsageError(f"{path}: can't be read: {reason}; give an existing sound file") from exc
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise UsageError(f"{path}: is not a regular file; pipe the audio in and use - as the file")


def _decoder(fd: int, path: str) -> Any:
    import soundfile

    opening = os.pread(fd, OPENING_BYTES, 0)
    opening = os.pread(fd, OPENING_BYTES, tag) if (tag := id3_bytes(opening)) else opening
    container = sound_container(opening)
    if container and container not in READABLE:
        raise unreadable(f"{path}: is {container}")
    try:
        if container in WAV_NAMES and (file := _wav_decoder(fd)):
            return disable_seeking(file)
        # Given as a descriptor, so that the file name doesn't determine the format.
        os.lseek(fd, 0, os.SEEK_SET)
        return disable_seeking(soundfile.SoundFile(fd, closefd=False))
    except (soundfile.SoundFileError, OSError) as exc:
        if container:
            raise unreadable(f"{path}: is {container}", error_reason(exc)) from exc
        if text := text_kind(opening, whole=len(opening) < OPENING_BYTES):
            raise UsageError(f"{path}: is {text}, not audio; give a sound file") from exc
        raise UsageError(
            f"{path}: is not a readable sound file: {error_reason(exc)}; if it is raw audio, pipe it in and use -"
        ) from exc


def unreadable(what: str, reason: str = "") -> UsageError:
    """Return the error for a file whose kind is known, but that can't be read."""
    why = f": {reason}" if reason else ""
    return UsageError(f"{what}, which can't be read{why}; convert it, as with ffmpeg -i FILE out.wav")


def _wav_decoder(fd: int) -> Any:
    """Return a decoder of a WAV with plain samples; None for another one, and for what is no complete WAV."""
    import soundfile

    with open(fd, "rb", closefd=False) as file:
        size = file.seek(0, SEEK_END)
        try:
            info = read_header(file)
        except ListenctlError:
            return None
        subtype = _SUBTYPES.get((info.encoding, info.bits))
        if info.data_bytes is None or subtype is None or info.format.channels > _MAX_CHANNELS:
            return None
        length = _audio_bytes(info, size, ends=only_chunks_follow(file, info, size))
    return soundfile.SoundFile(
        _FilePart(fd, info.data_offset, length),
        samplerate=info.format.sample_rate,
        channels=info.format.channels,
        subtype=subtype,
        endian="BIG" if info.big_endian else "LITTLE",
        format="RAW",
    )


def _lacking_seconds(fd: int) -> float:
    """Return how many seconds less than its header declares a WAV holds, 0 if it isn't cut, or isn't a WAV."""
    with open(fd, "rb", closefd=False) as file:
        size = file.seek(0, SEEK_END)
        try:
            info = read_header(file)
        except ListenctlError:
            return 0.0
    held = size - info.data_offset
    lacks = (info.declared_bytes or 0) - held
    if lacks <= _HEADER_COUNTED or not info.bits:
        return 0.0
    return lacks / (info.format.sample_rate * info.format.channels * info.bits / 8)


def _audio_bytes(info: WavInfo, size: int, *, ends: bool) -> int:
    held = size - info.data_offset
    if ends:
        return info.data_bytes or 0
    return held if info.declared_bytes is None else min(info.declared_bytes, held)


class _FilePart(RawIOBase):
    """A part of a file, as libsndfile reads it."""

    def __init__(self, fd: int, start: int, length: int) -> None:
        self._fd = fd
        self._start = start
        self._length = length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        self._at = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._length}[whence] + offset
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        left = max(0, min(len(view), self._length - self._at))
        data = os.pread(self._fd, left, self._start + self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
