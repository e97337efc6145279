"""
One call's recording as the writer thread makes it: opened, written, mended, finished.

A disk that fails costs what it couldn't take and nothing else: the call goes on, and the recording resumes when it can.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TypeAlias

from listenctl.errors import ListenctlError
from listenctl.events import EventFields, RecordingFailedEvent, RecordingSavedEvent, WarningEvent
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.background_writer import Job
from listenctl.media.files.convert_recording import Conversion
from listenctl.media.files.new_files import NewFile, create_numbered
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.files.sidecar import Sidecar
from listenctl.media.files.wav_recording import Recording
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap_ledger import Gap
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.recording.recorded_sidecar import describe_recording, overwrite_sidecar

RETRY_AFTER = 1.0
# Creating a file is the dearest part of a recording. The sidecar is created when the call ends; of a call that has
# lasted this long, in seconds, it is also there before, in case that the process doesn't live to see the end.
INTERIM_AFTER = 10.0

Piece: TypeAlias = tuple[int, bytes]
"""Where in the call audio belongs, and the audio."""

AddJob = Callable[[Job], None]
"""Runs a job in the writer thread, when there is no audio to write."""

Tell = Callable[[EventFields], None]
"""Takes an event of the recording, in any thread."""


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """How calls are recorded; ``sync`` is ``never``, ``end``, or the seconds between two syncs."""

    destination: RecordingDestination
    layout: ChannelLayout = ChannelLayout.AS_IS
    fill: bool = False
    sync: str | float = "never"


class RecordingWriter:
    """
    Make one recording.

    Args:
        log: of the call; the sidecar is made from it, so at the end it must be complete.
    """

    def __init__(self, settings: RecordSettings, log: LiveCallLog, tell: Tell, later: AddJob) -> None:
        self._settings = settings
        self._log = log
        self._tell = tell
        self._later = later
        self._sidecar: NewFile | None = None
        self._interim_at: float = INTERIM_AFTER * log.audio_format.sample_rate
        self._format = log.audio_format
        self._recording: Recording | None = None
        self._failing = False
        self._retry_at = 0.0
        self._synced_at = time.monotonic()

    @property
    def path(self) -> str:
        """The file, or the first of two; empty while there is none."""
        return str(self._recording.paths[0]) if self._recording else ""

    def open(self) -> None:
        """Create the audio files; what fails is reported and tried again later."""
        settings, log = self._settings, self._log
        destination = settings.destination
        path = destination.wav_path(log.metadata.get_field, datetime.fromtimestamp(log.started_at, UTC))
        try:
            self._recording = Recording(
                path,
                self._format,
                layout=settings.layout,
                final_extension=destination.extension,
                fill=settings.fill,
            )
        except OSError as exc:
            self._fail(exc, path)

    def write(self, pieces: Sequence[Piece]) -> None:
        """Record audio; what the disk doesn't take is lost and counted."""
        for position, data in pieces:
            recording = self._recording or self._open_again()
            if recording is None:
                return
            try:
                recording.write_audio(position, data)
            except OSError as exc:
                self._fail(exc, recording.paths[0])
            else:
                self._note_success(recording)
                if recording.position >= self._interim_at:
                    self._interim_at = inf
                    self._later(self._describe_so_far)

    def note_backlog(self) -> None:
        """Report that audio is lost before it comes here, because the disk is too slow."""
        self._fail(OSError("the disk is too slow"), Path(self.path))

    def fill(self, gap: Gap) -> None:
        """Put silence where audio is missing."""
        if self._recording is not None:
            try:
                self._recording.insert_silence(gap.position, gap.missing)
            except OSError as exc:
                self._fail(exc, self._recording.paths[0])

    def change_format(self, audio_format: AudioFormat) -> None:
        """Read the bytes so far as another format, because the metadata came late."""
        self._format = audio_format
        if self._recording is not None:
            with suppress(OSError):  # The header is written again with the next audio.
                self._recording.change_format(audio_format)

    @property
    def takes_time(self) -> bool:
        """Whether ``finish`` takes so long that it belongs into another thread."""
        return self._settings.sync != "never" or self._settings.destination.kind != "wav"

    def finish(self) -> None:
        """Close the files, make the format that is wanted, describe it all; report what came of it."""
        if self._recording is None:
            self.open()
        recording = self._recording
        if recording is None:
            return
        try:
            self._close(recording)
            sidecar = describe_recording(self._log, recording)
            self._write_sidecar(recording, sidecar)
            if self._settings.destination.kind != "wav":
                sidecar = self._convert(recording, sidecar)
                self._write_sidecar(recording, sidecar)
        except (OSError, ListenctlError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            self._tell(RecordingFailedEvent(path=str(recording.paths[0]), reason=reason))
        else:
            assert self._sidecar is not None
            self._tell(_describe_saved(recording, self._sidecar.path, sidecar))
        finally:
            if self._sidecar is not None:
                os.close(self._sidecar.fd)

    def _describe_so_far(self) -> None:
        """Leave the metadata beside the audio, in case that the call never comes to its end."""
        if self._recording is not None and self._sidecar is None:
            with suppress(OSError):  # It is tried again at the end, and reported then.
                self._write_sidecar(self._recording, describe_recording(self._log, self._recording))

    def _write_sidecar(self, recording: Recording, sidecar: Sidecar) -> None:
        if self._sidecar is None:
            self._sidecar = create_numbered(recording.sidecar_path)
        overwrite_sidecar(self._sidecar, sidecar)

    def _open_again(self) -> Recording | None:
        if time.monotonic() >= self._retry_at:
            self.open()
        return self._recording

    def _note_success(self, recording: Recording) -> None:
        if self._failing:
            self._failing = False
            detail = f"recording goes on; {recording.lost_samples} samples weren't recorded"
            self._tell(WarningEvent(rule="recording-resumed", detail=detail, position=recording.position))
        interval = self._settings.sync
        if isinstance(interval, float) and time.monotonic() - self._synced_at >= interval:
            self._synced_at = time.monotonic()
            with suppress(OSError):  # Reported when it can't be written either.
                recording.sync()

    def _fail(self, exc: OSError, path: Path) -> None:
        self._retry_at = time.monotonic() + RETRY_AFTER
        if not self._failing:
            self._failing = True
            self._tell(RecordingFailedEvent(path=str(path), reason=f"{exc.strerror or exc}"))

    def _close(self, recording: Recording) -> None:
        try:
            recording.skip_to(self._log.samples)
            if self._settings.sync != "never":
                recording.sync()
        finally:
            recording.close()

    def _convert(self, recording: Recording, sidecar: Sidecar) -> Sidecar:
        """Convert the WAVs to the wanted format; return the sidecar that describes the new files."""
        from listenctl.server.recording.conversion_pool import convert_politely

        kind, extension = self._settings.destination.kind, self._settings.destination.extension
        made: list[Conversion] = []
        try:
            made.extend(convert_politely(wav, wav.with_suffix(extension), kind) for wav in recording.paths)
        except ListenctlError:
            # The sidecar names the WAVs, so all of them stay and nothing else does.
            for conversion in made:
                if conversion.path not in recording.paths:
                    conversion.path.unlink()
            raise
        for wav, conversion in zip(recording.paths, made, strict=True):
            if conversion.path != wav:
                wav.unlink()
        assert sidecar.audio is not None
        audio = replace(
            sidecar.audio,
            files=[conversion.path.name for conversion in made],
            format="wav" if made[0].path in recording.paths else kind,
            warnings=[*sidecar.audio.warnings, *(warning for conversion in made for warning in conversion.warnings)],
        )
        return replace(sidecar, audio=audio)


def _describe_saved(recording: Recording, sidecar_path: Path, sidecar: Sidecar) -> RecordingSavedEvent:
    audio = sidecar.audio
    assert audio is not None
    paths = [str(sidecar_path.parent / name) for name in audio.files]
    return RecordingSavedEvent(
        path=paths[0],
        paths=paths,
        sidecar=str(sidecar_path),
        format=audio.format,
        samples=recording.samples,
        seconds=audio.seconds,
        bytes=recording.size,
        lost_samples=sidecar.completeness["lost_samples"],
        unrecorded_samples=recording.lost_samples,
        complete=sidecar.completeness["complete"],
        warnings=audio.warnings,
    )
