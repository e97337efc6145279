"""The files of one extracted call: they share a name, and replace no existing file."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from listenctl.errors import ListenctlError
from listenctl.media.files.convert_recording import Conversion, convert_wav
from listenctl.media.files.kept_names import replace_file
from listenctl.media.files.new_files import NewFile, create_new, find_free_number, make_private_folder, numbered
from listenctl.media.files.sidecar import Sidecar
from listenctl.media.files.wav_recording import WavFile
from listenctl.protocol.audio import AudioFormat


class ExtractedPart(StrEnum):
    """What a file contains; the end of its name."""

    JAMBONZ = ".jambonz"
    APPLICATION = ".application"
    BOTH = ".both"


class ExtractedFiles:
    """Write the files of one call, as `NAME-2` if any of them exists; every method raises ListenctlError on failure."""

    def __init__(self, path: Path, extension: str) -> None:
        self._extension = extension  # of the format that the WAV files are converted to
        self._wavs: dict[ExtractedPart, WavFile] = {}
        with _os_errors_of(path.parent):
            make_private_folder(path.parent)
        self._base = self._free_base(str(path.with_suffix("")))

    def path_of(self, part: ExtractedPart) -> Path | None:
        wav = self._wavs.get(part)
        return wav.path if wav else None

    def append_audio(self, part: ExtractedPart, audio_format: AudioFormat, data: bytes, *, silence: int = 0) -> None:
        """Append audio after ``silence`` bytes of silence; the format of the first call is used."""
        with _os_errors_of(self._name(part, ".wav")):
            wav = self._wavs.get(part) or self._open(part, audio_format)
            if silence:
                wav.append_silence(silence)
            wav.append_audio(data)

    def change_format(self, part: ExtractedPart, audio_format: AudioFormat) -> None:
        """Declare that the bytes so far are of another format."""
        if wav := self._wavs.get(part):
            with _os_errors_of(wav.path):
                wav.change_format(audio_format)

    def size_of(self, part: ExtractedPart) -> int:
        wav = self._wavs.get(part)
        return wav.size if wav else 0

    def close(self) -> None:
        for wav in self._wavs.values():
            with _os_errors_of(wav.path):
                wav.close()

    def delete_files(self) -> None:
        """Close and remove the files, because what they have is no call."""
        self.close()
        for wav in self._wavs.values():
            with _os_errors_of(wav.path), suppress(FileNotFoundError):
                wav.path.unlink()

    def convert_files(self, tags: Mapping[str, str]) -> dict[ExtractedPart, Conversion]:
        """Convert the WAV files to the requested format and remove them; call ``close`` before."""
        return {part: self._convert(wav.path, tags) for part, wav in self._wavs.items()}

    def write_sidecar(self, sidecar: Sidecar) -> Path:
        path = Path(f"{self._base}.json")
        with _os_errors_of(path):
            replace_file(path, sidecar.serialize())
        return path

    def _open(self, part: ExtractedPart, audio_format: AudioFormat) -> WavFile:
        path = self._name(part, ".wav")
        wav = self._wavs[part] = WavFile(NewFile(create_new(path), path), audio_format)
        return wav

    def _convert(self, wav: Path, tags: Mapping[str, str]) -> Conversion:
        if self._extension == ".wav":
            return Conversion(wav)
        kind = self._extension[1:].replace("opus", "ogg")
        conversion = convert_wav(wav, wav.with_suffix(self._extension), kind, tags)
        if conversion.path != wav:
            with suppress(FileNotFoundError):
                wav.unlink()
        return conversion

    def _free_base(self, stem: str) -> str:
        endings = [f"{part}{extension}" for part in ExtractedPart for extension in {".wav", self._extension}]

        def is_taken(number: int) -> bool:
            return any(os.path.lexists(f"{numbered(stem, number)}{ending}") for ending in (".json", *endings))

        return numbered(stem, find_free_number(is_taken))

    def _name(self, part: ExtractedPart, extension: str) -> Path:
        return Path(f"{self._base}{part}{extension}")


@contextmanager
def _os_errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise ListenctlError(f"{path}: can't be written: {reason}; make room, or name another folder") from exc
