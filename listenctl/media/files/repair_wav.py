"""Repair WAV files with a broken header, as after a crash, in a copy beside the original."""

import os
from array import array
from dataclasses import dataclass
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO

from listenctl.errors import ListenctlError
from listenctl.media.files.new_files import NewFile, create_new, create_numbered, remove_new_file
from listenctl.media.files.recording_names import FORMATS_BY_EXTENSION
from listenctl.media.files.wav_header import (
    CHUNK,
    SIZE_LIMIT,
    WavInfo,
    is_chunk_id,
    next_chunk,
    only_chunks_follow,
    read_header,
    wav_header,
)
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.sound_containers import OPENING_BYTES, WAV_NAMES, sound_container

# An unknown length as written by ffmpeg and our pipes, by sox, by the jambonz API server (listenctl-protocol(7) 9.1).
_OPEN_SIZES = frozenset({SIZE_LIMIT, 0x7FFFF000, 4_294_967_195})
_BLOCK_BYTES = 1 << 20
_SEARCHED_BYTES = 1 << 16
_AS_RAW = "if you know it, cut off what is before and use --raw"


@dataclass(frozen=True, slots=True)
class WavDiagnosis:
    format: AudioFormat
    data_offset: int
    samples: int
    problems: tuple[str, ...]
    big_endian: bool = False

    @property
    def seconds(self) -> float:
        return self.format.duration_of(self.samples)

    @property
    def data_bytes(self) -> int:
        return self.samples * self.format.frame_bytes


@dataclass(frozen=True, slots=True)
class RepairedWav:
    """The result for one file: ``output`` is the repaired copy, None if the file was good."""

    source: Path
    output: Path | None
    diagnosis: WavDiagnosis


def repair_wav(path: Path, *, output: Path | None = None, assumed: AudioFormat | None = None) -> RepairedWav:
    """Write a repaired copy of ``path``, by default `NAME.recovered.wav`, unless its header is good."""
    if not path.is_file():
        problem = "is not a file" if path.exists() else "no such file"
        raise ListenctlError(f"{path}: {problem}; give the path of a recording")
    try:
        with path.open("rb") as file:
            diagnosis = diagnose_wav(file, assumed=assumed)
            written = _write_copy(file, path, output, diagnosis) if diagnosis.problems else None
    except FileExistsError as exc:
        raise ListenctlError(f"{exc.filename}: already exists; give another name") from exc
    except OSError as exc:
        raise ListenctlError(f"{exc.filename or path}: {exc.strerror}; the original is unchanged") from exc
    return RepairedWav(path, written, diagnosis)


def diagnose_wav(file: BinaryIO, *, assumed: AudioFormat | None = None) -> WavDiagnosis:
    size = file.seek(0, SEEK_END)
    try:
        info = read_header(file)
    except ListenctlError as exc:
        _refuse_other_files(file)
        if assumed is None:
            raise ListenctlError(f"{exc}; audio without a header needs --raw, --sample-rate and --mix-type") from exc
        return _diagnosis(assumed, 0, size, ["it has no readable header"])
    if not info.is_pcm16:
        raise ListenctlError(f"{file.name}: holds {info.bits}-bit audio of type {info.encoding}, not 16-bit PCM")
    problems = [f"an ID3 tag of {info.start} bytes precedes its header"] if info.start else []
    if info.unpadded:
        problems.append("a chunk of odd length before its audio has no pad byte")
    audio_bytes, problem = _audio_bytes(file, info, size)
    riff_end = info.start + info.riff_bytes + CHUNK.size
    if problem:
        problems.append(problem)
    # The pad byte of the last chunk may be missing, and tags may follow that the header doesn't count.
    elif not info.data_offset + audio_bytes <= riff_end <= size + 1:
        problems.append(f"its header says that the file has {riff_end} bytes, but it has {size}")
    return _diagnosis(info.format, info.data_offset, audio_bytes, problems, big_endian=info.big_endian)


def _diagnosis(
    audio_format: AudioFormat, offset: int, audio_bytes: int, problems: list[str], *, big_endian: bool = False
) -> WavDiagnosis:
    if audio_bytes % audio_format.frame_bytes:
        problems.append("its audio ends in the middle of a sample")
    return WavDiagnosis(audio_format, offset, audio_format.samples_in(audio_bytes), tuple(problems), big_endian)


def _refuse_other_files(file: BinaryIO) -> None:
    """Raise ListenctlError for a sound file that isn't a WAV, which --raw would turn into noise."""
    file.seek(0)
    container = sound_container(file.read(OPENING_BYTES))
    if container and container not in WAV_NAMES:
        raise ListenctlError(f"{file.name}: is {container}, not WAV; only WAV files can be repaired")


def _audio_bytes(file: BinaryIO, info: WavInfo, size: int) -> tuple[int, str]:
    """Return how many bytes of audio a file holds, and what its header says instead; raises if that isn't certain."""
    declared, held = info.data_bytes, size - info.data_offset
    if declared is None:
        _check_missing_chunk(file, info)
        return held, "its header has no data chunk"
    if declared <= held and only_chunks_follow(file, info, size):
        return declared, ""
    if declared > held and (declared in _OPEN_SIZES or info.declared_bytes is None):
        return held, f"its header leaves the length open ({declared} bytes); the file holds {held}"
    if declared < held:
        _check_following_audio(file, info)
    return held, f"its header says {declared} bytes of audio, but the file holds {held}"


def _check_missing_chunk(file: BinaryIO, info: WavInfo) -> None:
    """Raise ListenctlError unless the audio follows the format chunk at once, where a cut header leaves it."""
    following = _read_at(file, info.data_offset, _SEARCHED_BYTES)
    if b"data" in following or is_chunk_id(following[:4]) or not _follows_format(file, info):
        raise ListenctlError(f"{file.name}: has damaged chunks, so it isn't certain where its audio begins; {_AS_RAW}")


def _follows_format(file: BinaryIO, info: WavInfo) -> bool:
    file.seek(0)
    at = file.read(info.data_offset).rfind(b"fmt ")
    length = int.from_bytes(_read_at(file, at + 4, 4), "big" if info.big_endian else "little")
    return next_chunk(file, at + CHUNK.size + length, length) == info.data_offset


def _check_following_audio(file: BinaryIO, info: WavInfo) -> None:
    """Raise ListenctlError if another file follows the declared audio."""
    begin = info.data_offset + (info.data_bytes or 0)
    if container := sound_container(_read_at(file, begin, OPENING_BYTES)):
        raise ListenctlError(
            f"{file.name}: has {container} data after its audio, at byte {begin}; split the file there"
        )


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _write_copy(file: BinaryIO, path: Path, output: Path | None, diagnosis: WavDiagnosis) -> Path:
    copy = NewFile(create_new(output), output) if output else create_numbered(_default_output(path))
    try:
        with os.fdopen(copy.fd, "wb", closefd=False) as target:
            target.write(wav_header(diagnosis.format, diagnosis.data_bytes))
            _copy(file, target, diagnosis)
        os.fsync(copy.fd)
    except BaseException:
        remove_new_file(copy)
        raise
    os.close(copy.fd)
    return copy.path


def _default_output(path: Path) -> Path:
    name = path.stem if path.suffix.lower() in FORMATS_BY_EXTENSION else path.name
    return path.with_name(f"{name}.recovered.wav")


def _copy(source: BinaryIO, target: BinaryIO, diagnosis: WavDiagnosis) -> None:
    source.seek(diagnosis.data_offset)
    left = diagnosis.data_bytes
    while left:
        block = source.read(min(left, _BLOCK_BYTES))
        if not block:
            raise ListenctlError(
                f"{source.name}: became shorter while it was read; try again when nothing writes to it"
            )
        target.write(_swapped(block) if diagnosis.big_endian else block)
        left -= len(block)


def _swapped(samples: bytes) -> bytes:
    values = array("h", samples)
    values.byteswap()
    return values.tobytes()
