"""
Recordings while they are made: files that can be played at every moment, also after ``kill -9``.

Audio is appended and then the header overwritten in place, so the header never promises what isn't there. Positions in
a recording follow those of the call, less what a full disk cost and more where silence was put in for a pause.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from listenctl.media.channel_layout import ChannelLayout, ChannelMap
from listenctl.media.files.new_files import NewFile, create_recording_files, remove_new_file
from listenctl.media.files.wav_header import HEADER_BYTES, wav_header
from listenctl.protocol.audio import AudioFormat

# How much audio may be in the file that its header doesn't tell of yet.
HEADER_LAG = 0.25


class WavFile:
    """
    One WAV on disk. Every method either does what it says or raises OSError and leaves the file as valid as it was.

    Args:
        claimed: a new, empty file, which is this object's from now on.
    """

    def __init__(self, claimed: NewFile, audio_format: AudioFormat) -> None:
        self.path = claimed.path
        self._fd = claimed.fd
        self._format = audio_format
        self._lag = int(HEADER_LAG * audio_format.byte_rate)
        self._told = -1
        self._overhang = False  # whether a failed write may have left something behind the audio
        self.size = 0
        self.write_header()

    def append_audio(self, data: bytes) -> None:
        """Add audio; the header follows when enough has come together."""
        size = self.size
        try:
            _write_all(self._fd, data, HEADER_BYTES + size)
            self.size += len(data)
            if self.size - self._told >= self._lag:
                self.write_header()
        except OSError:
            self.size = size
            self._overhang = True
            raise

    def write_header(self) -> None:
        """Make the header tell of all audio so far."""
        if self._told != self.size:
            _write_all(self._fd, wav_header(self._format, self.size), 0)
            self._told = self.size

    def append_silence(self, length: int) -> None:
        """Add ``length`` bytes of silence, which take no room on the disk."""
        self._cut_overhang()
        os.ftruncate(self._fd, HEADER_BYTES + self.size + length)
        self.size += length
        self.write_header()

    def make_room(self, at: int, length: int) -> None:
        """Reserve the room that ``insert_silence`` needs, so that a full disk shows before anything is moved."""
        self._cut_overhang()
        self._overhang = True
        if self.size > at:
            os.posix_fallocate(self._fd, HEADER_BYTES + at + length, self.size - at)

    def insert_silence(self, at: int, length: int) -> None:
        """Move what follows byte ``at`` of the audio by ``length`` bytes and leave silence there."""
        self.make_room(at, length)
        tail = os.pread(self._fd, self.size - at, HEADER_BYTES + at)
        # The moved audio first: until the header is written, the file is what it was.
        _write_all(self._fd, tail, HEADER_BYTES + at + length)
        if not tail:
            os.ftruncate(self._fd, HEADER_BYTES + at + length)
        _write_all(self._fd, bytes(min(length, len(tail))), HEADER_BYTES + at)
        self.size += length
        self.write_header()

    def remove_last(self, length: int) -> None:
        """Take back the last ``length`` bytes, because another file of the same call couldn't take its own."""
        self.size -= length
        self._overhang = True

    def change_format(self, audio_format: AudioFormat) -> None:
        """Say that the bytes are of another format, because the metadata came late."""
        self._format = audio_format
        self._lag = int(HEADER_LAG * audio_format.byte_rate)
        self._told = -1
        self.write_header()

    def sync(self) -> None:
        """Have everything on the disk itself, so that it survives a power cut."""
        self.write_header()
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; it stays as it is."""
        try:
            self.write_header()
            self._cut_overhang()
        finally:
            os.close(self._fd)

    def _cut_overhang(self) -> None:
        if self._overhang:
            self.write_header()
            os.ftruncate(self._fd, HEADER_BYTES + self.size)
            self._overhang = False


@dataclass(frozen=True, slots=True)
class PositionShift:
    """From call position ``position`` on, the file is ``offset`` samples ahead of the call."""

    position: int
    offset: int


@dataclass(frozen=True, slots=True)
class UnrecordedAudio:
    """From call position ``position`` on, ``samples`` samples per channel couldn't be written."""

    position: int
    samples: int


class Recording:
    """
    The files of one call: one, or two where the channels are split.

    Args:
        path: where it should go, as a WAV; a taken name gets `-2`.
        final_extension: of what the WAV will be made into.
        fill: whether what is missing is replaced by silence.

    Raises:
        OSError: no file can be made.
    """

    def __init__(
        self,
        path: Path,
        audio_format: AudioFormat,
        *,
        layout: ChannelLayout = ChannelLayout.AS_IS,
        final_extension: str = ".wav",
        fill: bool = False,
    ) -> None:
        self.layout = layout
        self.fill = fill
        self.shifts: list[PositionShift] = []
        self.losses: list[UnrecordedAudio] = []
        self._set_format(audio_format)
        self._next = 0
        claims = create_recording_files(path, self._map.labels, final_extension)
        try:
            self.files = [WavFile(claimed, self._map.output_format) for claimed in claims]
        except OSError:
            for claimed in claims:
                remove_new_file(claimed)
            raise

    def _set_format(self, audio_format: AudioFormat) -> None:
        self.audio_format = audio_format
        self._map = ChannelMap(self.layout, audio_format)

    @property
    def output_format(self) -> AudioFormat:
        """Format of each file."""
        return self._map.output_format

    @property
    def warning(self) -> str | None:
        """Why the channels aren't laid out as asked, if they aren't."""
        return self._map.warning

    @property
    def paths(self) -> list[Path]:
        """The files, left before right."""
        return [file.path for file in self.files]

    @property
    def sidecar_path(self) -> Path:
        """Where the description of the recording belongs: `NAME.json` beside `NAME.wav`."""
        path = self.files[0].path
        return path.with_name(path.stem.removesuffix(self._map.labels[0]) + ".json")

    @property
    def lost_samples(self) -> int:
        """Samples per channel that couldn't be written."""
        return sum(loss.samples for loss in self.losses)

    @property
    def position(self) -> int:
        """Up to where the call has been recorded, in its own samples per channel."""
        return self._next

    @property
    def samples(self) -> int:
        """Samples per channel in each file."""
        return self.output_format.samples(self.files[0].size)

    @property
    def size(self) -> int:
        """Bytes of audio in all files."""
        return sum(file.size for file in self.files)

    def write_audio(self, position: int, data: bytes) -> None:
        """
        Record whole sample frames that begin at ``position`` of the call.

        What wasn't written before ``position`` is missing from the file; with ``fill`` it is silence there.

        Raises:
            OSError: nothing of ``data`` was recorded.
        """
        self.skip_to(position)
        outputs = self._map.apply(data)
        # Late metadata may say that a call with two files has one channel.
        outputs += [bytes(len(outputs[0]))] * (len(self.files) - len(outputs))
        self._append(outputs)
        self._next = position + len(data) // self.audio_format.frame_bytes

    def skip_to(self, position: int) -> None:
        """Leave out what wasn't written before ``position`` of the call; with ``fill`` it becomes silence."""
        missing = position - self._next
        if missing <= 0:
            return
        if self.fill:
            for file in self.files:
                file.append_silence(missing * self.output_format.frame_bytes)
        else:
            self._shift(position, -missing)
        self.losses.append(UnrecordedAudio(self._next, missing))
        self._next = position

    def insert_silence(self, position: int, samples: int) -> None:
        """Put silence where audio is missing, ``samples`` long, before what came at ``position`` of the call."""
        at = min(self.file_position(position), self.samples) * self.output_format.frame_bytes
        length = samples * self.output_format.frame_bytes
        for file in self.files:
            file.make_room(at, length)
        for file in self.files:
            file.insert_silence(at, length)
        self._shift(position, samples)

    def change_format(self, audio_format: AudioFormat) -> None:
        """Read the bytes so far as ``audio_format``, because the metadata came late."""
        ratio = self.audio_format.frame_bytes / audio_format.frame_bytes
        if self._map.output_format == self.audio_format:
            self.layout = ChannelLayout.AS_IS  # What was rearranged already stays so; all else isn't any more.
        self._set_format(audio_format)
        self._next = int(self._next * ratio)
        self.losses = [UnrecordedAudio(int(loss.position * ratio), int(loss.samples * ratio)) for loss in self.losses]
        self.shifts = [PositionShift(int(shift.position * ratio), int(shift.offset * ratio)) for shift in self.shifts]
        for file in self.files:
            file.change_format(self.output_format)
        if ahead := self.samples - self.file_position(self._next):
            self._shift(self._next, ahead)

    def file_position(self, position: int) -> int:
        """Return where in the files the audio at ``position`` of the call is."""
        return position + sum(shift.offset for shift in self.shifts if shift.position <= position)

    def sync(self) -> None:
        """Have all files on the disk itself."""
        for file in self.files:
            file.sync()

    def close(self) -> None:
        """Finish all files."""
        for file in self.files:
            file.close()

    def _shift(self, position: int, offset: int) -> None:
        self.shifts.append(PositionShift(position, offset))

    def _append(self, outputs: Sequence[bytes]) -> None:
        for index, (file, output) in enumerate(zip(self.files, outputs, strict=True)):
            try:
                file.append_audio(output)
            except OSError:
                for written in self.files[:index]:
                    written.remove_last(len(output))
                raise


def _write_all(fd: int, data: bytes, offset: int) -> None:
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        # A short write is how a disk that fills up shows first; the next one says why.
        written += os.pwrite(fd, data[written:], offset + written)
