"""One call's recording in the writer thread; a disk that fails costs only what it couldn't take."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from listenctl.background_writer import Job
from listenctl.errors import ListenctlError
from listenctl.events import EventFields, RecordingFailedEvent, RecordingSavedEvent, WarningEvent
from listenctl.media.channel_layout import ChannelLayout
from listenctl.media.files.convert_recording import Conversion, ConversionStopped
from listenctl.media.files.kept_names import replace_file
from listenctl.media.files.recording_names import CallTimes, RecordingDestination
from listenctl.media.files.recording_tags import recording_tags
from listenctl.media.files.sidecar import Sidecar
from listenctl.media.files.wav_recording import Recording
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap import Gap
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.recording.conversion_pool import ConversionPool
from listenctl.server.recording.describe_recording import describe_recording

if TYPE_CHECKING:
    from listenctl.media.encryption.age_keys import AgeRecipients

RETRY_AFTER = 1.0
# Seconds of audio after which the sidecar, written when the call begins and when it ends, is also written in between:
# what is known then stays known if the process is killed.
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
    recipients: "AgeRecipients | None" = None  # who can read it; None writes it for everyone

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
        conversions: ConversionPool,
        note_closed: Callable[["RecordingWriter"], None],
        note_opened: Callable[[Recording], None] = lambda _: None,
        max_bytes: int | None = None,
    ) -> None:
        self._settings = settings
        self._log = log  # of the call, complete when ``finish_recording`` runs, because the sidecar is made from it
        self._report = report  # an event of the recording, from any thread
        self._add_later = add_later  # adds a job that can wait
        self._clock = clock
        self._conversions = conversions
        self._note_closed = note_closed  # called from any thread, when no file is open any more
        self._note_opened = note_opened  # called with the files when they have been created
        self._max_bytes = max_bytes  # of all files
        self._is_full = False  # whether they have so many
        self._has_sidecar = False  # on disk, of what was known at some time
        self._sidecar: Sidecar | None = None  # of the finished recording, once the WAV is complete
        self._ending = False
        self._converted = False
        self._delayed = False
        self._interim_at: float = INTERIM_AFTER * log.audio_format.sample_rate
        self._format = log.audio_format
        self._recording: Recording | None = None
        self._failing = False
        self._retry_at = 0.0
        self._synced_at = self._clock()
        self._most_unwritten = 0

    @property
    def path(self) -> str:
        """The file, or the first of two; empty while there is none."""
        return str(self._recording.paths[0]) if self._recording else ""

    @property
    def position(self) -> int:
        """How far the call has been written, in samples per channel."""
        return self._recording.position if self._recording else 0

    @property
    def lost_samples(self) -> int:
        """Samples per channel that could not be written, as far as is known while it is still tried."""
        lost = self._recording.lost_samples if self._recording else 0
        return lost + max(0, self._log.samples - self.position) if self._failing or self._is_full else lost

    def note_backlog(self) -> None:
        """Remember how much audio there was in memory only."""
        self._most_unwritten = max(self._most_unwritten, self._log.samples - self.position)

    def open_files(self) -> None:
        """Create the files; a failure is reported, and retried later."""
        settings, log = self._settings, self._log
        destination = settings.destination
        path = destination.wav_path(log.metadata.get_field, CallTimes(log.started_at))
        try:
            self._recording = Recording(
                path,
                self._format,
                layout=settings.layout,
                final_extension=destination.extension,
                fill=settings.fill,
                recipients=settings.recipients,
            )
        except OSError as exc:
            self._fail(exc, path)
        else:
            self._write_interim_sidecar()
            self._note_opened(self._recording)

    def write_pieces(self, pieces: Sequence[Piece]) -> None:
        """Write audio; what follows without a hole is one write."""
        for position, data in join_pieces(pieces, self._format.frame_bytes):
            recording = self._recording or self._open_again()
            if recording is None:
                return
            fitting = data[: self._room(recording, len(data))]
            try:
                if fitting:
                    recording.write_audio(position, fitting)
            except OSError as exc:
                self._fail(exc, recording.paths[0])
            else:
                if fitting:
                    self._count_success(recording)
                if len(fitting) < len(data):
                    self._note_full(recording)
                if recording.position >= self._interim_at:
                    self._interim_at = inf
                    self._add_later(self._write_interim_sidecar)

    def report_dropping(self, reason: str) -> None:
        """Report that audio is not recorded from here on, and have the sidecar say so if the process is killed."""
        self._fail(OSError(reason), Path(self.path))
        self._add_later(self._write_interim_sidecar)

    def _room(self, recording: Recording, wanted: int) -> int:
        """Return how many bytes of audio the files may still take, at most ``wanted``."""
        if self._max_bytes is None or self._is_full:
            return 0 if self._is_full else wanted
        per_sample = recording.output_format.frame_bytes * len(recording.files)
        samples = max(0, self._max_bytes - recording.size) // per_sample
        return min(wanted, samples * self._format.frame_bytes)

    def _note_full(self, recording: Recording) -> None:
        if not self._is_full:
            self._is_full = True
            detail = f"{recording.paths[0]}: the recording has reached --max-recording; the call goes on without"
            self._report(WarningEvent(rule="max-recording", detail=detail, position=recording.position))
            self._add_later(self._write_interim_sidecar)

    def fill_gap(self, gap: Gap) -> None:
        if self._recording is not None and not self._is_full:
            try:
                self._recording.insert_silence(gap.position, gap.missing)
            except OSError as exc:
                self._fail(exc, self._recording.paths[0])

    def change_format(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        if self._recording is not None:
            with suppress(OSError):  # The next audio writes the header again.
                self._recording.change_format(audio_format)

    def prepare_finish(self) -> bool:
        """Write no interim sidecar from now on; return whether ``finish_recording`` is slow and needs a thread."""
        self._ending = True
        return self._settings.sync != "never" or self._settings.destination.kind != "wav"

    def keeps_names(self) -> bool:
        """Return whether the names still lead to the files; otherwise ``finish_recording`` is slow, too."""
        return self._recording is None or self._recording.keeps_names()

    def finish_recording(self, *, last: bool = False, names_kept: bool = False) -> bool:
        """
        Complete the files, convert them, write the sidecar, and report the result.

        Returns False if the disk didn't take all of it and this must be called again, but never for the ``last`` time.

        Args:
            names_kept: ``keeps_names`` has just returned True.
        """
        if self._recording is None:
            self.open_files()
        recording = self._recording
        if recording is None:
            self._note_closed(self)
            return True
        try:
            self._finish(recording, names_kept=names_kept)
        except (OSError, ListenctlError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            if isinstance(exc, OSError) and not last:
                self._report_delay(recording, reason)
                return False
            self.give_up(reason)
        return True

    def give_up(self, reason: str) -> None:
        """Report that the recording is not what it should be, and close its files."""
        self._report(RecordingFailedEvent(path=self.path, reason=reason))
        if self._recording is not None:
            with suppress(ListenctlError):
                self._close(self._recording)

    def _finish(self, recording: Recording, *, names_kept: bool) -> None:
        """Do what is left to do, each step once."""
        if self._sidecar is None:
            self._complete_files(recording, names_kept=names_kept)
            self._close(recording)
            self._sidecar = describe_recording(self._log, recording, self._most_unwritten)
        path = self._write_sidecar(recording, self._sidecar)
        if self._settings.destination.kind != "wav" and not self._converted:
            self._sidecar = self._convert(recording, self._sidecar)
            self._converted = True
            self._write_sidecar(recording, self._sidecar)
        saved = _describe_saved(recording, path, self._sidecar, converted=self._converted)
        if self._converted and (kept := _delete_others(recording.paths, saved.paths)):
            saved = replace(saved, warnings=[*saved.warnings, *kept])
        self._report(saved)

    def _close(self, recording: Recording) -> None:
        """Close the files; an error is final, because they can't be closed again."""
        try:
            recording.close()
        except OSError as exc:
            reason = f"closing the file failed: {exc.strerror or exc}; the end of the audio may be missing"
            raise ListenctlError(reason) from exc
        finally:
            self._note_closed(self)

    def _complete_files(self, recording: Recording, *, names_kept: bool) -> None:
        recording.skip_to(self._log.samples)
        if self._settings.sync != "never":
            recording.sync()
        restored = recording.finish_files(names_kept=names_kept)
        if restored:
            names = " and ".join(map(str, restored))
            detail = f"the recording was deleted or moved while the call lasted; it is restored as {names}"
            self._report(WarningEvent(rule="recording-restored", detail=detail))

    def _report_delay(self, recording: Recording, reason: str) -> None:
        if not self._delayed:
            self._delayed = True
            detail = f"{recording.paths[0]}: can't be finished yet: {reason}; this is tried again until it works"
            self._report(WarningEvent(rule="recording-delayed", detail=detail))

    def _write_interim_sidecar(self) -> None:
        """Write what is known beside the audio, in case the process is killed."""
        if self._recording is not None and not self._ending:
            with suppress(OSError):  # Retried at the end, and reported then.
                self._write_sidecar(
                    self._recording, describe_recording(self._log, self._recording, self._most_unwritten)
                )

    def _write_sidecar(self, recording: Recording, sidecar: Sidecar) -> Path:
        path, data = recording.sidecar_path, sidecar.serialize()
        if recipients := self._settings.recipients:
            replace_file(path, recipients.encrypt(data))
        else:
            replace_file(path, data, page_in_place=self._has_sidecar)
        self._has_sidecar = True
        return path

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

    def _convert(self, recording: Recording, sidecar: Sidecar) -> Sidecar:
        kind, extension = self._settings.destination.kind, self._settings.destination.extension
        tags = recording_tags(sidecar.metadata, sidecar.started)
        assert sidecar.audio is not None
        audio = sidecar.audio
        made: list[Conversion] = []
        try:
            made.extend(
                self._conversions.convert(wav, wav.with_suffix(extension), kind, tags) for wav in recording.paths
            )
        except Exception as exc:
            # The sidecar names the WAVs, so all of them stay and nothing else does.
            for conversion in made:
                if conversion.path not in recording.paths:
                    with suppress(OSError):
                        conversion.path.unlink()
            if not isinstance(exc, ConversionStopped):
                raise
            return replace(sidecar, audio=replace(audio, warnings=[*audio.warnings, str(exc)]))
        if made[0].resampled_to:
            audio = audio.resampled(made[0].resampled_to)
        audio = replace(
            audio,
            files=[conversion.path.name for conversion in made],
            format="wav" if made[0].path in recording.paths else kind,
            warnings=[*audio.warnings, *(warning for conversion in made for warning in conversion.warnings)],
        )
        return replace(sidecar, audio=audio)


def join_pieces(pieces: Sequence[Piece], frame_bytes: int) -> Sequence[Piece]:
    """Join audio that follows without a hole, because a slow disk takes one long write in the time of a short one."""
    if len(pieces) == 1:
        return pieces
    joined: list[tuple[int, list[bytes]]] = []
    end = -1
    for position, data in pieces:
        if position != end:
            joined.append((position, []))
        joined[-1][1].append(data)
        end = position + len(data) // frame_bytes
    return [(position, data[0] if len(data) == 1 else b"".join(data)) for position, data in joined]


def _describe_saved(
    recording: Recording, sidecar_path: Path, sidecar: Sidecar, *, converted: bool
) -> RecordingSavedEvent:
    audio = sidecar.audio
    assert audio is not None
    paths = [sidecar_path.with_name(name) for name in audio.files] if converted else recording.paths
    return RecordingSavedEvent(
        path=str(paths[0]),
        paths=[str(path) for path in paths],
        sidecar=str(sidecar_path),
        format=audio.format,
        samples=recording.samples,
        seconds=audio.seconds,
        bytes=sum(map(_size_of, paths)),
        lost_samples=sidecar.completeness["lost_samples"],
        unrecorded_samples=recording.lost_samples,
        complete=sidecar.completeness["complete"],
        warnings=audio.warnings,
    )


def _delete_others(wavs: Sequence[Path], kept: Sequence[str]) -> list[str]:
    """Delete the WAVs that were converted, which no sidecar names any more; return a warning for each that stays."""
    warnings = []
    for wav in wavs:
        if str(wav) not in kept:
            try:
                wav.unlink(missing_ok=True)
            except OSError as exc:
                warnings.append(f"{wav}: can't be deleted after its conversion: {exc.strerror or exc}")
    return warnings


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as exc:
        raise ListenctlError(f"{path}: was removed before it was finished") from exc
