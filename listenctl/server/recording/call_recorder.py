"""
Record calls without making the event loop wait for a disk: one writer thread owns every open file, and gets the audio
of all calls in batches. What follows the end of a call (sync, conversion) is done by a few more threads.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from listenctl.background_writer import BackgroundWriter, Job, LoopMailbox, run_job
from listenctl.events import EventFields, RecordingFailedEvent, RecordingSavedEvent, Reporter
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap import Gap
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.recording.recording_writer import Piece, RecordingWriter, RecordSettings

# Seconds of audio that are collected before they are written.
WRITE_EVERY = 0.25
# Bytes that may wait for a slow disk, of all calls; beyond that audio is lost and reported.
MAX_WAITING_BYTES = 256 * 1024 * 1024
MAX_WAITING_OF_CALL = MAX_WAITING_BYTES // 4
# Of a call that sends far faster than real time, and of all calls while there is one: beyond that it isn't read.
MAX_AHEAD_OF_CALL = 1024 * 1024
MAX_AHEAD = MAX_WAITING_BYTES // 4
FINISHERS = 2


class CallRecording(Protocol):
    """Gets the audio of one call; nothing here waits."""

    @property
    def path(self) -> str:
        """The file, empty while there is none."""

    def write_audio(self, position: int, data: bytes) -> None:
        """Record whole sample frames that begin at ``position`` of the call."""

    def note_gap(self, gap: Gap) -> None: ...

    def change_format(self, audio_format: AudioFormat) -> None:
        """Interpret the bytes so far as another format, because the metadata came late."""

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for the disk that audio which can wait should not be read yet."""

    def end_call(self) -> None:
        """Finish the recording; the log is complete."""


class CallRecorder(Protocol):
    lost_audio: bool  # whether any recording lacks audio that its call delivered
    recorded_bytes: int
    recorded_seconds: float
    finishing: int  # recordings of calls that have ended whose files may still be open

    def start_recording(self, log: LiveCallLog) -> CallRecording: ...

    def flush(self, now: float) -> None:
        """Write what has been collected; called after each batch of reads."""

    async def finish_recordings(self) -> None: ...


class FileRecorder:
    """Record every call to files of its own."""

    def __init__(self, settings: RecordSettings, reporter: Reporter) -> None:
        self.lost_audio = False
        self.recorded_bytes = 0
        self.recorded_seconds = 0.0
        self.finishing = 0
        self._settings = settings
        self._reporter = reporter
        self._loop = asyncio.get_running_loop()
        self._results = LoopMailbox(self._loop)
        self._unfinished = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._waiting: dict[FileRecording, None] = {}
        self._jobs: list[Job] = []
        self._writer = BackgroundWriter("writer", MAX_WAITING_BYTES)
        self._finishers = ThreadPoolExecutor(max_workers=FINISHERS, thread_name_prefix="finisher")

    def start_recording(self, log: LiveCallLog) -> "FileRecording":
        self._unfinished += 1
        self._idle.clear()
        writer = RecordingWriter(
            self._settings,
            log,
            lambda event: self._results.add_job(partial(self._report, log, event)),
            self._writer.add_low_priority_job,
            self._loop.time,
        )
        return FileRecording(self, writer, self._settings, log.audio_format)

    def flush(self, now: float) -> None:
        for recording in [waiting for waiting in self._waiting if waiting.is_due(now)]:
            self._hand_over(recording)
        if self._jobs:
            self._writer.add_jobs(*self._jobs)
            self._jobs = []

    async def finish_recordings(self) -> None:
        """Wait until every recording is finished, and end the threads."""
        self.flush(float("inf"))
        self._writer.raise_low_priority()
        await self._idle.wait()
        await asyncio.to_thread(self._writer.close)
        self._finishers.shutdown()

    def schedule_write(self, recording: "FileRecording", size: int) -> bool:
        """Have ``recording`` written at one of the next flushes; return False if the disk is too far behind."""
        if recording.waiting_bytes + size > MAX_WAITING_OF_CALL or not self._writer.reserve_bytes(size):
            self.lost_audio = True
            return False
        self._waiting[recording] = None
        return True

    def add_job(self, recording: "FileRecording", job: Job) -> None:
        """Let the writer do ``job`` after everything that ``recording`` has collected."""
        if recording in self._waiting:
            self._hand_over(recording)
        self._jobs.append(job)

    def _hand_over(self, recording: "FileRecording") -> None:
        del self._waiting[recording]
        size, write = recording.take_collected()
        self._jobs.append(write)
        self._jobs.append(partial(self._note_written, recording, size))

    def _report(self, log: LiveCallLog, event: EventFields) -> None:
        match event:
            case RecordingFailedEvent():
                self.lost_audio = True
            case RecordingSavedEvent():
                self.recorded_bytes += event.bytes
                self.recorded_seconds += event.seconds
                self.lost_audio |= bool(event.unrecorded_samples)
        self._reporter.emit(event, call=log.id, call_sid=log.metadata.call_sid)

    def _note_end(self) -> None:
        self._unfinished -= 1
        self.finishing -= 1
        if not self._unfinished:
            self._idle.set()

    @property
    def waiting_bytes(self) -> int:
        return self._writer.waiting_bytes

    # The rest runs in the writer thread, or in a finisher.

    def _note_written(self, recording: "FileRecording", size: int) -> None:
        self._writer.release_bytes(size)
        recording.written_bytes += size

    def finish_writer(self, writer: RecordingWriter) -> None:
        if writer.is_slow_to_finish:
            self._finishers.submit(self._finish_recording, writer)
        else:
            self._writer.add_low_priority_job(partial(self._finish_recording, writer))

    def _finish_recording(self, writer: RecordingWriter) -> None:
        run_job(writer.finish_recording)
        self._results.add_job(self._note_end)


class FileRecording:
    """One call's recording on the event loop: collects audio until it is written."""

    def __init__(
        self, recorder: FileRecorder, writer: RecordingWriter, settings: RecordSettings, audio_format: AudioFormat
    ) -> None:
        self._recorder = recorder
        self._writer = writer
        self._settings = settings
        self._pieces: list[Piece] = []
        self._bytes = 0
        self._taken_bytes = 0
        self.written_bytes = 0  # changed by the writer thread
        self._first_at: float | None = None
        self._dropping = False
        self._enough = audio_format.byte_rate * WRITE_EVERY
        recorder.add_job(self, writer.open_files)

    @property
    def path(self) -> str:
        return self._writer.path

    @property
    def waiting_bytes(self) -> int:
        """Bytes of this call that are not written yet."""
        return self._taken_bytes - self.written_bytes

    @property
    def is_behind(self) -> bool:
        return self.waiting_bytes > MAX_AHEAD_OF_CALL or self._recorder.waiting_bytes > MAX_AHEAD

    def write_audio(self, position: int, data: bytes) -> None:
        if self._recorder.schedule_write(self, len(data)):
            self._dropping = False
            self._pieces.append((position, data))
            self._bytes += len(data)
            self._taken_bytes += len(data)
        elif not self._dropping:
            self._dropping = True
            self._recorder.add_job(self, self._writer.report_backlog)

    def note_gap(self, gap: Gap) -> None:
        if self._settings.fills_gap(gap):
            self._recorder.add_job(self, partial(self._writer.fill_gap, gap))

    def change_format(self, audio_format: AudioFormat) -> None:
        self._recorder.add_job(self, partial(self._writer.change_format, audio_format))

    def end_call(self) -> None:
        self._recorder.finishing += 1
        self._recorder.add_job(self, partial(self._recorder.finish_writer, self._writer))

    def is_due(self, now: float) -> bool:
        """Return whether enough has been collected, or the collected audio has waited long enough."""
        if self._bytes >= self._enough:
            return True
        self._first_at = now if self._first_at is None else self._first_at
        return now - self._first_at >= WRITE_EVERY

    def take_collected(self) -> tuple[int, Job]:
        """Return the size of the collected audio, and the job that writes it."""
        pieces, self._pieces = self._pieces, []
        size, self._bytes = self._bytes, 0
        self._first_at = None
        return size, partial(self._writer.write_pieces, pieces)
