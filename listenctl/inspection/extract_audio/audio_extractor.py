"""
Extract the audio of calls: what jambonz sent, what the caller heard of the application, and both with their gaps.
Audio goes to disk as it comes, so a long call takes no more memory than a short one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from listenctl.capture.capture_events import CapturedSession
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.extract_audio.describe_extraction import (
    SidecarEvents,
    describe_extracted,
    describe_file,
    describe_received,
)
from listenctl.inspection.extract_audio.extracted_files import ExtractedFiles, ExtractedPart
from listenctl.inspection.extract_audio.stereo_mix import ApplicationTrack, JambonzTrack, mix_tracks, start_of_mix
from listenctl.inspection.sample_times import MAX_SILENCE, AudioTrack, SampleTimes
from listenctl.media.files.convert_recording import Conversion
from listenctl.media.files.recording_names import CallTimes, RecordingDestination
from listenctl.media.files.recording_tags import recording_tags
from listenctl.media.files.sidecar import Sidecar, SidecarAudio
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.listen_session import AudioReceived, CallStarted, GapFound, MetadataArrived
from listenctl.protocol.timeline import TimelineEntry


@dataclass(frozen=True, slots=True)
class ExtractedCall:
    call: str
    paths: tuple[Path, ...]  # the sidecar last
    warnings: tuple[str, ...]


class AudioExtractor(CallObserver):
    """If a file can't be written, the inspection gets the ListenctlError; call ``abandon`` then."""

    def __init__(self, destination: RecordingDestination) -> None:
        self._destination = destination  # a folder or a name template, with the format
        self._calls: dict[CapturedSession, _CallExtractor] = {}
        self.made: list[ExtractedCall] = []  # the calls whose files are complete

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:
        if session.is_listen is not False:
            self._call_of(session).take_entry(entry)

    def on_played_audio(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:
        if session.is_listen is not False:
            self._call_of(session).take_played_audio(at, sample_rate, samples)

    def on_call_finished(self, session: CapturedSession, report: CallReport) -> None:
        call = self._calls.pop(session, None)
        if call and (extracted := call.finish(report)):
            self.made.append(extracted)

    def abandon(self) -> None:
        """Close the open files, which play as they are, because the inspection failed."""
        for call in self._calls.values():
            call.close()
        self._calls.clear()

    def _call_of(self, session: CapturedSession) -> "_CallExtractor":
        if call := self._calls.get(session):
            return call
        call = self._calls[session] = _CallExtractor(self._destination, session)
        return call


class _CallExtractor:
    def __init__(self, destination: RecordingDestination, session: CapturedSession) -> None:
        self._destination = destination
        self._session = session
        self._format = AudioFormat(8000, 1)
        self._metadata = CallMetadata.missing()
        self._events = SidecarEvents()
        self._times = SampleTimes(self._format)
        self._played: AudioTrack | None = None
        self._files: ExtractedFiles | None = None

    def take_entry(self, entry: TimelineEntry) -> None:
        match entry.event:
            case AudioReceived(data=data):
                self._open_files().append_audio(ExtractedPart.JAMBONZ, self._format, data)
                self._times.add_audio(entry.at, self._format.samples_in(len(data)))
            case CallStarted(metadata=metadata, audio_format=audio_format):
                self._metadata, self._format = metadata, audio_format
                self._times = SampleTimes(audio_format)
            case MetadataArrived(metadata=metadata, audio_format=audio_format):
                self._change_format(metadata, audio_format)
            case GapFound(gap):
                self._times.add_gap(gap)
            case event:
                self._events.take_event(event)

    def take_played_audio(self, at: float, sample_rate: int, data: bytes) -> None:
        played = self._played = self._played or AudioTrack(sample_rate)
        audio_format = AudioFormat(played.sample_rate, 1)
        silence = played.place_audio(at, data) * audio_format.frame_bytes
        self._open_files().append_audio(ExtractedPart.APPLICATION, audio_format, data, silence=silence)

    def finish(self, report: CallReport) -> ExtractedCall | None:
        files = self._files
        if files is None:
            return None
        if not report.listens:
            files.delete_files()
            return None
        try:
            self._write_mix(files, report)
        finally:
            files.close()
        made = files.convert_files(recording_tags(self._metadata, self._session.began))
        sidecar = files.write_sidecar(self._describe(files, made, report))
        warnings = [warning for conversion in made.values() for warning in conversion.warnings]
        if self._times.lacks_silence or (self._played and self._played.lacks_silence):
            hours = round(MAX_SILENCE / 3600)
            warnings.append(f"{report.call}: silence of more than {hours} hours is left out of the files")
        return ExtractedCall(report.call, (*(one.path for one in made.values()), sidecar), tuple(warnings))

    def close(self) -> None:
        if self._files:
            self._files.close()

    def _open_files(self) -> ExtractedFiles:
        if self._files is None:
            path = self._destination.wav_path(self._metadata.get_field, CallTimes(self._session.began))
            self._files = ExtractedFiles(path, self._destination.extension)
        return self._files

    def _change_format(self, metadata: CallMetadata, audio_format: AudioFormat) -> None:
        self._events.change_format(self._format, audio_format)
        self._metadata, self._format = metadata, audio_format
        self._times.change_format(audio_format)
        if self._files:
            self._files.change_format(ExtractedPart.JAMBONZ, audio_format)

    def _write_mix(self, files: ExtractedFiles, report: CallReport) -> None:
        played = self._played_track(files)
        if played is None:
            return
        mix_format = self._mix_format(played)
        in_right = self._format.channels == 2 and report.mode is not None and not report.mode.streams
        silence = 0
        for block in mix_tracks(self._received_track(files), None if in_right else played, mix_format.sample_rate):
            # Silence becomes a hole in the file, which takes no disk space.
            if block != bytes(len(block)):
                files.append_audio(ExtractedPart.BOTH, mix_format, block, silence=silence)
                silence = 0
            else:
                silence += len(block)
        files.append_audio(ExtractedPart.BOTH, mix_format, b"", silence=silence)

    def _received_track(self, files: ExtractedFiles) -> JambonzTrack | None:
        path = files.path_of(ExtractedPart.JAMBONZ)
        return JambonzTrack(path, self._format, self._times) if path else None

    def _played_track(self, files: ExtractedFiles) -> ApplicationTrack | None:
        path = files.path_of(ExtractedPart.APPLICATION)
        return ApplicationTrack(path, self._played.sample_rate) if path and self._played else None

    def _mix_format(self, played: ApplicationTrack) -> AudioFormat:
        return AudioFormat(max(self._format.sample_rate, played.sample_rate), 2)

    def _describe(self, files: ExtractedFiles, made: Mapping[ExtractedPart, Conversion], report: CallReport) -> Sidecar:
        described: dict[ExtractedPart, SidecarAudio] = {}
        for part, conversion in made.items():
            audio_format, begins = self._format_and_start(part, files)
            samples = audio_format.samples_in(files.size_of(part))
            file = describe_file(conversion, audio_format, samples, begins=begins)
            described[part] = describe_received(report, file) if part is ExtractedPart.JAMBONZ else file
        return describe_extracted(report, self._events, described)

    def _format_and_start(self, part: ExtractedPart, files: ExtractedFiles) -> tuple[AudioFormat, float]:
        played = self._played_track(files)
        if played is None or part is ExtractedPart.JAMBONZ:
            return self._format, self._times.origin
        if part is ExtractedPart.APPLICATION:
            return AudioFormat(played.sample_rate, 1), 0.0
        return self._mix_format(played), start_of_mix(self._received_track(files))
