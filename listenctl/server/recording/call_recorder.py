"""
Record calls without making the event loop wait for a disk: one writer thread owns every open file, and gets the audio
of all calls in batches. What follows the end of a call (sync, conversion) is done by a few more threads.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import inf
from pathlib import Path
from typing import Protocol

from listenctl.background_writer import BackgroundWriter, Job, LoopMailbox, run_job
from listenctl.events import (
    CallIdentity,
    EventFields,
    RecordingFailedEvent,
    RecordingSavedEvent,
    Reporter,
    WarningEvent,
)
from listenctl.media.files.wav_recording import Recording
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.gaps.gap import Gap
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.operations.metric_families import Durations, Gauge, LabelledTotal, MetricFamily
from listenctl.server.recording.conversion_pool import ConversionPool
from listenctl.server.recording.recording_queue import DiskBacklog, RecordingQueue
from listenctl.server.recording.recording_writer import RecordingWriter, RecordSettings

# Seconds of audio that are collected before they are written.
WRITE_EVERY = 0.25
# Bytes that may wait for a slow disk, of all calls; beyond that audio is lost and reported.
MAX_WAITING_BYTES = 256 * 1024 * 1024
MAX_WAITING_OF_CALL = MAX_WAITING_BYTES // 4
# Of a call that sends far faster than real time, and of all calls while there is one: beyond that it isn't read.
MAX_AHEAD_OF_CALL = 1024 * 1024
MAX_AHEAD = MAX_WAITING_BYTES // 4
FINISHERS = 2
# Seconds that audio waits for the disk when it is reported as slow.
SLOW_DISK = 1.0
# Seconds until a recording that the disk didn't take is finished again, and how long this goes on when the server ends.
RETRY_AFTER = 1.0
GIVE_UP_AFTER = 5.0
MAX_DELAYED = 1000

logger = logging.getLogger(__name__)


class CallRecording(Protocol):
    """Gets the audio of one call; nothing here waits."""

    @property
    def path(self) -> str:
        """The file, empty while there is none."""

    @property
    def unwritten_samples(self) -> int:
        """Samples per channel that came and are in memory only: what a crash would cost."""

    @property
    def unrecorded_samples(self) -> int:
        """Samples per channel that came and will not be in the recording, as far as is known."""

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

    @property
    def folder(self) -> Path | None:
        """The folder of the recordings, as far as it is the same for all; None without one."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes of audio that wait to be written."""

    @property
    def finishing(self) -> int:
        """Recordings of calls that have ended whose files may still be open."""

    def describe_metrics(self) -> Iterable[MetricFamily]:
        """Return metrics of the disk and of conversions."""

    def start_recording(self, log: LiveCallLog, max_bytes: int | None = None) -> CallRecording:
        """Record a call in files that take ``max_bytes`` together; None is no limit."""

    def flush(self, now: float) -> None:
        """Write what has been collected; called after each batch of reads."""

    def pause_recording(self, reason: str) -> None:
        """Drop audio of all calls from now on, and report the reason; an empty one ends that."""

    def stop_conversions(self) -> None:
        """Leave recordings that are not converted yet as WAVs."""

    async def finish_recordings(self) -> None: ...


class FileRecorder:
    """Record every call to files of its own."""

    def __init__(
        self,
        settings: RecordSettings,
        reporter: Reporter,
        on_opened: Callable[[LiveCallLog, Recording], None] | None = None,
        deliver: Callable[[RecordingSavedEvent, CallIdentity], None] | None = None,
    ) -> None:
        self.lost_audio = False
        self._on_opened = on_opened  # called, in the event loop, when the files of a call are there
        self.recorded_bytes = 0
        self.recorded_seconds = 0.0
        self._finishing: set[RecordingWriter] = set()
        self._settings = settings
        self._reporter = reporter
        self._deliver = deliver  # gets what is saved, and reports it later; None to report it at once
        self._loop = asyncio.get_running_loop()
        self._results = LoopMailbox(self._loop)
        self._unfinished = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._live: dict[FileRecording, None] = {}
        self._waiting: dict[FileRecording, None] = {}
        self._backlog = DiskBacklog()
        self._disk_is_slow = False
        self._paused = ""
        self._delayed = 0  # number of recordings that are finished later
        self._give_up_at = inf
        self._writer = BackgroundWriter("writer", MAX_WAITING_BYTES, around_low_priority=self._results.collect_jobs)
        self._conversions = ConversionPool()
        self._slow_finishes: deque[Job] = deque()
        self._finishers = ThreadPoolExecutor(max_workers=FINISHERS, thread_name_prefix="finisher")

    @property
    def folder(self) -> Path | None:
        return self._settings.destination.fixed_folder

    @property
    def finishing(self) -> int:
        return len(self._finishing)

    def describe_metrics(self) -> Iterator[MetricFamily]:
        conversions, now = self._conversions, self._loop.time()
        yield Gauge("recording_queue_seconds", "How long the oldest audio has waited", self._backlog.age(now))
        yield Durations("recording_wait_seconds", "How long audio waited until it was written", self._backlog.waits)
        waiting = 0 if self._settings.destination.kind == "wav" else len(self._slow_finishes)
        yield Gauge("conversions_waiting", "Recordings that wait for their conversion", waiting)
        yield Gauge("conversions_running", "Conversions that run", conversions.running)
        yield LabelledTotal("conversions", "Conversions, by result", "result", conversions.results)

    def start_recording(self, log: LiveCallLog, max_bytes: int | None = None) -> "FileRecording":
        self._unfinished += 1
        self._idle.clear()
        opened = self._on_opened
        writer = RecordingWriter(
            self._settings,
            log,
            lambda event: self._results.add_job(partial(self._report, log, event)),
            self._writer.add_low_priority_job,
            self._loop.time,
            self._conversions,
            lambda writer: self._results.add_job(partial(self._finishing.discard, writer)),
            (lambda _: None) if opened is None else (lambda files: self._results.add_job(partial(opened, log, files))),
            max_bytes,
        )
        recording = FileRecording(self, writer, self._settings, log)
        self._live[recording] = None
        return recording

    def flush(self, now: float) -> None:
        self._write([recording for recording in self._waiting if recording.is_due(now)], now)
        self._check_backlog(self._backlog.age(now))

    def pause_recording(self, reason: str) -> None:
        self._paused = reason

    def stop_conversions(self) -> None:
        self._conversions.stop()

    async def finish_recordings(self) -> None:
        """Wait until every recording is finished, and end the threads."""
        self._write(list(self._waiting), self._loop.time())
        self._give_up_at = self._loop.time() + GIVE_UP_AFTER
        self._writer.raise_low_priority()
        await self._idle.wait()
        await asyncio.to_thread(self._conversions.close)
        await asyncio.to_thread(self._writer.close)
        self._finishers.shutdown()

    def schedule_write(self, recording: "FileRecording", size: int) -> str:
        """Have ``recording`` written at one of the next flushes; return why it can't be, empty if it can."""
        if self._paused:
            return self._paused
        if recording.queue.waiting_bytes + size > MAX_WAITING_OF_CALL or not self._writer.reserve_bytes(size):
            return "the disk is too slow"
        self._waiting[recording] = None
        return ""

    def schedule_job(self, recording: "FileRecording") -> None:
        """Have the writer run the job that ``recording`` has got, at the next flush."""
        self._waiting[recording] = None

    def end_recording(self, recording: "FileRecording", writer: RecordingWriter) -> None:
        del self._live[recording]
        self._finishing.add(writer)
        recording.add_job(partial(self.finish_writer, writer))

    def _write(self, recordings: Sequence["FileRecording"], now: float) -> None:
        for recording in recordings:
            del self._waiting[recording]
        queues = [recording.queue for recording in recordings if recording.begin_write()]
        if queues:
            # One job for all of them, because each job costs as much as a part of the write.
            self._backlog.add_turn(now)
            self._writer.add_jobs(partial(self._write_queues, queues))

    def _check_backlog(self, age: float) -> None:
        """Say when audio is in memory for so long that a crash would cost much of it, and when that is over."""
        if not self._disk_is_slow and age > SLOW_DISK:
            self._disk_is_slow = True
            seconds = sum(recording.unwritten_seconds for recording in self._live)
            detail = (
                f"the disk is too slow: audio waits {age:.1f} s for it; {seconds:.1f} s of {len(self._live)} calls are "
                "in memory only, which a crash would lose"
            )
            self._reporter.emit(WarningEvent(rule="slow-disk", detail=detail))
        elif self._disk_is_slow and age < SLOW_DISK / 2:
            self._disk_is_slow = False
            self._reporter.emit(WarningEvent(rule="disk-caught-up", detail="the disk has taken the audio that waited"))

    def _report(self, log: LiveCallLog, event: EventFields) -> None:
        match event:
            case RecordingFailedEvent():
                self.lost_audio = True
            case RecordingSavedEvent():
                self.recorded_bytes += event.bytes
                self.recorded_seconds += event.seconds
                self.lost_audio |= bool(event.unrecorded_samples)
                if self._deliver is not None:
                    self._deliver(event, log.identity)
                    return
        self._reporter.emit(event, **log.identity)

    def _note_end(self) -> None:
        self._unfinished -= 1
        if not self._unfinished:
            self._idle.set()

    @property
    def waiting_bytes(self) -> int:
        return self._writer.waiting_bytes

    def _finish_later(self, writer: RecordingWriter) -> None:
        self._delayed += 1
        at = self._loop.time() + RETRY_AFTER
        last = at >= self._give_up_at or self._delayed > MAX_DELAYED
        self._loop.call_at(at, self._finish_again, writer, last)

    def _finish_again(self, writer: RecordingWriter, last: bool) -> None:
        self._delayed -= 1
        self._writer.add_jobs(partial(self.finish_writer, writer, last))

    # The rest runs in the writer thread, or in a finisher.

    def release_bytes(self, size: int) -> None:
        self._writer.release_bytes(size)

    def finish_writer(self, writer: RecordingWriter, last: bool = False) -> None:
        """Finish a recording; unless it is the ``last`` try, again later if the disk doesn't take it."""
        if writer.prepare_finish():
            self._finish_in_thread(writer, last)
        else:
            self._writer.add_low_priority_job(partial(self._finish_unless_slow, writer, last))

    def _finish_unless_slow(self, writer: RecordingWriter, last: bool) -> None:
        if writer.keeps_names():
            self._finish_recording(writer, last, names_kept=True)
        else:
            self._finish_in_thread(writer, last)

    def _finish_in_thread(self, writer: RecordingWriter, last: bool) -> None:
        self._slow_finishes.append(partial(self._finish_recording, writer, last))
        try:
            self._finishers.submit(self._finish_next)
        except RuntimeError:  # No thread can be started; but if there is one already, it does the job.
            self._writer.add_low_priority_job(self._finish_next)

    def _finish_next(self) -> None:
        try:
            finish = self._slow_finishes.popleft()
        except IndexError:
            return
        finish()

    def _finish_recording(self, writer: RecordingWriter, last: bool, *, names_kept: bool = False) -> None:
        finished = True
        try:
            finished = writer.finish_recording(last=last, names_kept=names_kept)
        except Exception as exc:
            logger.exception("a recording could not be finished")
            writer.give_up(f"it could not be finished: {type(exc).__name__}: {exc}")
        self._results.add_job(self._note_end if finished else partial(self._finish_later, writer))

    def _write_queues(self, queues: Sequence[RecordingQueue]) -> None:
        for queue in queues:
            run_job(queue.write_items)
        self._backlog.end_turn(self._loop.time())


class FileRecording:
    """One call's recording on the event loop: collects audio until it is written."""

    def __init__(
        self, recorder: FileRecorder, writer: RecordingWriter, settings: RecordSettings, log: LiveCallLog
    ) -> None:
        self.queue = RecordingQueue(writer, recorder.release_bytes)
        self._recorder = recorder
        self._writer = writer
        self._settings = settings
        self._log = log
        self._collected = 0  # bytes since the last write began
        self._first_at: float | None = None
        self._has_job = False
        self._dropping = False
        self._enough = log.audio_format.byte_rate * WRITE_EVERY
        self.add_job(writer.open_files)

    @property
    def path(self) -> str:
        return self._writer.path

    @property
    def is_behind(self) -> bool:
        return self.queue.waiting_bytes > MAX_AHEAD_OF_CALL or self._recorder.waiting_bytes > MAX_AHEAD

    @property
    def unwritten_samples(self) -> int:
        return max(0, self._log.samples - self._writer.position)

    @property
    def unwritten_seconds(self) -> float:
        return self._log.audio_format.duration_of(self.unwritten_samples)

    @property
    def unrecorded_samples(self) -> int:
        return self._writer.lost_samples

    def write_audio(self, position: int, data: bytes) -> None:
        reason = self._recorder.schedule_write(self, len(data))
        if not reason:
            self._dropping = False
            self.queue.add_audio(position, data)
            self._collected += len(data)
        elif not self._dropping:
            self._dropping = True
            self._recorder.lost_audio = True
            self.add_job(partial(self._writer.report_dropping, reason))

    def note_gap(self, gap: Gap) -> None:
        if self._settings.fills_gap(gap):
            self.add_job(partial(self._writer.fill_gap, gap))

    def change_format(self, audio_format: AudioFormat) -> None:
        self.add_job(partial(self._writer.change_format, audio_format))

    def end_call(self) -> None:
        self._recorder.end_recording(self, self._writer)

    def add_job(self, job: Job) -> None:
        """Let the writer do ``job`` after everything that has been collected."""
        self.queue.add_job(job)
        self._has_job = True
        self._recorder.schedule_job(self)

    def is_due(self, now: float) -> bool:
        """Return whether enough has been collected, or the collected audio has waited long enough."""
        if self._collected >= self._enough or self._has_job:
            return True
        self._first_at = now if self._first_at is None else self._first_at
        return now - self._first_at >= WRITE_EVERY

    def begin_write(self) -> bool:
        """Collect for the next write from now on; return whether the queue needs a turn for this one."""
        self._collected = 0
        self._first_at = None
        self._has_job = False
        return self.queue.take_turn()
