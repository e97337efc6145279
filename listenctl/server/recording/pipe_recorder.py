"""Record one call onto a pipe: its audio as it arrives, as WAV or as raw samples."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from listenctl.events import RecordingFailedEvent, RecordingSavedEvent, Reporter
from listenctl.media.channel_layout import ChannelMap
from listenctl.media.files.audio_writer import AudioWriter
from listenctl.media.files.wav_header import stream_header
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap import Gap
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.operations.metric_families import MetricFamily
from listenctl.server.recording.recording_writer import RecordSettings

# Bytes that may wait for a slow reader of the pipe; beyond that audio is lost and reported.
MAX_WAITING_BYTES = 64 * 1024 * 1024
SILENCE_BLOCK = 64 * 1024


class PipeRecorder:
    """Write the audio of one call to ``fd``; the server must take no second one."""

    def __init__(self, settings: RecordSettings, reporter: Reporter, fd: int) -> None:
        self.lost_audio = False
        self.recorded_bytes = 0
        self.recorded_seconds = 0.0
        self.finishing = 0
        self.folder = None
        self.settings = settings
        self.on_broken: Callable[[], None] = lambda: None  # called when the reader of the pipe is gone
        self._reporter = reporter
        self._loop = asyncio.get_running_loop()
        self._log: LiveCallLog | None = None
        self._broken = False
        self._writer = AudioWriter.to_pipe(fd, self._break_soon, MAX_WAITING_BYTES)
        self._frame_bytes = 1  # of the output
        self._header_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        return self._writer.waiting_bytes

    @property
    def waiting_samples(self) -> int:
        return self.waiting_bytes // self._frame_bytes

    @property
    def lost_samples(self) -> int:
        # Bytes that were queued when the reader left are lost, too; the header among them is no audio.
        queued = self._writer.waiting_bytes - (0 if self._writer.written_bytes else self._header_bytes)
        return (self._writer.lost_bytes + queued * self._broken) // self._frame_bytes

    def describe_metrics(self) -> Iterable[MetricFamily]:
        return ()

    def start_recording(self, log: LiveCallLog, max_bytes: int | None = None) -> "PipeRecording":  # noqa: ARG002
        """Record the call; a pipe gets all of it, because its reader can close it at any time."""
        self._log = log
        recording = PipeRecording(self, log)
        self._frame_bytes = recording.frame_bytes
        return recording

    def flush(self, now: float) -> None:
        """Do nothing: audio is written as it arrives."""

    def pause_recording(self, reason: str) -> None:
        """Do nothing: a pipe fills no disk."""

    def stop_conversions(self) -> None:
        """Do nothing: a pipe gets no other format."""

    async def finish_recordings(self) -> None:
        await asyncio.to_thread(self._writer.end, None)
        if self._log is not None:
            self._report_saved(self._log)

    def write_header(self, header: bytes) -> None:
        self._header_bytes = len(header)
        self.write_data(header)

    def write_data(self, data: bytes) -> None:
        """Write ``data`` after everything before it; it is lost if the reader is too slow."""
        if not self._writer.write_audio(data) and self._writer.error is None:
            self._fail("the reader of the pipe is too slow")

    def _report_saved(self, log: LiveCallLog) -> None:
        samples = log.samples - self.lost_samples
        event = RecordingSavedEvent(
            path="-",
            paths=["-"],
            sidecar=None,
            format=self.settings.destination.kind,
            samples=samples,
            seconds=round(log.audio_format.duration_of(samples), 3),
            bytes=self._writer.written_bytes,
            lost_samples=log.ledger.lost_samples,
            unrecorded_samples=self.lost_samples,
            complete=not log.ledger.lost_samples and not self.lost_audio,
            warnings=[],
        )
        self._reporter.emit(event, **log.identity)

    def _fail(self, reason: str) -> None:
        if not self.lost_audio and self._log is not None:
            self.lost_audio = True
            event = RecordingFailedEvent(path="-", reason=reason)
            self._reporter.emit(event, **self._log.identity)

    def _break(self, exc: OSError) -> None:
        self._broken = True
        self._fail("its reader is gone" if isinstance(exc, BrokenPipeError) else exc.strerror or str(exc))
        self.on_broken()

    def _break_soon(self, exc: OSError) -> None:
        with suppress(RuntimeError):  # The loop is closed after a second signal.
            self._loop.call_soon_threadsafe(self._break, exc)


class PipeRecording:
    """One call on its way to a pipe; audio is held back while a gap may be pending."""

    path = "-"
    is_behind = False  # There is no other call.

    def __init__(self, recorder: PipeRecorder, log: LiveCallLog) -> None:
        settings = recorder.settings
        self._recorder = recorder
        self._log = log
        self._settings = settings
        self._map = ChannelMap(settings.layout, log.audio_format)
        self.frame_bytes = self._map.output_format.frame_bytes
        self._held: list[tuple[int, bytes]] = []
        if settings.destination.kind == "wav":
            recorder.write_header(stream_header(self._map.output_format))

    @property
    def unwritten_samples(self) -> int:
        held = sum(len(data) for _, data in self._held) // self._log.audio_format.frame_bytes
        return held + self._recorder.waiting_samples

    @property
    def unrecorded_samples(self) -> int:
        return self._recorder.lost_samples

    def write_audio(self, position: int, data: bytes) -> None:
        self._held.append((position, data))
        if not (self._settings.fill and self._log.ledger.stalled):
            self._release()

    def note_gap(self, gap: Gap) -> None:
        if self._settings.fills_gap(gap):
            self._release(until=gap.position)
            silence = gap.missing * self._map.output_format.frame_bytes
            for start in range(0, silence, SILENCE_BLOCK):
                self._recorder.write_data(bytes(min(SILENCE_BLOCK, silence - start)))
        self._release()

    def change_format(self, audio_format: AudioFormat) -> None:
        """Do nothing: the reader has the header already."""

    def end_call(self) -> None:
        self._release()

    def _release(self, until: int | None = None) -> None:
        while self._held and (until is None or self._held[0][0] < until):
            _, data = self._held.pop(0)
            self._recorder.write_data(self._map.rearrange(data)[0])
