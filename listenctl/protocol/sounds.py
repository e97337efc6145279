"""The sound in a file: 16-bit samples of one channel, out of what a clip may hold."""

from collections.abc import Mapping
from dataclasses import dataclass

from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.resampling import pack, unpack

PCM = 1
EXTENSIBLE = 0xFFFE
# A few bytes that claim a rate of 1 Hz would last, and take memory, for hours.
MIN_RATE = 1000


@dataclass(frozen=True, slots=True)
class Sound:
    """One channel of 16-bit samples."""

    sample_rate: int
    samples: bytes


def read_wav(data: bytes) -> Sound | None:
    """Read a WAV file of 8, 16, 24 or 32-bit PCM; channels are added up, as FreeSWITCH does."""
    chunks = _riff_chunks(data)
    header, audio = chunks.get(b"fmt "), chunks.get(b"data")
    if header is None or audio is None or len(header) < 16:
        return None
    kind, channels, rate, bits = (
        int.from_bytes(header[at : at + size], "little") for at, size in ((0, 2), (2, 2), (4, 4), (14, 2))
    )
    if kind not in (PCM, EXTENSIBLE) or not channels or rate < MIN_RATE or bits not in (8, 16, 24, 32):
        return None
    samples = _unsigned_8_bits(audio) if bits == 8 else upper_16_bits(audio, bits // 8)
    return Sound(rate, _add_channels(samples, channels))


def is_wav(data: bytes) -> bool:
    """Tell whether a WAV file begins there."""
    return data[:4] == b"RIFF" and data[8:12] == b"WAVE"


def upper_16_bits(data: bytes, size: int) -> bytes:
    """Return 16-bit samples from wider ones, without an incomplete one at the end."""
    data = data[: len(data) - len(data) % size]
    if size == SAMPLE_BYTES:
        return data
    samples = bytearray(len(data) // size * SAMPLE_BYTES)
    samples[::2] = data[size - 2 :: size]
    samples[1::2] = data[size - 1 :: size]
    return bytes(samples)


def _unsigned_8_bits(data: bytes) -> bytes:
    samples = bytearray(len(data) * SAMPLE_BYTES)
    samples[1::2] = data.translate(bytes(value ^ 0x80 for value in range(256)))
    return bytes(samples)


def _add_channels(samples: bytes, channels: int) -> bytes:
    if channels == 1:
        return samples
    values = unpack(samples)
    frames = zip(*(values[channel::channels] for channel in range(channels)), strict=False)
    return pack([max(-32768, min(32767, sum(frame))) for frame in frames])


def _riff_chunks(data: bytes) -> Mapping[bytes, bytes]:
    chunks: dict[bytes, bytes] = {}
    if not is_wav(data):
        return chunks
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.setdefault(data[at : at + 4], data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return chunks
