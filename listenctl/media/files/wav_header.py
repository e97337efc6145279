"""
WAV headers: ours of 80 bytes, whose `JUNK` chunk becomes RF64 (EBU Tech 3306) beyond 4 GiB without moving the audio,
and a tolerant parser for headers of any writer: RIFF, big-endian RIFX, RF64 and BW64, also behind an ID3 tag.
"""

from dataclasses import dataclass
from io import SEEK_END
from struct import Struct, unpack_from
from typing import BinaryIO, Literal

from listenctl.errors import ListenctlError
from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat
from listenctl.protocol.sound_containers import ID3_BYTES, id3_bytes

HEADER_BYTES = 80
SIZE_LIMIT = 0xFFFFFFFF
PCM, FLOAT, A_LAW, MU_LAW = 1, 3, 6, 7
"""Format tags."""
EXTENSIBLE = 0xFFFE

_FMT = "4sIHHIIHH"
_RIFF = Struct(f"<4sI4s 4sI28x {_FMT} 4sI")
_RF64 = Struct(f"<4sI4s 4sIQQQI {_FMT} 4sI")
_STREAM = Struct(f"<4sI4s {_FMT} 4sI")
CHUNK = Struct("<4sI")
_SIZE_BYTES = 4
_DS64 = Struct("<QQ")
_FMT_BODY = "HHIIHH"
_FMT_BODY_BYTES = 16
_FMT_BYTES = 40
_MAX_CHUNKS = 1000
# A writer that doesn't know its length writes something near 2 or 4 GiB, or 0.
_OPEN_END = 0x7FFF_0000
_OPEN_DATA = 0x7FFF_F000
_KINDS = {b"RIFF": "RIFF", b"RIFX": "RIFX", b"RF64": "RF64", b"BW64": "RF64"}
# Chunks that writers append to the audio; the name alone distinguishes them from samples, even if they are cut off.
_TRAILERS = frozenset({b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"cue ", b"fact", b"smpl", b"JUNK", b"PEAK"})
_MAX_TRAILERS = 100
# Tags of MP3 that tools append to any file; nothing of the WAV follows them.
_TAGS = (b"TAG", b"APETAGEX", b"ID3")
# Names that show where a chunk begins whose predecessor lacks its pad byte.
_KNOWN_CHUNKS = frozenset(
    {
        b"data",
        b"fmt ",
        b"fact",
        b"LIST",
        b"JUNK",
        b"junk",
        b"bext",
        b"iXML",
        b"cue ",
        b"smpl",
        b"PEAK",
        b"ds64",
        b"id3 ",
    }
)


@dataclass(frozen=True, slots=True)
class WavInfo:
    kind: str
    """``RIFF``, big-endian ``RIFX``, or ``RF64``."""
    format: AudioFormat
    encoding: int
    """Format tag, 1 for PCM; for `extensible` the tag of the subformat."""
    bits: int
    riff_bytes: int
    data_offset: int
    """Where the audio begins; without a data chunk, where the chunks end."""
    data_bytes: int | None
    """Length of the audio according to the header; None without a data chunk."""
    start: int = 0
    """Where the WAV begins, behind an ID3 tag."""
    unpadded: bool = False
    """Whether a chunk of odd length before the audio has no pad byte, which most programs expect."""

    @property
    def big_endian(self) -> bool:
        return self.kind == "RIFX"

    @property
    def declared_bytes(self) -> int | None:
        """Length of the audio, None if the header leaves it open."""
        size = self.data_bytes or 0
        limit = 1 << 62 if self.kind == "RF64" else _OPEN_END
        return size if 0 < size < limit and size != SIZE_LIMIT else None

    @property
    def is_pcm16(self) -> bool:
        return self.encoding == PCM and self.bits == 8 * SAMPLE_BYTES


def wav_header(audio_format: AudioFormat, data_bytes: int) -> bytes:
    """Return the 80-byte header for ``data_bytes`` bytes of audio: RIFF, or RF64 beyond 4 GiB."""
    riff_bytes = _riff_bytes(data_bytes)
    if riff_bytes > SIZE_LIMIT:
        ds64 = (b"ds64", 28, riff_bytes, data_bytes, audio_format.samples_in(data_bytes), 0)
        return _RF64.pack(b"RF64", SIZE_LIMIT, b"WAVE", *ds64, *_fmt(audio_format), b"data", SIZE_LIMIT)
    return _RIFF.pack(b"RIFF", riff_bytes, b"WAVE", b"JUNK", 28, *_fmt(audio_format), b"data", data_bytes)


class GrowingHeader:
    """The headers of a file that grows: only two sizes change, so each takes a fifth of the time of a new one."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        empty = wav_header(audio_format, 0)
        self._id, self._constant = empty[:_SIZE_BYTES], empty[2 * _SIZE_BYTES : -_SIZE_BYTES]

    def of_size(self, data_bytes: int) -> bytes:
        """Return what ``wav_header`` returns."""
        riff_bytes = _riff_bytes(data_bytes)
        if riff_bytes > SIZE_LIMIT:
            return wav_header(self._format, data_bytes)
        sizes = riff_bytes.to_bytes(_SIZE_BYTES, "little"), data_bytes.to_bytes(_SIZE_BYTES, "little")
        return self._id + sizes[0] + self._constant + sizes[1]


def _riff_bytes(data_bytes: int) -> int:
    return HEADER_BYTES - CHUNK.size + data_bytes


def stream_header(audio_format: AudioFormat) -> bytes:
    """
    Return the 44-byte header of a WAV on a pipe, with the sizes that sox writes and reads as unknown.

    Of 4 GiB, which other programs write, sox warns of a premature end.
    """
    return _STREAM.pack(b"RIFF", _OPEN_DATA + 36, b"WAVE", *_fmt(audio_format), b"data", _OPEN_DATA)


def _fmt(audio_format: AudioFormat) -> tuple[bytes, int, int, int, int, int, int, int]:
    rate, channels, frame_bytes = audio_format.sample_rate, audio_format.channels, audio_format.frame_bytes
    return b"fmt ", 16, PCM, channels, rate, rate * frame_bytes, frame_bytes, 8 * SAMPLE_BYTES


def read_header(file: BinaryIO) -> WavInfo:
    """Parse the header of a seekable WAV or RF64 file; sizes may be wrong, and the data chunk missing."""
    return _HeaderReader(file).read()


def is_chunk_id(name: bytes) -> bool:
    """Return whether four bytes can be the name of a chunk, rather than audio."""
    return len(name) == 4 and all(0x20 <= byte <= 0x7E for byte in name)


def next_chunk(file: BinaryIO, end: int, size: int) -> int:
    """Return where the chunk after one of ``size`` bytes begins, which ends at ``end``; its pad byte may be missing."""
    file.seek(end)
    following = file.read(1 + len(b"name"))
    unpadded, padded = following[:4], following[1:]
    if not size % 2 or (unpadded not in _KNOWN_CHUNKS and (is_chunk_id(padded) or not is_chunk_id(unpadded))):
        return end + size % 2
    return end if padded not in _KNOWN_CHUNKS else end + 1


def only_chunks_follow(file: BinaryIO, info: WavInfo, size: int) -> bool:
    """Return whether a file of ``size`` bytes has nothing but chunks and tags after the declared audio."""
    length = info.data_bytes or 0
    end = info.data_offset + length
    for _ in range(_MAX_TRAILERS):
        if end >= size:
            return end <= size + 1
        offset = next_chunk(file, end, length)
        if offset >= size:
            return True
        file.seek(offset)
        head = file.read(CHUNK.size)
        if head[:4] in _TRAILERS or head.startswith(_TAGS):
            return True
        if len(head) < CHUNK.size or not is_chunk_id(head[:4]):
            return False
        length = int.from_bytes(head[4:], "big" if info.big_endian else "little")
        end = offset + CHUNK.size + length
    return False


class _HeaderReader:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, SEEK_END)
        self._fmt = b""
        self._long_sizes: tuple[int, int] | None = None
        self._data_bytes: int | None = None
        self._unpadded = False
        self._order: Literal["little", "big"] = "little"

    def read(self) -> WavInfo:
        self._file.seek(0)
        start = id3_bytes(self._file.read(ID3_BYTES))
        self._file.seek(start)
        opening = self._file.read(12)
        if opening[:4] not in _KINDS or opening[8:] != b"WAVE":
            raise self._error("is not a WAV file")
        kind = _KINDS[opening[:4]]
        self._order = "big" if kind == "RIFX" else "little"
        data_offset = self._walk(start + len(opening))
        if len(self._fmt) < _FMT_BODY_BYTES:
            raise self._error("has no complete format chunk, so its sample rate and channels are unknown")
        return self._info(kind, int.from_bytes(opening[4:8], self._order), data_offset, start)

    def _walk(self, offset: int) -> int:
        for _ in range(_MAX_CHUNKS):
            self._file.seek(offset)
            head = self._file.read(CHUNK.size)
            if len(head) < CHUNK.size:
                return offset
            name, size = head[:4], int.from_bytes(head[4:], self._order)
            if name == b"data":
                self._data_bytes = size
                return offset + CHUNK.size
            end = offset + CHUNK.size + size
            if end > self._size or not is_chunk_id(name):
                return offset
            self._keep(name, size)
            offset = next_chunk(self._file, end, size)
            self._unpadded |= offset < end + size % 2
        raise self._error(f"has more than {_MAX_CHUNKS} chunks before its audio")

    def _keep(self, name: bytes, size: int) -> None:
        if name == b"fmt ":
            self._fmt = self._file.read(min(size, _FMT_BYTES))
        elif name == b"ds64" and size >= _DS64.size:
            riff_bytes, data_bytes = _DS64.unpack(self._file.read(_DS64.size))
            self._long_sizes = riff_bytes, data_bytes

    def _info(self, kind: str, riff_bytes: int, data_offset: int, start: int) -> WavInfo:
        order = ">" if self._order == "big" else "<"
        encoding, channels, sample_rate, _, _, bits = unpack_from(order + _FMT_BODY, self._fmt)
        if not channels or not sample_rate:
            raise self._error(f"says {channels} channels at {sample_rate} Hz")
        if encoding == EXTENSIBLE and len(self._fmt) == _FMT_BYTES:
            encoding = int.from_bytes(self._fmt[24:26], self._order)
        data_bytes = self._data_bytes
        if kind == "RF64" and self._long_sizes:
            riff_bytes, long_data_bytes = self._long_sizes
            data_bytes = long_data_bytes if data_bytes == SIZE_LIMIT else data_bytes
        audio_format = AudioFormat(sample_rate, channels)
        return WavInfo(kind, audio_format, encoding, bits, riff_bytes, data_offset, data_bytes, start, self._unpadded)

    def _error(self, what: str) -> ListenctlError:
        return ListenctlError(f"{getattr(self._file, 'name', 'the stream')}: {what}")
