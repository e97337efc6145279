"""
Record calls without ever making the event loop wait for a disk.

The loop collects the audio of all calls and hands it over in batches to one writer thread, which owns every open file.
What follows the end of a call (sync, other formats) is done by a few workers more, so that it doesn't delay the others.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from listenctl.events import EventFields, RecordingFailedEvent, RecordingSavedEvent, Reporter
from listenctl.media.files.background_writer import BackgroundWriter, Job, LoopMailbox, run_job
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap_ledger import Gap, GapKind
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.recording.recording_writer import Piece, RecordingWriter, RecordSettings, Tell

# Audio that comes in small pieces is written when this much has come together, in seconds.
WRITE_EVERY = 0.25
# What may wait for a slow disk, for all calls together; what is beyond that is lost and reported.
MAX_WAITING_BYTES = 256 * 1024 * 1024
FINISHERS = 2


class CallRecording(Protocol):
    """What a call gives its audio to; nothing here waits."""

    @property
    def path(self) -> str:
        """The file, empty while there is none."""

    def write_audio(self, position: int, data: bytes) -> None:
        """Record whole sample frames that begin at ``position`` of the call."""

    def note_gap(self, gap: Gap) -> None:
        """Take a gap into account that the ledger has found."""

    def change_format(self, audio_format: AudioFormat) -> None:
        """Read the bytes so far as another format, because the metadata came late."""

    def end_call(self) -> None:
        """Finish the recording; the log is complete."""


class CallRecorder(Protocol):
    """Records the calls of a server."""

    lost_audio: bool
    """Whether any recording lacks what its call delivered."""
    recorded_bytes: int
    recorded_seconds: float

    def start_recording(self, log: LiveCallLog) -> CallRecording:
        """Begin to record a call."""

    def flush(self, now: float) -> None:
        """Hand on what has come together; called after each batch of reads."""

    async def finish_recordings(self) -> None:
        """Wait until every recording is finished."""


class FileRecorder:
    """Record every call to files of its own."""

    def __init__(self, settings: RecordSettings, reporter: Reporter) -> None:
        self.lost_audio = False
        self.recorded_bytes = 0
        self.recorded_seconds = 0.0
        self._settings = settings
        self._reporter = reporter
        self._results = LoopMailbox(asyncio.get_running_loop())
        self._unfinished = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._waiting: dict[FileRecording, None] = {}
        self._jobs: list[Job] = []
        self._writer = BackgroundWriter("writer", MAX_WAITING_BYTES)
        self._finishers = ThreadPoolExecutor(max_workers=FINISHERS, thread_name_prefix="finisher")

    def start_recording(self, log: LiveCallLog) -> "FileRecording":
        """Begin to record a call."""
        self._unfinished += 1
        self._idle.clear()
        return FileRecording(
            self,
            RecordingWriter(self._settings, log, self._teller(log), self._writer.add_low_priority_job),
            log.audio_format,
        )

    def flush(self, now: float) -> None:
        """Hand the writer what has come together."""
        for recording in [waiting for waiting in self._waiting if waiting.is_due(now)]:
            self._take(recording)
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

    def await_write(self, recording: "FileRecording", size: int) -> bool:
        """Let ``recording`` be written at one of the next flushes; False when the disk is too far behind."""
        if not self._writer.reserve_bytes(size):
            self.lost_audio = True
            return False
        self._waiting[recording] = None
        return True

    def add_job(self, recording: "FileRecording", job: Job) -> None:
        """Have ``job`` done by the writer after all that ``recording`` has waiting."""
        if recording in self._waiting:
            self._take(recording)
        self._jobs.append(job)

    def add_end(self, recording: "FileRecording", track: RecordingWriter) -> None:
        """Have ``track`` finished after all that ``recording`` has waiting."""
        self.add_job(recording, partial(self._end, track))

    def fills(self, gap: Gap) -> bool:
        """Tell whether silence is to be put where ``gap`` is."""
        return self._settings.fill and gap.missing > 0 and gap.kind in (GapKind.HOLE, GapKind.PAUSE)

    def _take(self, recording: "FileRecording") -> None:
        del self._waiting[recording]
        size, write = recording.take()
        self._jobs.append(write)
        self._jobs.append(partial(self._writer.release_bytes, size))

    def _teller(self, log: LiveCallLog) -> Tell:
        return lambda event: self._results.add_job(partial(self._report, log, event))

    def _report(self, log: LiveCallLog, event: EventFields) -> None:
        match event:
            case RecordingFailedEvent():
                self.lost_audio = True
            case RecordingSavedEvent():
                self._count_saved(event)
        self._reporter.emit(event, call=log.id, call_sid=log.metadata.call_sid)

    def _count_saved(self, saved: RecordingSavedEvent) -> None:
        self.recorded_bytes += saved.bytes
        self.recorded_seconds += saved.seconds
        self.lost_audio |= bool(saved.unrecorded_samples)

    def _note_end(self) -> None:
        self._unfinished -= 1
        if not self._unfinished:
            self._idle.set()

    # The rest runs in the writer thread, or in a finisher.

    def _end(self, track: RecordingWriter) -> None:
        if track.takes_time:
            self._finishers.submit(self._finish_track, track)
        else:
            self._writer.add_low_priority_job(partial(self._finish_track, track))

    def _finish_track(self, track: RecordingWriter) -> None:
        run_job(track.finish)
        self._results.add_job(self._note_end)


class FileRecording:
    """One call's recording as the event loop sees it: audio that waits for its turn to be written."""

    def __init__(self, recorder: FileRecorder, track: RecordingWriter, audio_format: AudioFormat) -> None:
        self._recorder = recorder
        self._track = track
        self._pieces: list[Piece] = []
        self._bytes = 0
        self._first_at: float | None = None
        self._dropping = False
        self._enough = audio_format.byte_rate * WRITE_EVERY
        recorder.add_job(self, track.open)

    @property
    def path(self) -> str:
        """The file, empty while there is none."""
        return self._track.path

    def write_audio(self, position: int, data: bytes) -> None:
        """Record whole sample frames that begin at ``position`` of the call."""
        if self._recorder.await_write(self, len(data)):
            self._dropping = False
            self._pieces.append((position, data))
            self._bytes += len(data)
        elif not self._dropping:
            self._dropping = True
            self._recorder.add_job(self, self._track.note_backlog)

    def note_gap(self, gap: Gap) -> None:
        """Take a gap into account that the ledger has found."""
        if self._recorder.fills(gap):
            self._recorder.add_job(self, partial(self._track.fill, gap))

    def change_format(self, audio_format: AudioFormat) -> None:
        """Read the bytes so far as another format, because the metadata came late."""
        self._recorder.add_job(self, partial(self._track.change_format, audio_format))

    def end_call(self) -> None:
        """Finish the recording; the log is complete."""
        self._recorder.add_end(self, self._track)

    def is_due(self, now: float) -> bool:
        """Tell whether enough has come together, or what there is has waited long enough."""
        if self._bytes >= self._enough:
            return True
        self._first_at = now if self._first_at is None else self._first_at
        return now - self._first_at >= WRITE_EVERY

    def take(self) -> tuple[int, Job]:
        """Return the size of all that waits, and the job that writes it."""
        pieces, self._pieces = self._pieces, []
        size, self._bytes = self._bytes, 0
        self._first_at = None
        return size, partial(self._track.write, pieces)
