"""Dump every frame of every call: the event loop cuts the bytes into frames, a writer thread owns the open files."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path

from listenctl.background_writer import BackgroundWriter, Job, LoopMailbox
from listenctl.capture.formats.dump_line_format import DumpAudio, DumpEnd, DumpFault, DumpHeader, DumpLoss
from listenctl.errors import UsageError
from listenctl.events import CallIdentity, DumpFailedEvent, DumpSavedEvent, EventFields
from listenctl.media.files.new_files import check_writable, make_private_folder
from listenctl.media.files.recording_names import clean_for_file_name
from listenctl.protocol.frames.raw_frame_reader import RawFrameReader
from listenctl.protocol.frames.websocket_messages import BinaryMessages
from listenctl.protocol.listen_session import AudioRead, Sender
from listenctl.protocol.timeline import TimedFrame
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.dump.dump_file import DumpFile, Item
from listenctl.server.dump.dump_mask import DumpMask
from listenctl.server.recording.call_recorder import (
    MAX_AHEAD,
    MAX_AHEAD_OF_CALL,
    MAX_WAITING_BYTES,
    MAX_WAITING_OF_CALL,
)
from listenctl.server.server import ListenServer

# Seconds after which a frame is handed to the writer, and between two looks for such frames: what a crash costs.
WRITE_AFTER = 0.4
CHECK_EVERY = 0.1
# Bytes that may wait for the call's id: more than a session holds until it gives up on the metadata.
MAX_HELD_BYTES = 16 * 1024 * 1024
FRAME_OVERHEAD = 300


def check_folder(folder: Path) -> None:
    """Create the folder for dumps, and check that files can be created there; raises UsageError if they can't."""
    try:
        make_private_folder(folder)
    except OSError as exc:
        raise UsageError(f"{folder}: can't create the folder for dumps: {exc.strerror}") from exc
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder, so dumps can't be written there")
    try:
        check_writable(folder)
    except OSError as exc:
        raise UsageError(f"{folder}: dumps can't be written there: {(exc.strerror or str(exc)).lower()}") from exc


@asynccontextmanager
async def dumping(server: ListenServer, folder: Path | None) -> AsyncIterator["CallDumper | None"]:
    """Dump the calls of a server to ``folder``, unless that is None, and finish the dumps at the end."""
    if folder is None:
        yield None
        return
    dumper = CallDumper(folder, server)
    server.start_dump = dumper.start_dump
    try:
        yield dumper
    finally:
        await dumper.finish_dumps()


class CallDumper:
    def __init__(self, folder: Path, server: ListenServer) -> None:
        self.lost_frames = False  # whether frames are missing in any dump
        self._folder = folder
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._results = LoopMailbox(self._loop)
        self._waiting: dict[CallDump, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writer = BackgroundWriter("dumper", MAX_WAITING_BYTES)

    def start_dump(self) -> "CallDump":
        created = datetime.fromtimestamp(self._server.unix_clock(), UTC)
        text = created.isoformat(timespec="microseconds").replace("+00:00", "Z")
        settings = self._server.settings
        mask = DumpMask(settings.default_format) if settings.mask_dtmf else None
        return CallDump(self, self._loop.time(), text, self._server.limits.max_message, mask)

    async def finish_dumps(self) -> None:
        """Write everything that waits, also of calls that still last."""
        if self._timer is not None:
            self._timer.cancel()
        self._write_dumps([waiting for waiting in self._waiting if waiting.has_file])
        await asyncio.to_thread(self._writer.close)

    def schedule_write(self, dump: "CallDump", size: int) -> bool:
        """Have ``dump`` written soon; return False if the disk is too far behind."""
        if dump.waiting_bytes + size > MAX_WAITING_OF_CALL or not self._writer.reserve_bytes(size):
            return False
        self._waiting[dump] = None
        if self._timer is None:
            self._timer = self._loop.call_later(CHECK_EVERY, self._hand_over)
        return True

    def open_file(self, created: str, log: LiveCallLog | None) -> DumpFile:
        """Return the file of a call; ``log`` is None for one that ended before it had an id."""
        header = DumpHeader(created, server=self._server.url)
        if log is not None:
            header = replace(
                header,
                call=log.id,
                call_sid=log.metadata.call_sid,
                remote=log.remote,
                target=log.target,
                subprotocol=log.subprotocol,
            )
        about: CallIdentity = {"call": header.call} if log is None else log.identity
        path = self._folder / f"{clean_for_file_name(header.call)}.jsonl"
        return DumpFile(
            path, header, lambda event: self._results.add_job(partial(self._report, about, event)), self._loop.time
        )

    def hand_over(self, dump: "CallDump") -> None:
        self._writer.add_jobs(*self._take_jobs(dump))

    def add_job(self, job: Job) -> None:
        """Let the writer do ``job`` after everything that was handed over."""
        self._writer.add_jobs(job)

    @property
    def waiting_bytes(self) -> int:
        return self._writer.waiting_bytes

    def _take_jobs(self, dump: "CallDump") -> tuple[Job, Job]:
        self._waiting.pop(dump, None)
        size, job = dump.take_items(self._loop.time())
        if dump.has_waiting_item:
            self._waiting[dump] = None
        return job, partial(self._note_written, dump, size)

    def _note_written(self, dump: "CallDump", size: int) -> None:
        """Count frames as written; runs in the writer thread."""
        self._writer.release_bytes(size)
        dump.written_bytes += size

    def _hand_over(self) -> None:
        self._timer = None
        now = self._loop.time()
        self._write_dumps([waiting for waiting in self._waiting if waiting.is_due(now)])
        if self._waiting:
            self._timer = self._loop.call_later(CHECK_EVERY, self._hand_over)

    def _write_dumps(self, dumps: Sequence["CallDump"]) -> None:
        self._writer.add_jobs(*chain.from_iterable(map(self._take_jobs, dumps)))

    def _report(self, about: CallIdentity, event: EventFields) -> None:
        match event:
            case DumpFailedEvent():
                self.lost_frames = True
            case DumpSavedEvent(lost_frames=lost):
                self.lost_frames |= lost > 0
        self._server.reporter.emit(event, **about)


class CallDump:
    """One call's dump on the event loop: the frames that wait to be written."""

    def __init__(
        self, dumper: CallDumper, started_at: float, created: str, max_message: int, mask: DumpMask | None = None
    ) -> None:
        self._dumper = dumper
        self._mask = mask  # hides the digits, if they are to be hidden
        self._started_at = started_at
        self._at = 0.0
        self._created = created
        # Our own frames are complete; of a peer, a frame longer than the server accepts ends the reading.
        self._readers = {Sender.JAMBONZ: RawFrameReader(max_message), Sender.APPLICATION: RawFrameReader()}
        self._faulty: set[Sender] = set()
        self._items: list[Item] = []
        self._bytes = 0
        self._taken_bytes = 0
        self.written_bytes = 0  # changed by the writer thread
        self._lost = 0
        self._ended = False
        self._reported = False
        self._log: LiveCallLog | None = None
        self._file: DumpFile | None = None

    @property
    def has_file(self) -> bool:
        return self._file is not None

    def is_due(self, now: float) -> bool:
        """Return whether the frames that wait, of which there must be some, have waited long enough and have a file."""
        masked = None if self._mask is None else self._mask.oldest
        oldest = self._items[0] if masked is None else masked
        return self.has_file and now - self._started_at - oldest.at >= WRITE_AFTER

    @property
    def has_waiting_item(self) -> bool:
        return bool(self._items) or (self._mask is not None and self._mask.oldest is not None)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of this call that are not written yet."""
        return self._taken_bytes - self.written_bytes

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for the disk that frames which can wait should not be read yet."""
        return self.waiting_bytes > MAX_AHEAD_OF_CALL or self._dumper.waiting_bytes > MAX_AHEAD

    def set_log(self, log: LiveCallLog) -> None:
        self._log = log
        self._file = self._dumper.open_file(self._created, log)

    def add_data(self, sender: Sender, data: bytes, at: float) -> None:
        """Add what ``sender`` sent, ``at`` on the clock of the event loop, in any pieces."""
        at = self._since_start(at)
        reader = self._readers[sender]
        for frame in reader.feed(data):
            self._add(TimedFrame(at, sender, frame), 1, len(frame.payload) + FRAME_OVERHEAD)
        if reader.fault and sender not in self._faulty:
            self._faulty.add(sender)
            self._items.append(DumpFault(at, sender, reader.fault))

    def add_audio(self, audio: BinaryMessages, reads: Sequence[AudioRead]) -> None:
        """Add whole frames of jambonz, in these reads, which begin where a frame may begin."""
        times = [max(self._at, at - self._started_at) for at, messages in reads for _ in range(messages)]
        self._at = times[-1]
        size = len(audio.data) + FRAME_OVERHEAD * len(times)
        self._add(DumpAudio(times, audio.message_bytes, audio.data), len(times), size)

    def end_call(self, at: float) -> None:
        at = self._since_start(at)
        for sender, reader in self._readers.items():
            if reader.held_bytes and not reader.fault:
                detail = f"the connection ended within a frame, of which there are {reader.held_bytes} bytes"
                self._items.append(DumpFault(at, sender, detail))
        if self._file is None and not self._items and not self._lost:
            return
        file = self._file = self._file or self._dumper.open_file(self._created, None)
        self._note_loss(at)
        ending = None if self._log is None else self._log.ending
        end = (
            DumpEnd(at, None, None, "") if ending is None else DumpEnd(at, ending.closed_by, ending.code, ending.reason)
        )
        self._items.append(end)
        self._ended = True
        self._dumper.hand_over(self)
        self._dumper.add_job(file.finish_dump)

    def take_items(self, now: float) -> tuple[int, Job]:
        """Return the size of what waits, and the job that writes it, except what the mask holds back."""
        assert self._file is not None
        items, self._items = self._items, []
        if self._mask is not None:
            items = self._mask.feed(items, None if self._log is None else self._log.audio_format)
            rest = self._mask.oldest
            if rest is not None and (self._ended or now - self._started_at - rest.at >= WRITE_AFTER):
                items += self._mask.flush()
        size, self._bytes = self._bytes, 0
        return size, partial(self._file.write_items, items)

    def _add(self, item: TimedFrame | DumpAudio, frames: int, size: int) -> None:
        held_up = self._file is None and self._bytes + size > MAX_HELD_BYTES
        if held_up or not self._dumper.schedule_write(self, size):
            self._lost += frames
            if self._file is not None and not self._reported:
                self._reported = True
                self._dumper.add_job(self._file.report_backlog)
            return
        self._note_loss(item.at)
        self._items.append(item)
        self._bytes += size
        self._taken_bytes += size

    def _note_loss(self, at: float) -> None:
        if self._lost:
            self._items.append(DumpLoss(at, self._lost))
            self._lost = 0

    def _since_start(self, at: float) -> float:
        # Frames that came with the handshake were read before the call began.
        self._at = max(self._at, at - self._started_at)
        return self._at
