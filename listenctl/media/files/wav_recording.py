"""
Growing recordings, playable at every moment: audio is appended before the header is overwritten in place.
A position in the file is the position in the call, less what a full disk lost, plus inserted silence.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.media.channel_layout import ChannelLayout, ChannelMap
from listenctl.media.files.growing_file import GrowingFile
from listenctl.media.files.new_files import NewFile, create_recording_files, remove_new_files, write_all
from listenctl.media.files.recording_names import ENCRYPTED_EXTENSION
from listenctl.media.files.wav_header import HEADER_BYTES, GrowingHeader
from listenctl.protocol.audio import AudioFormat

if TYPE_CHECKING:
    from listenctl.media.encryption.age_keys import AgeRecipients

HEADER_LAG = 0.25
"""Seconds of audio in the file that the header may not count yet, so that short pieces need no header each."""


class WavFile(GrowingFile):
    """One WAV on disk. A method that raises OSError leaves the file as valid as it was."""

    def __init__(self, new_file: NewFile, audio_format: AudioFormat, header_lag: float = HEADER_LAG) -> None:
        super().__init__(new_file)
        self._overhang = False  # whether a failed write may have left bytes after the audio
        self._header_lag = header_lag
        self._counted = -1  # bytes of audio that the header counts
        self.change_format(audio_format)

    def append_audio(self, data: bytes) -> None:
        """Append audio; the header is updated every ``header_lag`` seconds of it."""
        size = self.size
        try:
            write_all(self._fd, data, HEADER_BYTES + size)
            self.size += len(data)
            if self.size - self._counted >= self._lag:
                self.write_header()
        except OSError:
            self.size = size
            self._overhang = True
            raise

    def write_header(self) -> None:
        if self._counted != self.size:
            write_all(self._fd, self._header.of_size(self.size), 0)
            self._counted = self.size

    def append_silence(self, length: int) -> None:
        """Append ``length`` bytes of silence, which take no space on disk."""
        self._cut_overhang()
        os.ftruncate(self._fd, HEADER_BYTES + self.size + length)
        self.size += length
        self.write_header()

    def reserve_space(self, at: int, length: int) -> None:
        """Reserve the space for ``insert_silence``, so that a full disk is noticed before anything is moved."""
        self._cut_overhang()
        self._overhang = True
        if self.size > at:
            os.posix_fallocate(self._fd, HEADER_BYTES + at + length, self.size - at)

    def insert_silence(self, at: int, length: int) -> None:
        self.reserve_space(at, length)
        tail = os.pread(self._fd, self.size - at, HEADER_BYTES + at)
        # The moved audio is written first: until the header is written, the file is what it was.
        write_all(self._fd, tail, HEADER_BYTES + at + length)
        if not tail:
            os.ftruncate(self._fd, HEADER_BYTES + at + length)
        write_all(self._fd, bytes(min(length, len(tail))), HEADER_BYTES + at)
        self.size += length
        self.write_header()

    def remove_last(self, length: int) -> None:
        """Remove the last ``length`` bytes, because another file of the same call could not be written."""
        self.size -= length
        self._overhang = True

    def change_format(self, audio_format: AudioFormat) -> None:
        self._header = GrowingHeader(audio_format)
        self._lag = int(self._header_lag * audio_format.byte_rate)
        self._counted = -1
        self.write_header()

    def sync(self) -> None:
        self.write_header()
        os.fsync(self._fd)

    def complete_audio(self) -> None:
        self.write_header()
        self._cut_overhang()

    def _cut_overhang(self) -> None:
        if self._overhang:
            self.write_header()
            os.ftruncate(self._fd, HEADER_BYTES + self.size)
            self._overhang = False


@dataclass(frozen=True, slots=True)
class PositionShift:
    """From this position of the call on, the file is ``offset`` samples ahead of the call."""

    position: int
    offset: int


@dataclass(frozen=True, slots=True)
class UnrecordedAudio:
    position: int
    samples: int


class Recording:
    """The recording of one call: one file, or two if the channels are split; a name that is taken gets `-2`."""

    def __init__(
        self,
        path: Path,
        audio_format: AudioFormat,
        *,
        layout: ChannelLayout = ChannelLayout.AS_IS,
        final_extension: str = ".wav",
        fill: bool = False,
        recipients: "AgeRecipients | None" = None,
    ) -> None:
        self.layout = layout
        self.fill = fill
        self._added_extension = ENCRYPTED_EXTENSION if recipients else ""
        self.shifts: list[PositionShift] = []
        self.losses: list[UnrecordedAudio] = []
        self._set_format(audio_format)
        self.position = 0
        """How far the call has been recorded, in its own samples per channel."""
        new_files = create_recording_files(
            path, self._map.labels, final_extension, added_extension=self._added_extension
        )
        try:
            self.files = [_growing_file(new_file, self.output_format, recipients) for new_file in new_files]
        except OSError:
            remove_new_files(new_files)
            raise

    def _set_format(self, audio_format: AudioFormat) -> None:
        self.audio_format = audio_format
        self._map = ChannelMap(self.layout, audio_format)
        self.output_format, self.warning = self._map.output_format, self._map.warning

    @property
    def paths(self) -> list[Path]:
        return [file.path for file in self.files]

    @property
    def sidecar_path(self) -> Path:
        path = self.files[0].path
        stem = Path(self.plain_names[0]).stem.removesuffix(self._map.labels[0])
        return path.with_name(f"{stem}.json{self._added_extension}")

    @property
    def plain_names(self) -> list[str]:
        """The names of the files, those that they have when they are decrypted."""
        return [path.name.removesuffix(self._added_extension) for path in self.paths]

    @property
    def lost_samples(self) -> int:
        return sum(loss.samples for loss in self.losses)

    @property
    def samples(self) -> int:
        return self.output_format.samples_in(self.files[0].size)

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def write_audio(self, position: int, data: bytes) -> None:
        """
        Record whole sample frames that begin at ``position`` of the call; what is missing before it is left out, or
        silence with ``fill``. Raises OSError if nothing of ``data`` was recorded.
        """
        self.skip_to(position)
        outputs = self._map.rearrange(data)
        if len(outputs) < len(self.files):  # Late metadata may reveal that a call with two files has one channel.
            outputs.append(bytes(len(outputs[0])))
        self._append(outputs)
        self.position = position + len(data) // self.audio_format.frame_bytes

    def skip_to(self, position: int) -> None:
        """Skip audio before ``position`` of the call that was not written; with ``fill`` it becomes silence."""
        missing = position - self.position
        if missing <= 0:
            return
        if self.fill:
            for file in self.files:
                file.append_silence(missing * self.output_format.frame_bytes)
        else:
            self.shifts.append(PositionShift(position, -missing))
        self.losses.append(UnrecordedAudio(self.position, missing))
        self.position = position

    def insert_silence(self, position: int, samples: int) -> None:
        at = min(self.file_position(position), self.samples) * self.output_format.frame_bytes
        length = samples * self.output_format.frame_bytes
        for file in self.files:
            file.reserve_space(at, length)
        for file in self.files:
            file.insert_silence(at, length)
        self.shifts.append(PositionShift(position, samples))

    def change_format(self, audio_format: AudioFormat) -> None:
        ratio = self.audio_format.frame_bytes / audio_format.frame_bytes
        if self.output_format == self.audio_format:
            self.layout = ChannelLayout.AS_IS  # Audio that was already rearranged stays so.
        self._set_format(audio_format)
        self.position = int(self.position * ratio)
        self.losses = [UnrecordedAudio(int(loss.position * ratio), int(loss.samples * ratio)) for loss in self.losses]
        self.shifts = [PositionShift(int(shift.position * ratio), int(shift.offset * ratio)) for shift in self.shifts]
        for file in self.files:
            file.change_format(self.output_format)
        if ahead := self.samples - self.file_position(self.position):
            self.shifts.append(PositionShift(self.position, ahead))

    def file_position(self, position: int) -> int:
        return position + sum(shift.offset for shift in self.shifts if shift.position <= position)

    def sync(self) -> None:
        for file in self.files:
            file.sync()

    def keeps_names(self) -> bool:
        """Return whether the names still lead to the files."""
        return all(file.keeps_name() for file in self.files)

    def finish_files(self, *, names_kept: bool = False) -> list[Path]:
        """
        Complete the files; return those that had lost their names. Raises OSError; it can be tried again.

        Args:
            names_kept: ``keeps_names`` has just returned True.
        """
        if names_kept:
            for file in self.files:
                file.complete_audio()
            return []
        return [file.path for file in self.files if file.finish_file()]

    def close(self) -> None:
        """Close every file, then raise OSError if one failed; a second time it does nothing."""
        errors: list[OSError] = []
        for file in self.files:
            try:
                file.close()
            except OSError as exc:
                errors.append(exc)
        if errors:
            raise errors[0]

    def _append(self, outputs: Sequence[bytes]) -> None:
        for index, (file, output) in enumerate(zip(self.files, outputs, strict=True)):
            try:
                file.append_audio(output)
            except OSError:
                for written in self.files[:index]:
                    written.remove_last(len(output))
                raise


def _growing_file(new_file: NewFile, audio_format: AudioFormat, recipients: "AgeRecipients | None") -> GrowingFile:
    if recipients is not None:
        from listenctl.media.encryption.encrypted_file import EncryptedFile

        return EncryptedFile(new_file, audio_format, recipients)
    # What is written here has waited long enough: a crash must not cost it.
    return WavFile(new_file, audio_format, header_lag=0)
