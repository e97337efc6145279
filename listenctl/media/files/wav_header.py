"""
WAV headers: ours of 80 bytes, whose `JUNK` chunk becomes RF64 (EBU Tech 3306) beyond 4 GiB without moving the audio,
and a tolerant parser for headers of any writer.
"""

from dataclasses import dataclass
from io import SEEK_END
from struct import Struct
from typing import BinaryIO

from listenctl.errors import ListenctlError
from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat

HEADER_BYTES = 80
SIZE_LIMIT = 0xFFFFFFFF
PCM = 1
EXTENSIBLE = 0xFFFE

_FMT = "4sIHHIIHH"
_RIFF = Struct(f"<4sI4s 4sI28x {_FMT} 4sI")
_RF64 = Struct(f"<4sI4s 4sIQQQI {_FMT} 4sI")
_STREAM = Struct(f"<4sI4s {_FMT} 4sI")
CHUNK = Struct("<4sI")
_DS64 = Struct("<QQ")
_FMT_BODY = Struct("<HHIIHH")
_FMT_BYTES = 40
_MAX_CHUNKS = 1000
_KINDS = {b"RIFF": "RIFF", b"RF64": "RF64", b"BW64": "RF64"}


@dataclass(frozen=True, slots=True)
class WavInfo:
    kind: str
    """``RIFF`` or ``RF64``."""
    format: AudioFormat
    encoding: int
    """Format tag, 1 for PCM; for `extensible` the tag of the subformat."""
    bits: int
    riff_bytes: int
    data_offset: int
    """Where the audio begins; without a data chunk, where the chunks end."""
    data_bytes: int | None
    """Length of the audio according to the header; None without a data chunk."""

    @property
    def is_pcm16(self) -> bool:
        return self.encoding == PCM and self.bits == 8 * SAMPLE_BYTES


def wav_header(audio_format: AudioFormat, data_bytes: int) -> bytes:
    """Return the 80-byte header for ``data_bytes`` bytes of audio: RIFF, or RF64 beyond 4 GiB."""
    riff_bytes = HEADER_BYTES - CHUNK.size + data_bytes
    if riff_bytes > SIZE_LIMIT:
        ds64 = (b"ds64", 28, riff_bytes, data_bytes, audio_format.samples_in(data_bytes), 0)
        return _RF64.pack(b"RF64", SIZE_LIMIT, b"WAVE", *ds64, *_fmt(audio_format), b"data", SIZE_LIMIT)
    return _RIFF.pack(b"RIFF", riff_bytes, b"WAVE", b"JUNK", 28, *_fmt(audio_format), b"data", data_bytes)


def stream_header(audio_format: AudioFormat) -> bytes:
    """Return the 44-byte header of a WAV on a pipe, with the sizes that sox and ffmpeg read as unknown."""
    return _STREAM.pack(b"RIFF", SIZE_LIMIT, b"WAVE", *_fmt(audio_format), b"data", SIZE_LIMIT)


def _fmt(audio_format: AudioFormat) -> tuple[bytes, int, int, int, int, int, int, int]:
    rate, channels, frame_bytes = audio_format.sample_rate, audio_format.channels, audio_format.frame_bytes
    return b"fmt ", 16, PCM, channels, rate, rate * frame_bytes, frame_bytes, 8 * SAMPLE_BYTES


def read_header(file: BinaryIO) -> WavInfo:
    """Parse the header of a seekable WAV or RF64 file; sizes may be wrong, and the data chunk missing."""
    return _HeaderReader(file).read()


def is_chunk_id(name: bytes) -> bool:
    """Return whether four bytes can be the name of a chunk, rather than audio."""
    return len(name) == 4 and all(0x20 <= byte <= 0x7E for byte in name)


class _HeaderReader:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, SEEK_END)
        self._fmt = b""
        self._long_sizes: tuple[int, int] | None = None
        self._data_bytes: int | None = None

    def read(self) -> WavInfo:
        self._file.seek(0)
        opening = self._file.read(12)
        if opening[:4] not in _KINDS or opening[8:] != b"WAVE":
            raise self._error("is not a WAV file")
        data_offset = self._walk()
        if len(self._fmt) < _FMT_BODY.size:
            raise self._error("has no complete format chunk, so its sample rate and channels are unknown")
        return self._info(_KINDS[opening[:4]], int.from_bytes(opening[4:8], "little"), data_offset)

    def _walk(self) -> int:
        offset = 12
        for _ in range(_MAX_CHUNKS):
            self._file.seek(offset)
            head = self._file.read(CHUNK.size)
            if len(head) < CHUNK.size:
                return offset
            name, size = CHUNK.unpack(head)
            if name == b"data":
                self._data_bytes = size
                return offset + CHUNK.size
            end = offset + CHUNK.size + size
            if end > self._size or not is_chunk_id(name):
                return offset
            self._keep(name, size)
            offset = end + size % 2
        raise self._error(f"has more than {_MAX_CHUNKS} chunks before its audio")

    def _keep(self, name: bytes, size: int) -> None:
        if name == b"fmt ":
            self._fmt = self._file.read(min(size, _FMT_BYTES))
        elif name == b"ds64" and size >= _DS64.size:
            riff_bytes, data_bytes = _DS64.unpack(self._file.read(_DS64.size))
            self._long_sizes = riff_bytes, data_bytes

    def _info(self, kind: str, riff_bytes: int, data_offset: int) -> WavInfo:
        encoding, channels, sample_rate, _, _, bits = _FMT_BODY.unpack_from(self._fmt)
        if not channels or not sample_rate:
            raise self._error(f"says {channels} channels at {sample_rate} Hz")
        if encoding == EXTENSIBLE and len(self._fmt) == _FMT_BYTES:
            encoding = int.from_bytes(self._fmt[24:26], "little")
        data_bytes = self._data_bytes
        if kind == "RF64" and self._long_sizes:
            riff_bytes, long_data_bytes = self._long_sizes
            data_bytes = long_data_bytes if data_bytes == SIZE_LIMIT else data_bytes
        return WavInfo(kind, AudioFormat(sample_rate, channels), encoding, bits, riff_bytes, data_offset, data_bytes)

    def _error(self, what: str) -> ListenctlError:
        return ListenctlError(f"{getattr(self._file, 'name', 'the stream')}: {what}")
