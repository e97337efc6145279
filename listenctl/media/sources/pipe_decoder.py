"""
Decode audio from a pipe: raw 16-bit samples, or a sound file of any kind.

A WAV is decoded while it arrives, as sox and espeak write it. Other files are kept in a temporary file until the pipe
ends, because libsndfile looks at their end first.
"""

import os
import tempfile
from collections.abc import Iterator
from io import BytesIO
from typing import IO

from listenctl.errors import ListenctlError, UsageError
from listenctl.media.files.libsndfile import finite
from listenctl.media.files.wav_header import FLOAT, PCM, WavInfo, read_header
from listenctl.media.resampling import StreamResampler, to_pcm
from listenctl.media.sources.sound_file_source import READABLE, SoundFileDecoder, unreadable
from listenctl.protocol.audio import SAMPLE_BYTES, SampleAssembler
from listenctl.protocol.sound_containers import OPENING_BYTES, WAV_NAMES, is_undecided, sound_container, text_kind

MAX_FILE_BYTES = 64 << 20
"""The longest sound file that a pipe may bring, other than a WAV."""

_MAX_HEADER = 1 << 20
_MAX_CHANNELS = 64
_RATES = range(1000, 1_000_001)
_DEPTHS = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}
_ADVICE = "pipe raw 16-bit little-endian samples or a WAV, as from sox FILE -t wav -"


class PipeDecoder:
    def __init__(self, sample_rate: int, *, channel: int = 0) -> None:
        self._sample_rate = sample_rate
        self._channel = channel
        self._container: str | None = None
        self._pending = b""
        self._stream: _SampleStream | None = None
        self._file: IO[bytes] | None = None
        self._file_bytes = 0
        self._ended = False

    @property
    def knows_format(self) -> bool:
        return self._stream is not None or self._file is not None

    def feed(self, data: bytes) -> bytes:
        """Take more of the pipe; return the audio that is complete."""
        if self._stream is not None:
            return self._stream.decode(data)
        if self._file is not None:
            self._keep(self._file, data)
            return b""
        self._pending += data
        return b"" if self._container is None and is_undecided(self._pending) else self._open()

    def remaining_audio(self) -> Iterator[bytes]:
        """Yield the rest of the audio, in blocks, when the pipe has ended."""
        self._ended = True
        if not self.knows_format:
            yield self._open()
        if self._file is not None:
            yield from self._decoded(self._file)
        elif self._stream is not None:
            yield self._stream.end()
        else:
            raise UsageError(f"-: the WAV on stdin ends within its header; {_ADVICE}")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> bytes:
        if self._container is None:
            self._container = sound_container(self._pending[:OPENING_BYTES])
        if self._container is None:
            return self._begin(self._raw_stream())
        if self._container not in READABLE:
            raise unreadable(f"-: stdin is {self._container}")
        if self._container not in WAV_NAMES:
            return self._begin_file()
        info = _wav_info(self._pending)
        if info is not None:
            return self._begin_wav(info)
        if len(self._pending) > _MAX_HEADER:
            raise UsageError(f"-: the WAV on stdin has no audio in its first {_MAX_HEADER} bytes; {_ADVICE}")
        return b""

    def _raw_stream(self) -> "_SampleStream":
        if text := text_kind(self._pending, whole=self._ended):
            raise UsageError(f"-: stdin is {text}, not audio; {_ADVICE}")
        if self._channel:
            raise UsageError("-: raw audio on stdin has one channel; give the other party its own source")
        return _SampleStream()

    def _begin_wav(self, info: WavInfo) -> bytes:
        if info.bits not in _DEPTHS.get(info.encoding, ()):
            return self._begin_file()
        rate, channels = info.format.sample_rate, info.format.channels
        if channels > _MAX_CHANNELS or rate not in _RATES:
            raise UsageError(f"-: the WAV on stdin has {channels} channels at {rate} Hz; {_ADVICE}")
        if self._channel >= channels:
            raise UsageError(f"-: the WAV on stdin has no channel {self._channel + 1}, only {channels}")
        self._pending = self._pending[info.data_offset :]
        return self._begin(_SampleStream(info, self._channel, self._sample_rate))

    def _begin(self, stream: "_SampleStream") -> bytes:
        self._stream = stream
        pending, self._pending = self._pending, b""
        return stream.decode(pending)

    def _begin_file(self) -> bytes:
        # It lasts as long as the decoder.
        self._file = tempfile.TemporaryFile(prefix="listenctl-")  # noqa: SIM115
        pending, self._pending = self._pending, b""
        self._keep(self._file, pending)
        return b""

    def _keep(self, file: IO[bytes], data: bytes) -> None:
        self._file_bytes += len(data)
        if self._file_bytes > MAX_FILE_BYTES:
            size = MAX_FILE_BYTES >> 20
            raise UsageError(f"-: the {self._container} on stdin is longer than {size} MiB; name the file instead of -")
        file.write(data)

    def _decoded(self, file: IO[bytes]) -> Iterator[bytes]:
        file.flush()
        fd = os.dup(file.fileno())
        decoder = SoundFileDecoder(fd, "-", self._sample_rate, channel=self._channel)
        try:
            while pcm := decoder.read():
                yield pcm
        finally:
            decoder.close()


class _SampleStream:
    """Decode the samples of a WAV, or raw ones, and take one channel of them."""

    def __init__(self, info: WavInfo | None = None, channel: int = 0, sample_rate: int = 0) -> None:
        self._channel = channel
        self._channels = info.format.channels if info else 1
        self._encoding = info.encoding if info else PCM
        self._width = info.bits // 8 if info else SAMPLE_BYTES
        self._order = ">" if info and info.big_endian else "<"
        self._left = info.declared_bytes if info else None
        self._frames = SampleAssembler(self._width * self._channels)
        self._resampler: StreamResampler | None = None
        if info and info.format.sample_rate != sample_rate:
            self._resampler = StreamResampler(info.format.sample_rate, sample_rate)

    def decode(self, data: bytes) -> bytes:
        if self._left is not None:
            # Chunks of text follow the audio, which would be noise.
            data = data[: self._left]
            self._left -= len(data)
        pcm = self._pcm(self._frames.feed(data))
        return self._resampler(pcm) if self._resampler else pcm

    def end(self) -> bytes:
        return self._resampler(b"", last=True) if self._resampler else b""

    def _pcm(self, frames: bytes) -> bytes:
        if (self._channels, self._encoding, self._width, self._order) == (1, PCM, SAMPLE_BYTES, "<"):
            return frames
        import numpy as np

        samples = np.frombuffer(frames, np.uint8).reshape(-1, self._channels, self._width)[:, self._channel]
        if self._encoding == FLOAT:
            return to_pcm(finite(np.frombuffer(samples.tobytes(), f"{self._order}f{self._width}")))
        if self._width == 1:
            # 8-bit samples are unsigned in a WAV, unlike wider ones.
            return ((samples[:, 0].astype("<i2") - 128) * 256).astype("<i2").tobytes()
        # The upper 16 bits come last, or in a big-endian file first and swapped.
        return (samples[:, -SAMPLE_BYTES:] if self._order == "<" else samples[:, 1::-1]).tobytes()


def _wav_info(data: bytes) -> WavInfo | None:
    """Return the header of a WAV, None if its audio hasn't begun yet."""
    file = BytesIO(data)
    try:
        info = read_header(file)
    except ListenctlError as exc:
        # Without the data chunk, the format chunk may follow.
        if b"data" not in data:
            return None
        raise UsageError(f"-: {exc}; {_ADVICE}".replace("the stream: ", "the WAV on stdin ")) from exc
    return None if info.data_bytes is None else info
