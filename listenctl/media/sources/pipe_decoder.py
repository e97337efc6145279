"""Decode audio from a pipe: raw 16-bit samples or a WAV, as written by sox and espeak."""

from listenctl.errors import UsageError
from listenctl.media.files.libsndfile import finite
from listenctl.media.files.wav_header import CHUNK, EXTENSIBLE, PCM
from listenctl.media.resampling import StreamResampler, to_pcm
from listenctl.protocol.audio import SAMPLE_BYTES, SampleAssembler

_OPENING_BYTES = 4
_RIFF_BYTES = 12
_FMT_BYTES = 16
_MAX_HEADER = 1 << 20
# The writer of a WAV on a pipe doesn't know its length and writes something near 2 or 4 GiB, or 0.
_OPEN_END = 0x7FFF_0000
_MAX_CHANNELS = 64
_RATES = range(1000, 1_000_001)
_FLOAT = 3
_DEPTHS = {PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}
_ADVICE = "pipe raw 16-bit little-endian samples or a WAV, as from sox FILE -t wav -"


class PipeDecoder:
    def __init__(self, sample_rate: int, *, channel: int = 0) -> None:
        self._sample_rate = sample_rate
        self._channel = channel
        self._channels = 1
        self._encoding, self._width = PCM, SAMPLE_BYTES
        self._known = False
        self._pending = b""
        self._left: int | None = None
        self._frames = SampleAssembler(SAMPLE_BYTES)
        self._resampler: StreamResampler | None = None

    def feed(self, data: bytes) -> bytes:
        if self._known:
            return self._audio(data)
        self._pending += data
        opening = self._pending[:_OPENING_BYTES]
        if len(opening) < _OPENING_BYTES:
            return b""
        if opening in (b"fLaC", b"OggS"):
            raise UsageError(f"-: stdin is {opening.decode()}; {_ADVICE}")
        return self._raw() if opening != b"RIFF" else self._wav()

    def end_stream(self) -> bytes:
        if not self._known and self._pending[:_OPENING_BYTES] == b"RIFF":
            raise UsageError(f"-: the WAV on stdin ends within its header; {_ADVICE}")
        rest = b"" if self._known else self._raw()
        return rest + self._resampler(b"", last=True) if self._resampler else rest

    def _raw(self) -> bytes:
        if self._channel:
            raise UsageError("-: raw audio on stdin has one channel; give the other party its own source")
        return self._begin(self._pending)

    def _wav(self) -> bytes:
        at, fmt = _RIFF_BYTES, b""
        while len(self._pending) >= at + CHUNK.size:
            name, size = CHUNK.unpack_from(self._pending, at)
            at += CHUNK.size
            if name == b"data":
                self._parse_format(fmt)
                self._left = size if 0 < size < _OPEN_END else None
                return self._begin(self._pending[at:])
            if name == b"fmt ":
                fmt = self._pending[at : at + size]
            at += size + size % 2
            if at > _MAX_HEADER:
                raise UsageError(f"-: the WAV on stdin has no audio in its first {_MAX_HEADER} bytes; {_ADVICE}")
        return b""

    def _parse_format(self, fmt: bytes) -> None:
        encoding, channels, rate, bits = (
            int.from_bytes(fmt[at : at + size], "little") for at, size in ((0, 2), (2, 2), (4, 4), (14, 2))
        )
        if encoding == EXTENSIBLE:
            encoding = int.from_bytes(fmt[24:26], "little")
        if len(fmt) < _FMT_BYTES or bits not in _DEPTHS.get(encoding, ()):
            raise UsageError(f"-: the WAV on stdin has neither PCM nor float samples; {_ADVICE}")
        if not 0 < channels <= _MAX_CHANNELS or rate not in _RATES:
            raise UsageError(f"-: the WAV on stdin has {channels} channels at {rate} Hz; {_ADVICE}")
        if self._channel >= channels:
            raise UsageError(f"-: the WAV on stdin has no channel {self._channel + 1}, only {channels}")
        self._channels = channels
        self._encoding, self._width = encoding, bits // 8
        self._frames = SampleAssembler(self._width * channels)
        if rate != self._sample_rate:
            self._resampler = StreamResampler(rate, self._sample_rate)

    def _begin(self, data: bytes) -> bytes:
        self._known = True
        self._pending = b""
        return self._audio(data)

    def _audio(self, data: bytes) -> bytes:
        if self._left is not None:
            # Chunks of text follow the audio, which would be noise.
            data = data[: self._left]
            self._left -= len(data)
        pcm = self._pcm(self._frames.feed(data))
        return self._resampler(pcm) if self._resampler else pcm

    def _pcm(self, frames: bytes) -> bytes:
        if (self._channels, self._encoding, self._width) == (1, PCM, SAMPLE_BYTES):
            return frames
        import numpy as np

        samples = np.frombuffer(frames, np.uint8).reshape(-1, self._channels, self._width)[:, self._channel]
        if self._encoding == _FLOAT:
            return to_pcm(finite(np.frombuffer(samples.tobytes(), f"<f{self._width}")))
        if self._width == 1:
            # 8-bit samples are unsigned in a WAV, unlike wider ones.
            return ((samples[:, 0].astype("<i2") - 128) * 256).astype("<i2").tobytes()
        return samples[:, -SAMPLE_BYTES:].tobytes()
