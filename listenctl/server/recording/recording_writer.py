"""One call's recording in the writer thread; a disk that fails costs only what it couldn't take."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TypeAlias

from listenctl.background_writer import Job
from listenctl.errors import ListenctlError
from listenctl.events import EventFields, RecordingFailedEvent, RecordingSavedEvent, WarningEvent
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.convert_recording import Conversion
from listenctl.media.files.new_files import NewFile, create_numbered
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.files.recording_tags import recording_tags
from listenctl.media.files.sidecar import Sidecar
from listenctl.media.files.wav_recording import Recording
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap import Gap
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.recording.describe_recording import describe_recording, overwrite_sidecar

RETRY_AFTER = 1.0
# Creating files is the most expensive part of a recording, so the sidecar is created when the call ends. After this
# many seconds it is also written before the end, in case the process is killed.
INTERIM_AFTER = 10.0

Piece: TypeAlias = tuple[int, bytes]
"""A position in the call, and the audio there."""


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """How calls are recorded; ``sync`` is ``never``, ``end``, or the seconds between two syncs."""

    destination: RecordingDestination
    layout: ChannelLayout = ChannelLayout.AS_IS
    fill: bool = False
    sync: str | float = "never"

    def fills_gap(self, gap: Gap) -> bool:
        return self.fill and gap.leaves_out_audio


class RecordingWriter:
    """Write one recording; everything but ``path`` runs in the writer thread."""

    def __init__(
        self,
        settings: RecordSettings,
        log: LiveCallLog,
        report: Callable[[EventFields], None],
        add_later: Callable[[Job], None],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._log = log  # of the call, complete when ``finish_recording`` runs, because the sidecar is made from it
        self._report = report  # an event of the recording, from any thread
        self._add_later = add_later  # adds a job that can wait
        self._clock = clock
        self._sidecar: NewFile | None = None
        self._interim_at: float = INTERIM_AFTER * log.audio_format.sample_rate
        self._format = log.audio_format
        self._recording: Recording | None = None
        self._failing = False
        self._retry_at = 0.0
        self._synced_at = self._clock()

    @property
    def path(self) -> str:
        """The file, or the first of two; empty while there is none."""
        return str(self._recording.paths[0]) if self._recording else ""

    def open_files(self) -> None:
        """Create the audio files; a failure is reported, and retried later."""
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

    def write_pieces(self, pieces: Sequence[Piece]) -> None:
        for position, data in pieces:
            recording = self._recording or self._open_again()
            if recording is None:
                return
            try:
                recording.write_audio(position, data)
            except OSError as exc:
                self._fail(exc, recording.paths[0])
            else:
                self._count_success(recording)
                if recording.position >= self._interim_at:
                    self._interim_at = inf
                    self._add_later(self._write_interim_sidecar)

    def report_backlog(self) -> None:
        self._fail(OSError("the disk is too slow"), Path(self.path))

    def fill_gap(self, gap: Gap) -> None:
        if self._recording is not None:
            try:
                self._recording.insert_silence(gap.position, gap.missing)
            except OSError as exc:
                self._fail(exc, self._recording.paths[0])

    def change_format(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        if self._recording is not None:
            with suppress(OSError):  # The next audio writes the header again.
                self._recording.change_format(audio_format)

    @property
    def is_slow_to_finish(self) -> bool:
        """Whether ``finish_recording`` takes so long that it needs another thread."""
        return self._settings.sync != "never" or self._settings.destination.kind != "wav"

    def finish_recording(self) -> None:
        """Close the files, convert them, write the sidecar, and report the result."""
        if self._recording is None:
            self.open_files()
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
            self._report(RecordingFailedEvent(path=str(recording.paths[0]), reason=reason))
        else:
            assert self._sidecar is not None
            self._report(_describe_saved(recording, self._sidecar.path, sidecar))
        finally:
            if self._sidecar is not None:
                os.close(self._sidecar.fd)

    def _write_interim_sidecar(self) -> None:
        """Write the metadata beside the audio, in case the process is killed."""
        if self._recording is not None and self._sidecar is None:
            with suppress(OSError):  # Retried at the end, and reported then.
                self._write_sidecar(self._recording, describe_recording(self._log, self._recording))

    def _write_sidecar(self, recording: Recording, sidecar: Sidecar) -> None:
        if self._sidecar is None:
            self._sidecar = create_numbered(recording.sidecar_path)
        overwrite_sidecar(self._sidecar, sidecar)

    def _open_again(self) -> Recording | None:
        if self._clock() >= self._retry_at:
            self.open_files()
        return self._recording

    def _count_success(self, recording: Recording) -> None:
        if self._failing:
            self._failing = False
            detail = f"recording continues; {recording.lost_samples} samples were not recorded"
            self._report(WarningEvent(rule="recording-resumed", detail=detail, position=recording.position))
        interval = self._settings.sync
        if isinstance(interval, float) and self._clock() - self._synced_at >= interval:
            self._synced_at = self._clock()
            with suppress(OSError):  # Reported when writing fails too.
                recording.sync()

    def _fail(self, exc: OSError, path: Path) -> None:
        self._retry_at = self._clock() + RETRY_AFTER
        if not self._failing:
            self._failing = True
            self._report(RecordingFailedEvent(path=str(path), reason=f"{exc.strerror or exc}"))

    def _close(self, recording: Recording) -> None:
        try:
            recording.skip_to(self._log.samples)
            if self._settings.sync != "never":
                recording.sync()
        finally:
            recording.close()

    def _convert(self, recording: Recording, sidecar: Sidecar) -> Sidecar:
        from listenctl.server.recording.conversion_pool import convert_in_background

        kind, extension = self._settings.destination.kind, self._settings.destination.extension
        tags = recording_tags(sidecar.metadata, sidecar.started)
        made: list[Conversion] = []
        try:
            made.extend(convert_in_background(wav, wav.with_suffix(extension), kind, tags) for wav in recording.paths)
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
