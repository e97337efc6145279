"""Repair WAV files with a broken header, as after a crash, in a copy beside the original."""

import os
from dataclasses import dataclass
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO

from listenctl.errors import ListenctlError
from listenctl.media.files.new_files import NewFile, create_new, create_numbered, remove_new_file
from listenctl.media.files.recording_names import FORMATS_BY_EXTENSION
from listenctl.media.files.wav_header import CHUNK, SIZE_LIMIT, WavInfo, is_chunk_id, read_header, wav_header
from listenctl.protocol.audio import AudioFormat

# An unknown length as written by ffmpeg and our pipes, by sox, by the jambonz API server (listenctl-protocol(7) 9.1).
_OPEN_SIZES = frozenset({SIZE_LIMIT, 0x7FFFF000, 4_294_967_195})
# Chunks that writers append to the audio; the name alone distinguishes them from samples, even if they are cut off.
_TRAILERS = frozenset({b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"cue ", b"fact", b"smpl", b"JUNK", b"PEAK"})
_MAX_TRAILERS = 100
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class WavDiagnosis:
    format: AudioFormat
    data_offset: int
    samples: int
    problems: tuple[str, ...]

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
        if assumed is None:
            raise ListenctlError(f"{exc}; audio without a header needs --raw, --sample-rate and --mix-type") from exc
        return _diagnosis(assumed, 0, size, ["it has no readable header"])
    if not info.is_pcm16:
        raise ListenctlError(f"{file.name}: holds {info.bits}-bit audio of type {info.encoding}, not 16-bit PCM")
    problems = []
    audio_bytes, problem = _audio_bytes(file, info, size)
    riff_end = info.riff_bytes + CHUNK.size
    if problem:
        problems.append(problem)
    # The pad byte of the last chunk may be missing.
    elif not info.data_offset + audio_bytes <= riff_end <= size + 1:
        problems.append(f"its header says that the file has {riff_end} bytes, but it has {size}")
    return _diagnosis(info.format, info.data_offset, audio_bytes, problems)


def _diagnosis(audio_format: AudioFormat, offset: int, audio_bytes: int, problems: list[str]) -> WavDiagnosis:
    if audio_bytes % audio_format.frame_bytes:
        problems.append("its audio ends in the middle of a sample")
    return WavDiagnosis(audio_format, offset, audio_format.samples_in(audio_bytes), tuple(problems))


def _audio_bytes(file: BinaryIO, info: WavInfo, size: int) -> tuple[int, str]:
    declared, held = info.data_bytes, size - info.data_offset
    if declared is None:
        return held, "its header has no data chunk"
    if declared <= held and _only_chunks_follow(file, info.data_offset + declared + declared % 2, size):
        return declared, ""
    if declared > held and declared in _OPEN_SIZES:
        return held, f"its header leaves the length open ({declared} bytes); the file holds {held}"
    return held, f"its header says {declared} bytes of audio, but the file holds {held}"


def _only_chunks_follow(file: BinaryIO, offset: int, size: int) -> bool:
    for _ in range(_MAX_TRAILERS):
        if offset >= size:
            return True
        file.seek(offset)
        head = file.read(CHUNK.size)
        if head[:4] in _TRAILERS:
            return True
        if len(head) < CHUNK.size or not is_chunk_id(head[:4]):
            return False
        _, length = CHUNK.unpack(head)
        offset += CHUNK.size + length + length % 2
        if offset > size + 1:
            return False
    return False


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
        target.write(block)
        left -= len(block)
