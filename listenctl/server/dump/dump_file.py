"""One call's dump in the writer thread; a disk that fails costs only the frames it didn't take, as the dump says."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from listenctl.capture.formats.dump_line_format import (
    DumpAudio,
    DumpEnd,
    DumpFault,
    DumpHeader,
    DumpLoss,
    audio_lines,
    event_line,
    frame_line,
    header_line,
)
from listenctl.events import DumpFailedEvent, DumpSavedEvent, EventFields, WarningEvent
from listenctl.media.files.kept_names import keeps_name, restore_name
from listenctl.media.files.new_files import create_numbered, write_all
from listenctl.protocol.timeline import TimedFrame

RETRY_AFTER = 1.0

Item = TimedFrame | DumpAudio | DumpFault | DumpLoss | DumpEnd


class DumpFile:
    def __init__(
        self, path: Path, header: DumpHeader, report: Callable[[EventFields], None], clock: Callable[[], float]
    ) -> None:
        self._path = path  # the wanted name; if it is taken the file gets a number
        self._header = header
        self._report = report  # an event of the dump, from any thread
        self._clock = clock
        self._fd: int | None = None
        self._size = 0
        self._frames = 0
        self._lost = 0
        self._unnoted = 0  # lost frames that no line of the dump reports yet
        self._retry_at: float | None = None

    def write_items(self, items: Iterable[Item]) -> None:
        """Write a batch of lines, all or none."""
        batch = list(items)
        if not batch:
            return
        frames = sum(map(_frames_in, batch))
        # Losses before this point have their lines in the batch already.
        self._lost += sum(item.frames for item in batch if isinstance(item, DumpLoss))
        if self._retry_at is not None and self._clock() < self._retry_at and not isinstance(batch[-1], DumpEnd):
            self._lose(frames)
            return
        try:
            self._append(self._open(), batch)
        except OSError as exc:
            self._fail(exc)
            self._lose(frames)
        else:
            self._frames += frames
            self._note_success()

    def report_backlog(self) -> None:
        self._report(DumpFailedEvent(path=str(self._path), reason="the disk is too slow"))

    def finish_dump(self) -> None:
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        try:
            self._restore_name(fd)
        except OSError as exc:
            self._report(DumpFailedEvent(path=str(self._path), reason=f"it was deleted: {exc.strerror or exc}"))
            return
        finally:
            os.close(fd)
        path, frames = str(self._path), self._frames
        self._report(DumpSavedEvent(path=path, frames=frames, bytes=self._size, lost_frames=self._lost))

    def _restore_name(self, fd: int) -> None:
        if keeps_name(fd, self._path):
            return
        self._path = restore_name(fd, self._path)
        detail = f"the dump was deleted or moved while the call lasted; it is restored as {self._path}"
        self._report(WarningEvent(rule="dump-restored", detail=detail))

    def _open(self) -> int:
        if self._fd is None:
            self._fd, self._path = create_numbered(self._path)
        return self._fd

    def _append(self, fd: int, batch: list[Item]) -> None:
        lines = [] if self._size else [header_line(self._header)]
        if self._unnoted:
            lines.append(event_line(DumpLoss(batch[0].at, self._unnoted)))
        lines += map(_lines_of, batch)
        data = b"".join(lines)
        try:
            write_all(fd, data, self._size)
        except OSError:
            # The next batch must begin a line.
            with suppress(OSError):
                os.ftruncate(fd, self._size)
            raise
        self._size += len(data)
        self._unnoted = 0

    def _lose(self, frames: int) -> None:
        self._lost += frames
        self._unnoted += frames

    def _fail(self, exc: OSError) -> None:
        if self._retry_at is None:
            self._report(DumpFailedEvent(path=str(self._path), reason=exc.strerror or str(exc)))
        self._retry_at = self._clock() + RETRY_AFTER

    def _note_success(self) -> None:
        if self._retry_at is not None:
            self._retry_at = None
            detail = f"the dump continues; {self._lost} frames are missing in it"
            self._report(WarningEvent(rule="dump-resumed", detail=detail))


def _frames_in(item: Item) -> int:
    return len(item.times) if isinstance(item, DumpAudio) else isinstance(item, TimedFrame)


def _lines_of(item: Item) -> bytes:
    if isinstance(item, DumpAudio):
        return audio_lines(item)
    return frame_line(*item) if isinstance(item, TimedFrame) else event_line(item)
