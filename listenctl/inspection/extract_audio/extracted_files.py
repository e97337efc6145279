"""The files into which the sound of one call is extracted: all of one name, and nothing overwritten."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from itertools import count
from pathlib import Path

from listenctl.errors import ListenctlError
from listenctl.media.files.convert_recording import Conversion, convert_wav
from listenctl.media.files.new_files import NewFile, create_new, make_private_folder
from listenctl.media.files.sidecar import Sidecar
from listenctl.media.files.wav_recording import WavFile
from listenctl.protocol.audio import AudioFormat


class ExtractedPart(StrEnum):
    """What a file holds; its name ends so."""

    JAMBONZ = ".jambonz"
    APPLICATION = ".application"
    BOTH = ".both"


class ExtractedFiles:
    """
    The WAVs of one call while they are made; every method raises ListenctlError where a disk fails.

    Args:
        path: the name they have in common, as a WAV; where any of them is taken it becomes `NAME-2`.
        extension: of the format that is made of each WAV in the end.
    """

    def __init__(self, path: Path, extension: str) -> None:
        self._extension = extension
        self._wavs: dict[ExtractedPart, WavFile] = {}
        with _told(path.parent):
            make_private_folder(path.parent)
        self._base = self._free_base(str(path.with_suffix("")))

    def path(self, part: ExtractedPart) -> Path | None:
        """Return the WAV of a part; None where there is none."""
        wav = self._wavs.get(part)
        return wav.path if wav else None

    def append(self, part: ExtractedPart, audio_format: AudioFormat, data: bytes, *, silence: int = 0) -> None:
        """Add audio, after ``silence`` bytes of silence; the format counts for the first of all."""
        with _told(self._name(part, ".wav")):
            wav = self._wavs.get(part) or self._open(part, audio_format)
            if silence:
                wav.append_silence(silence)
            wav.append_audio(data)

    def change_format(self, part: ExtractedPart, audio_format: AudioFormat) -> None:
        """Say that the bytes so far are of another format."""
        if wav := self._wavs.get(part):
            with _told(wav.path):
                wav.change_format(audio_format)

    def size(self, part: ExtractedPart) -> int:
        """Bytes of audio in a part."""
        wav = self._wavs.get(part)
        return wav.size if wav else 0

    def close(self) -> None:
        """Finish the WAVs."""
        for wav in self._wavs.values():
            with _told(wav.path):
                wav.close()

    def convert_files(self) -> dict[ExtractedPart, Conversion]:
        """Make the format that is wanted of every WAV, which goes; call it after ``close``."""
        return {part: self._convert(wav.path) for part, wav in self._wavs.items()}

    def write_sidecar(self, sidecar: Sidecar) -> Path:
        """Write the sidecar beside the audio."""
        path = Path(f"{self._base}.json")
        with _told(path), os.fdopen(create_new(path), "wb") as file:
            file.write(sidecar.serialize())
        return path

    def _open(self, part: ExtractedPart, audio_format: AudioFormat) -> WavFile:
        path = self._name(part, ".wav")
        wav = self._wavs[part] = WavFile(NewFile(create_new(path), path), audio_format)
        return wav

    def _convert(self, wav: Path) -> Conversion:
        if self._extension == ".wav":
            return Conversion(wav)
        conversion = convert_wav(wav, wav.with_suffix(self._extension), self._extension[1:].replace("opus", "ogg"))
        if conversion.path != wav:
            with suppress(FileNotFoundError):
                wav.unlink()
        return conversion

    def _free_base(self, stem: str) -> str:
        endings = [f"{part}{extension}" for part in ExtractedPart for extension in {".wav", self._extension}]
        for number in count(1):
            base = stem if number == 1 else f"{stem}-{number}"
            if not any(os.path.lexists(f"{base}{ending}") for ending in (*endings, ".json")):
                return base
        raise AssertionError("unreachable: numbers don't end")

    def _name(self, part: ExtractedPart, extension: str) -> Path:
        return Path(f"{self._base}{part}{extension}")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise ListenctlError(f"{path}: can't be written: {reason}; make room, or name another folder") from exc
