"""
Decrypt recordings and their sidecars, in bounded memory.

Whatever is whole is kept. What was removed becomes silence, so that the rest stays where it was, and all that is wrong
is said.
"""

import io
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from listenctl.errors import ListenctlError
from listenctl.json_lines import json_document
from listenctl.media.encryption.age_keys import AGE_MAGIC, AgeIdentities
from listenctl.media.encryption.encrypted_messages import AudioMessage, MessageReader
from listenctl.media.files.new_files import NewFile, create_new, make_private_folder, remove_new_file, write_all
from listenctl.media.files.recording_names import ENCRYPTED_EXTENSION
from listenctl.media.files.sidecar import MAX_SIDECAR_BYTES
from listenctl.media.files.wav_header import stream_header
from listenctl.media.files.wav_recording import WavFile
from listenctl.protocol.audio import MIN_RATE, AudioFormat
from listenctl.protocol.peer_json import UNBOUNDED, decode, list_in, object_in

MAX_MOVED = 64 << 20
"""Bytes of audio that silence is inserted before; more only a forged recording asks for."""
MAX_PROBLEMS = 10
_SIDE_LABELS = ("-left", "-right")


class DecryptedAudioTarget(Protocol):
    """Takes the decrypted audio; ``size`` counts its bytes."""

    size: int

    def append_audio(self, data: bytes) -> None: ...

    def append_silence(self, length: int) -> None: ...

    def insert_silence(self, at: int, length: int) -> None: ...

    def change_format(self, audio_format: AudioFormat) -> None: ...

    def close(self) -> None: ...


class AudioPipe:
    """Writes decrypted audio as a WAV of unknown length to a pipe, which takes nothing back."""

    def __init__(self, fd: int, audio_format: AudioFormat) -> None:
        self.size = 0
        self._fd = fd
        self._format = audio_format
        self._write(stream_header(audio_format))

    def append_audio(self, data: bytes) -> None:
        self._write(data)
        self.size += len(data)

    def append_silence(self, length: int) -> None:
        while length:
            block = min(length, 1 << 16)
            self.append_audio(bytes(block))
            length -= block

    def insert_silence(self, at: int, length: int) -> None:  # noqa: ARG002
        raise ListenctlError(
            "has silence that was inserted before audio that is already written (--pauses fill); decrypt it to a file"
        )

    def change_format(self, audio_format: AudioFormat) -> None:
        if audio_format != self._format:
            raise ListenctlError("has a format that changed after its first audio; decrypt it to a file")

    def close(self) -> None:
        """Leave the descriptor open: it isn't ours."""

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]


@dataclass(frozen=True, slots=True)
class DecryptedRecording:
    """What was decrypted; nothing is wrong with a recording without ``problems``."""

    output: Path | None  # None for stdout
    seconds: float
    problems: Sequence[str]


def decrypt_recording(path: Path, keys: AgeIdentities, output: Path | None) -> DecryptedRecording:
    """
    Decrypt a recording to the new file ``output``, or to stdout, and its sidecar beside that.

    Raises ListenctlError if nothing of it can be decrypted, or if it can't be written; nothing is left then.
    """
    with _open(path) as file:
        reader = MessageReader(file)
        if not reader.read_first_line():
            raise ListenctlError(f"{path}: is not an encrypted recording of listenctl")
        decryption = _Decryption(path, output)
        try:
            for data in reader.read_messages():
                decryption.take_message(keys.decrypt(data))
            decryption.end(reader)
        except BaseException as exc:
            decryption.discard()
            if isinstance(exc, OSError):
                raise ListenctlError(f"{output or 'stdout'}: can't be written: {exc.strerror}") from exc
            raise
    problems = decryption.problems
    if output is not None and (problem := _decrypt_sidecar_of(path, keys, output)):
        problems.append(problem)
    return DecryptedRecording(output, decryption.seconds, problems)


def decrypt_sidecar(path: Path, keys: AgeIdentities, output: Path) -> None:
    """Decrypt the sidecar of a recording, or any small age file, to a new file."""
    _write_new(output, _decrypt_small_file(path, keys))


def is_encrypted_recording(path: Path) -> bool:
    """Return whether a file is a recording, rather than a sidecar; raises ListenctlError if it is neither."""
    with _open(path) as file:
        start = file.read(len(AGE_MAGIC))
        file.seek(0)
        if MessageReader(file).read_first_line():
            return True
    if start == AGE_MAGIC:
        return False
    raise ListenctlError(f"{path}: is neither an encrypted recording nor an encrypted sidecar")


def sidecar_names(name: str) -> Sequence[str]:
    """Return the names that the encrypted sidecar of a recording may have."""
    stem = name.removesuffix(f".wav{ENCRYPTED_EXTENSION}")
    stems = [stem, *(stem.removesuffix(label) for label in _SIDE_LABELS if stem.endswith(label))]
    return [f"{stem}.json{ENCRYPTED_EXTENSION}" for stem in stems]


class _Decryption:
    """Puts the messages of one recording together again."""

    def __init__(self, path: Path, output: Path | None) -> None:
        self.problems: list[str] = []
        self.seconds = 0.0
        self._path = path
        self._output = output
        self._target: DecryptedAudioTarget | None = None
        self._new_file: NewFile | None = None
        self._format = AudioFormat(MIN_RATE, 1)
        self._file_id: str | None = None
        self._next = 0
        self._undecrypted = 0  # since the last message that could be decrypted
        self._has_messages = self._has_last = False

    def take_message(self, plain: bytes | None) -> None:
        self._has_messages = True
        message = None if plain is None else AudioMessage.parse(plain)
        if message is None:
            self._undecrypted += 1
            return
        self._file_id = self._file_id or message.file
        if message.file != self._file_id:
            self._add_problem(f"a message of another recording is at {self._place()}; it is left out")
        elif message.number < self._next:
            self._add_problem(f"message {message.number} is at {self._place()}, repeated or too late; it is left out")
        else:
            self._add_audio(message)

    def end(self, reader: MessageReader) -> None:
        if self._target is None:
            if self._has_messages:
                raise ListenctlError(
                    f"{self._path}: can't be decrypted with this key: it is for other recipients, or damaged"
                )
            raise ListenctlError(f"{self._path}: has no audio: it ends before its first whole message")
        if not self._has_last:
            lost = "; what is after that can't be decrypted" if self._undecrypted or reader.skipped_bytes else ""
            self._add_problem(
                f"it ends at {self._place()} without its last message{lost}: it was being recorded, the recorder was "
                "killed, or the file was cut"
            )
        elif self._undecrypted or reader.skipped_bytes or not reader.ended:
            self._add_problem("there are bytes in it that belong to no whole message")
        self._target.close()

    def discard(self) -> None:
        if self._new_file is not None:
            with suppress(OSError):
                remove_new_file(self._new_file)

    def _add_audio(self, message: AudioMessage) -> None:
        target = self._target = self._target or self._open_target(message.audio_format)
        if message.audio_format != self._format:
            self._format = message.audio_format
            target.change_format(message.audio_format)
        missing = message.number - self._next
        self._next = message.number + 1
        if missing:
            length = max(0, message.at - target.size)
            seconds = length / self._format.byte_rate
            numbers = (
                f"messages {self._next - 1 - missing} to {self._next - 2} are"
                if missing > 1
                else (f"message {self._next - 2} is")
            )
            self._add_problem(f"{numbers} missing or damaged at {self._place()}; {seconds:.2f} s there are silence")
            self._undecrypted = 0
        self._has_last |= message.last
        if message.at > target.size:
            target.append_silence(message.at - target.size)
        if message.at < target.size:
            self._insert(target, message)
        else:
            if message.silence:
                target.append_silence(message.silence)
            if message.audio:
                target.append_audio(message.audio)
        self.seconds = target.size / self._format.byte_rate

    def _insert(self, target: DecryptedAudioTarget, message: AudioMessage) -> None:
        if message.audio or target.size - message.at > MAX_MOVED:
            self._add_problem(f"message {message.number} doesn't fit at {self._place()}; it is left out")
        elif message.silence:
            target.insert_silence(message.at, message.silence)

    def _open_target(self, audio_format: AudioFormat) -> DecryptedAudioTarget:
        self._format = audio_format
        if self._output is None:
            return AudioPipe(1, audio_format)
        self._new_file = NewFile(_create(self._output), self._output)
        return WavFile(self._new_file, audio_format)

    def _place(self) -> str:
        return f"{self.seconds:.2f} s"

    def _add_problem(self, text: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(text)


class _InputFile(io.BufferedReader):
    """An encrypted file; raises ListenctlError if it can't be read, so that OSError is of the output."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(io.FileIO(path))

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return super().read(size)
        except OSError as exc:
            raise ListenctlError(f"{self._path}: can't be read: {exc.strerror}") from exc


def _open(path: Path) -> _InputFile:
    try:
        return _InputFile(path)
    except (OSError, ValueError) as exc:
        raise ListenctlError(f"{path}: can't be read: {exc.strerror if isinstance(exc, OSError) else exc}") from exc


def _create(path: Path) -> int:
    try:
        make_private_folder(path.parent)
        return create_new(path)
    except FileExistsError as exc:
        raise ListenctlError(f"{path}: already exists; remove it, or name another file with --output") from exc


def _write_new(path: Path, data: bytes) -> None:
    try:
        new_file = NewFile(_create(path), path)
        try:
            write_all(new_file.fd, data, 0)
        except OSError:
            remove_new_file(new_file)
            raise
        os.close(new_file.fd)
    except OSError as exc:
        raise ListenctlError(f"{path}: can't be written: {exc.strerror}") from exc


def _decrypt_small_file(path: Path, keys: AgeIdentities) -> bytes:
    with _open(path) as file:
        data = file.read(2 * MAX_SIDECAR_BYTES)
    plain = keys.decrypt(data)
    if plain is None:
        raise ListenctlError(f"{path}: can't be decrypted with this key: it is for other recipients, or damaged")
    return plain


def _decrypt_sidecar_of(path: Path, keys: AgeIdentities, output: Path) -> str:
    """Decrypt the sidecar of a recording beside its audio; return what is wrong, empty if nothing is."""
    found = next((at for name in sidecar_names(path.name) if (at := path.with_name(name)).is_file()), None)
    if found is None:
        return "its sidecar is missing"
    try:
        data = _decrypt_small_file(found, keys)
        stem = output.stem
        if found.name != sidecar_names(path.name)[0]:  # One of two files, which share it.
            stem = stem.removesuffix("-left").removesuffix("-right")
        sidecar = output.with_name(f"{stem}.json")
        data = _name_audio(data, output.name)
        if not (sidecar.is_file() and sidecar.read_bytes() == data):
            _write_new(sidecar, data)
    except ListenctlError as exc:
        return str(exc)
    return ""


def _name_audio(data: bytes, name: str) -> bytes:
    """Return a sidecar that names the decrypted file, if that got another name; one of two files keeps its name."""
    fields, _ = decode(data.decode(errors="replace"), max_items=UNBOUNDED) or (None, 0)
    if not isinstance(fields, dict):
        raise ListenctlError("its sidecar is damaged")
    audio = object_in(fields, "audio")
    if len(list_in(audio, "files")) != 1 or audio["files"] == [name]:
        return data
    return json_document(fields | {"audio": audio | {"files": [name]}}).encode()
