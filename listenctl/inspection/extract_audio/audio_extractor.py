"""
Extract the sound of calls: what jambonz sent, what the caller heard of the application, and both in time.

Sound goes to disk as it comes, so that a long call takes no more memory than a short one. Of each call there are

* ``NAME.jambonz.wav``: exactly the samples that jambonz sent, as the recorder would have written them;
* ``NAME.application.wav``: what the caller heard of what the application sent, from the handshake on;
* ``NAME.both.wav``: what the call sounded like, left the one and right the other, with gaps as silence;
* ``NAME.json``: the sidecar (`listenctl-recording(5)`).

The second and third are made only where the application was heard.
"""

from dataclasses import dataclass, field
from pathlib import Path

from listenctl.capture.capture_events import CapturedSession
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.extract_audio import stereo_mix as joining
from listenctl.inspection.extract_audio.extracted_files import ExtractedFiles, ExtractedPart
from listenctl.inspection.extract_audio.extracted_sidecar import (
    Happenings,
    describe_extracted,
    describe_file,
    describe_received,
)
from listenctl.inspection.extract_audio.stereo_mix import ApplicationTrack, JambonzTrack
from listenctl.inspection.sample_times import AudioTrack, SampleTimes
from listenctl.json_lines import moment
from listenctl.media.files.convert_recording import Conversion
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.files.sidecar import Sidecar, SidecarAudio
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.listen_session import AudioReceived, CallStarted, GapFound, MetadataArrived
from listenctl.protocol.timeline import TimelineEntry


@dataclass(frozen=True, slots=True)
class ExtractedCall:
    """The files of one call, the sidecar last, and what could not be done as asked."""

    call: str
    paths: tuple[Path, ...]
    warnings: tuple[str, ...]


class AudioExtractor(CallObserver):
    """
    Extract the sound of every call that is inspected.

    Where a file can't be written, what is inspecting gets the ListenctlError; ``abandon`` then.

    Attributes:
        made: the calls whose files are complete.

    Args:
        destination: a folder or a name template, with the format.
    """

    def __init__(self, destination: RecordingDestination) -> None:
        self._destination = destination
        self._calls: dict[CapturedSession, _Call] = {}
        self.made: list[ExtractedCall] = []

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:
        """Write audio, and take notes of the rest."""
        call = self._calls.get(session) or self._begin(session)
        if type(entry.event) is AudioReceived:
            call.receive(entry.at, entry.event.data)
        else:
            call.take(entry)

    def on_played_audio(self, session: CapturedSession, at: float, sample_rate: int, samples: bytes) -> None:
        """Write what the caller hears."""
        (self._calls.get(session) or self._begin(session)).hear(at, sample_rate, samples)

    def on_call_finished(self, session: CapturedSession, report: CallReport) -> None:
        """Finish the files of a call; of one without any sound there are none."""
        call = self._calls.pop(session, None)
        if call and (extracted := call.finish(report)):
            self.made.append(extracted)

    def abandon(self) -> None:
        """Close what is open, because the inspection was broken off; the WAVs play as they are."""
        for call in self._calls.values():
            call.close()
        self._calls.clear()

    def _begin(self, session: CapturedSession) -> "_Call":
        call = self._calls[session] = _Call(self._destination, session)
        return call


@dataclass(slots=True)
class _Call:
    """One call while it is extracted."""

    destination: RecordingDestination
    session: CapturedSession
    format: AudioFormat = field(default_factory=lambda: AudioFormat(8000, 1))
    metadata: CallMetadata = field(default_factory=CallMetadata.missing)
    happenings: Happenings = field(default_factory=Happenings)
    heard: AudioTrack | None = None
    places: SampleTimes = field(init=False)
    files: ExtractedFiles | None = None

    def __post_init__(self) -> None:
        self.places = SampleTimes(self.format)

    def receive(self, at: float, data: bytes) -> None:
        self._open().append(ExtractedPart.JAMBONZ, self.format, data)
        self.places.add_audio(at, self.format.samples(len(data)))

    def take(self, entry: TimelineEntry) -> None:
        self.happenings.add(entry)
        match entry.event:
            case CallStarted(metadata=metadata, audio_format=audio_format):
                self.metadata, self.format = metadata, audio_format
                self.places = SampleTimes(audio_format)
            case MetadataArrived(metadata=metadata, audio_format=audio_format):
                self._amend(metadata, audio_format)
            case GapFound(gap):
                self.places.add_gap(gap)

    def hear(self, at: float, sample_rate: int, data: bytes) -> None:
        heard = self.heard = self.heard or AudioTrack(sample_rate)
        audio_format = AudioFormat(heard.sample_rate, 1)
        silence = heard.place_audio(at, data) * audio_format.frame_bytes
        self._open().append(ExtractedPart.APPLICATION, audio_format, data, silence=silence)

    def finish(self, report: CallReport) -> ExtractedCall | None:
        files = self.files
        if files is None:
            return None
        try:
            self._join(files, report)
        finally:
            files.close()
        made = files.convert_files()
        sidecar = files.write_sidecar(self._describe(files, made, report))
        warnings = tuple(warning for conversion in made.values() for warning in conversion.warnings)
        return ExtractedCall(report.call, (*(one.path for one in made.values()), sidecar), warnings)

    def close(self) -> None:
        if self.files:
            self.files.close()

    def _open(self) -> ExtractedFiles:
        if self.files is None:
            started = moment(self.session.began)
            path = self.destination.wav_path(self.metadata.get_field, started)
            self.files = ExtractedFiles(path, self.destination.extension)
        return self.files

    def _amend(self, metadata: CallMetadata, audio_format: AudioFormat) -> None:
        self.happenings.change_format(self.format, audio_format)
        self.metadata, self.format = metadata, audio_format
        self.places.change_format(audio_format)
        if self.files:
            self.files.change_format(ExtractedPart.JAMBONZ, audio_format)

    def _join(self, files: ExtractedFiles, report: CallReport) -> None:
        heard = self._heard(files)
        if heard is None:
            return
        both = self._both_format(heard)
        in_right = self.format.channels == 2 and report.mode is not None and not report.mode.streams
        silence = 0
        for block in joining.join(self._received(files), None if in_right else heard, both.sample_rate):
            # Silence takes no room on the disk.
            if block != bytes(len(block)):
                files.append(ExtractedPart.BOTH, both, block, silence=silence)
                silence = 0
            else:
                silence += len(block)
        files.append(ExtractedPart.BOTH, both, b"", silence=silence)

    def _received(self, files: ExtractedFiles) -> JambonzTrack | None:
        path = files.path(ExtractedPart.JAMBONZ)
        return JambonzTrack(path, self.format, self.places) if path else None

    def _heard(self, files: ExtractedFiles) -> ApplicationTrack | None:
        path = files.path(ExtractedPart.APPLICATION)
        return ApplicationTrack(path, self.heard.sample_rate) if path and self.heard else None

    def _both_format(self, heard: ApplicationTrack) -> AudioFormat:
        return AudioFormat(max(self.format.sample_rate, heard.sample_rate), 2)

    def _describe(self, files: ExtractedFiles, made: dict[ExtractedPart, Conversion], report: CallReport) -> Sidecar:
        described: dict[ExtractedPart, SidecarAudio] = {}
        for part, conversion in made.items():
            audio_format, begins = self._shape(part, files)
            samples = audio_format.samples(files.size(part))
            file = describe_file(conversion, audio_format, samples, begins=begins)
            described[part] = describe_received(report, file) if part is ExtractedPart.JAMBONZ else file
        return describe_extracted(report, self.happenings, described)

    def _shape(self, part: ExtractedPart, files: ExtractedFiles) -> tuple[AudioFormat, float]:
        """Return the format of a file and when it begins."""
        heard = self._heard(files)
        if heard is None or part is ExtractedPart.JAMBONZ:
            return self.format, self.places.origin
        if part is ExtractedPart.APPLICATION:
            return AudioFormat(heard.sample_rate, 1), 0.0
        return self._both_format(heard), joining.begin(self._received(files))
