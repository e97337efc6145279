"""
Convert a finished WAV to another format, in bounded memory; it blocks, so it belongs in a worker.
The result gets its name only after it was compared with the WAV, so that the WAV may be deleted.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from listenctl.errors import ListenctlError
from listenctl.media.files.libsndfile import disable_seeking
from listenctl.media.files.unnamed_file import give_name, unnamed_file
from listenctl.media.resampling import resample_blocks
from listenctl.protocol.audio import MIN_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Block = NDArray[np.int16] | NDArray[np.float32]

_BlockReader: TypeAlias = Callable[[Any], Iterator["Block"]]

# Larger blocks are no faster, smaller ones cost more: with 16384 a conversion to FLAC takes 1.1 times as long.
_BLOCK_SAMPLES = 65536
# The end of a lossless result that is decoded. Decoding all of a FLAC takes as long as encoding it.
_TAIL_SAMPLES = 8192
# Where a FLAC has the MD5 of the samples that its encoder took (RFC 9639 8.2).
_FLAC_MD5 = slice(26, 42)
# An MP3 without a LAME tag decodes to whole frames plus the delays of encoder and decoder.
_PADDING_SAMPLES = 2 * 1152 + 529
# Below this level, about -60 dB, a codec may keep or drop anything; full scale is 1.
_FLOOR = 0.001
_SHORTEST_MEASURABLE = 0.1


@dataclass(frozen=True, slots=True)
class AudioCodec:
    """A format in soundfile's terms, with the sample rates that it supports, in ascending order."""

    container: str
    subtype: str
    lossless: bool
    rates: Sequence[int]

    @property
    def dtype(self) -> str:
        """MP3 gets floats: libsndfile turns half of all 16-bit stereo into noise (libsndfile pull request 1106)."""
        return "int16" if self.lossless else "float32"

    @property
    def layout(self) -> dict[str, str]:
        endian = "LITTLE" if self.container == "RAW" else "FILE"
        return {"subtype": self.subtype, "endian": endian, "format": self.container}

    def rate_for(self, sample_rate: int) -> int:
        """Return the nearest supported rate that loses nothing, or the highest one."""
        if sample_rate in self.rates:
            return sample_rate
        return next((rate for rate in self.rates if rate > sample_rate), self.rates[-1])


_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
NO_TAGS: Mapping[str, str] = MappingProxyType({})
CODECS = {
    "flac": AudioCodec("FLAC", "PCM_16", lossless=True, rates=range(1, 655_351)),
    "ogg": AudioCodec("OGG", "OPUS", lossless=False, rates=(8000, 12000, 16000, 24000, 48000)),
    "mp3": AudioCodec("MP3", "MPEG_LAYER_III", lossless=False, rates=_MP3_RATES),
    "raw": AudioCodec("RAW", "PCM_16", lossless=True, rates=range(1, 1 << 32)),
}


@dataclass(frozen=True, slots=True)
class Conversion:
    """The converted recording; ``path`` is the WAV itself if the format can't hold it."""

    path: Path
    warnings: tuple[str, ...] = ()
    resampled_to: int | None = None  # the sample rate, if it is not that of the WAV


class ConversionStopped(ListenctlError):
    """A conversion was stopped; the text says what the recording is now."""

    def __init__(self, wav: Path, kind: str) -> None:
        super().__init__(wav, kind)
        self._text = (
            f"{wav.name}: is complete, but stays a WAV: the server was stopped before it was converted to {kind}; "
            "ffmpeg or sox can convert it"
        )

    def __str__(self) -> str:
        return self._text


def convert_wav(
    wav: Path,
    target: Path,
    kind: str,
    tags: Mapping[str, str] = NO_TAGS,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Conversion:
    """
    Convert a finished recording to ``target``; ``kind`` is one of ``CODECS``, ``tags`` as in ``recording_tags``. Once
    ``is_stopped`` returns True, ConversionStopped is raised, and only the WAV stays.
    """
    import soundfile

    try:
        with soundfile.SoundFile(wav) as source:
            # Except for raw, libsndfile can't read back the empty files that it writes.
            if not source.frames and kind != "raw":
                return Conversion(wav, (f"{wav.name}: has no audio, so it stays a WAV and is not converted to {kind}",))

            def check_stopped() -> None:
                if is_stopped():
                    raise ConversionStopped(wav, kind)

            return _convert(source, target, kind, tags, check_stopped)
    except (soundfile.SoundFileError, OSError) as exc:
        # libsndfile doesn't name a full disk.
        problem = str(exc).replace("System error.", "system error, such as a full disk")
        raise ListenctlError(f"{target}: can't be converted from {wav.name}: {problem}; the WAV is kept") from exc


def _convert(
    source: Any, target: Path, kind: str, tags: Mapping[str, str], check_stopped: Callable[[], None]
) -> Conversion:
    codec = CODECS[kind]
    rate = codec.rate_for(source.samplerate)
    if rate != source.samplerate and source.samplerate < MIN_RATE:
        reason = f"{source.samplerate} Hz is too low to be resampled to {rate} Hz"
        raise ListenctlError(f"{target}: can't be converted: {reason}; the WAV is kept")

    def blocks_of(file: Any) -> Iterator["Block"]:
        for block in _blocks(file, codec.dtype):
            check_stopped()
            yield block

    with unnamed_file(target.parent) as part:
        if codec.lossless:
            digest = _copy_samples(source, blocks_of, part.path, codec, tags)
            difference = _lossless_difference(source, part.path, codec, digest)
        else:
            written = _encode(source, blocks_of, part.path, codec, rate, tags)
            difference = _difference(source, blocks_of, part.path, written)
        if difference:
            raise ListenctlError(f"{target}: {difference}; the WAV is kept")
        os.fsync(part.fd)
        give_name(part, target)
    if rate == source.samplerate:
        return Conversion(target)
    warning = f"{target.name}: {codec.subtype} can't hold {source.samplerate} Hz, resampled to {rate} Hz"
    return Conversion(target, (warning,), resampled_to=rate)


def _copy_samples(
    source: Any, blocks_of: _BlockReader, part: Path, codec: AudioCodec, tags: Mapping[str, str]
) -> bytes:
    """Encode all samples, and return their MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with _open_to_write(part, source.samplerate, source.channels, codec, tags) as sink:
        for block in blocks_of(source):
            digest.update(block.data)
            sink.write(block)
    return digest.digest()


def _lossless_difference(source: Any, part: Path, codec: AudioCodec, digest: bytes) -> str:
    """
    Return how the result differs from the WAV, whose samples have this MD5. A FLAC says which samples its encoder took,
    and how many. An encoder that can't write ends with an error, and an end that can be decoded shows that it finished.
    """
    import soundfile

    layout = (source.samplerate, source.channels) if codec.container == "RAW" else ()
    with part.open("rb") as written:
        if layout:
            found = hashlib.file_digest(written, lambda: hashlib.md5(usedforsecurity=False)).digest()
        else:
            found = written.read(_FLAC_MD5.stop)[_FLAC_MD5]
    with soundfile.SoundFile(part, "r", *layout, **(codec.layout if layout else {})) as result:
        if (result.samplerate, result.channels) != (source.samplerate, source.channels):
            return f"reads back as {result.channels} channels at {result.samplerate} Hz"
        if result.frames != source.frames:
            return f"holds {result.frames} samples instead of {source.frames}"
        if found != digest or not _have_equal_ends(source, result):
            return "doesn't read back as it was written"
    return ""


def _have_equal_ends(one: Any, other: Any) -> bool:
    import numpy as np

    ends = []
    for file in (one, other):
        file.seek(max(0, file.frames - _TAIL_SAMPLES))
        ends.append(file.read(_TAIL_SAMPLES, dtype="int16", always_2d=True))
    return np.array_equal(*ends)


class _AudioLevels:
    def __init__(self, sample_rate: int, channels: int) -> None:
        self.sample_rate = sample_rate
        self.channels = channels
        self.samples = 0
        self._energy = [0.0] * channels

    def add_block(self, block: "Block") -> None:
        import numpy as np

        self.samples += len(block)
        energy = np.square(block, dtype=np.float64).sum(axis=0)
        self._energy = [total + float(more) for total, more in zip(self._energy, energy, strict=True)]

    def levels(self) -> list[float]:
        return [math.sqrt(energy / max(1, self.samples)) for energy in self._energy]


def _open_to_write(part: Path, rate: int, channels: int, codec: AudioCodec, tags: Mapping[str, str]) -> Any:
    import soundfile

    sink = soundfile.SoundFile(part, "w", rate, channels, **codec.layout)
    for name, value in tags.items() if codec.container != "RAW" else ():
        setattr(sink, name, value)
    return sink


def _encode(
    source: Any, blocks_of: _BlockReader, part: Path, codec: AudioCodec, rate: int, tags: Mapping[str, str]
) -> _AudioLevels:
    levels = _AudioLevels(rate, source.channels)
    with _open_to_write(part, rate, source.channels, codec, tags) as sink:
        for block in resample_blocks(blocks_of(source), source.samplerate, rate, source.channels, codec.dtype):
            sink.write(block)
            levels.add_block(block)
    return levels


def _blocks(file: Any, dtype: str) -> "Iterator[Block]":
    disable_seeking(file)
    while len(block := file.read(_BLOCK_SAMPLES, dtype=dtype, always_2d=True)):
        yield block


def _difference(source: Any, blocks_of: _BlockReader, part: Path, written: _AudioLevels) -> str:
    """Decode a lossy result; return how it differs from what it should be."""
    import soundfile

    with soundfile.SoundFile(part) as result:
        if (result.samplerate, result.channels) != (written.sample_rate, written.channels):
            return f"reads back as {result.channels} channels at {result.samplerate} Hz"
        decoded = _AudioLevels(result.samplerate, result.channels)
        for block in blocks_of(result):
            decoded.add_block(block)
    expected = source.frames * written.sample_rate / source.samplerate
    if abs(written.samples - expected) > 1:
        return f"holds {written.samples} samples instead of {expected:.0f}"
    if abs(decoded.samples - written.samples) > _PADDING_SAMPLES:
        return f"reads back as {decoded.samples} samples instead of {written.samples}"
    if written.samples >= _SHORTEST_MEASURABLE * written.sample_rate:
        return _level_difference(written.levels(), decoded.levels())
    return ""


def _level_difference(written: list[float], decoded: list[float]) -> str:
    # Codecs leak a little of a loud channel into a quiet one.
    slack = _FLOOR + max(written) / 10
    for channel, (before, after) in enumerate(zip(written, decoded, strict=True)):
        if not before / 2 - slack <= after <= before * 2 + slack:
            return f"reads back with channel {channel} at level {after:.4f} instead of {before:.4f}"
    return ""
