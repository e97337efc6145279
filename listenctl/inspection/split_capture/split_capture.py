"""Split captures into one file per call; each is read again, as only a call's end shows which packets belong to it."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path

from listenctl.capture.compressed_files import open_capture_file
from listenctl.capture.formats.dump_line_format import DumpEnd, DumpHeader
from listenctl.capture.formats.read_dump import MAX_LINE_BYTES, DumpItem, UnreadableLine, parse_dump_line
from listenctl.capture.read_capture import is_packet_capture
from listenctl.errors import ListenctlError
from listenctl.inspection.call_report import CallReport
from listenctl.inspection.split_capture.split_packets import split_packets
from listenctl.media.files.new_files import create_numbered
from listenctl.media.files.recording_names import clean_for_file_name


def split_captures(
    files: Sequence[str],
    reports: Sequence[CallReport],
    wanted: Collection[int],
    folder: Path,
    warn: Callable[[str], None],
) -> Iterator[Path]:
    """
    Write each call whose session number is ``wanted`` to its own file in ``folder``, and yield the paths; ``reports``
    are of all sessions in all files. Raises ListenctlError if a file can't be read or written.
    """
    for path in dict.fromkeys(files):
        sessions = [report for report in reports if report.session.source == path]
        calls = [report for report in sessions if report.session.number in wanted]
        if not calls:
            continue
        try:
            if is_packet_capture(open_capture_file(path).start):
                yield from split_packets(path, calls, folder, warn)
            else:
                first = min(report.session.number for report in sessions)
                yield from _split_dump(
                    path, {report.session.number - first: report.call for report in calls}, folder, warn
                )
        except OSError as exc:
            raise ListenctlError(f"{exc.filename or folder}: can't be written: {exc.strerror or exc}") from exc


def _split_dump(path: str, calls: dict[int, str], folder: Path, warn: Callable[[str], None]) -> Iterator[Path]:
    """Write the lines of calls; ``calls`` has their names by their index in the file."""
    lines = open_capture_file(path).open_stream()
    first = lines.readline(MAX_LINE_BYTES)
    if isinstance(parse_dump_line(first), UnreadableLine):
        warn(f"{path}: not a packet capture or dump; --split skips it")
        return
    rest = iter(lambda: lines.readline(MAX_LINE_BYTES), b"")
    parts = _DumpParts(calls, folder)
    try:
        for line in chain([first], rest):
            if made := parts.take_line(line):
                yield made
    finally:
        parts.close()


class _DumpParts:
    def __init__(self, calls: dict[int, str], folder: Path) -> None:
        self._calls = calls
        self._folder = folder
        self._index = -1
        self._within = False
        self._fd: int | None = None

    def take_line(self, line: bytes) -> Path | None:
        """Take a line; return the path of the file that it begins."""
        item = parse_dump_line(line)
        made = self._begin() if self._begins(item) else None
        if self._fd is not None:
            os.write(self._fd, line)
        self._within = self._within and not isinstance(item, DumpEnd)
        return made

    def _begins(self, item: DumpItem) -> bool:
        # As in `dump_sessions`.
        return isinstance(item, DumpHeader) or not (self._within or isinstance(item, UnreadableLine))

    def _begin(self) -> Path | None:
        self.close()
        self._index += 1
        self._within = True
        if self._index not in self._calls:
            return None
        claimed = create_numbered(self._folder / f"{clean_for_file_name(self._calls[self._index])}.jsonl")
        self._fd = claimed.fd
        return claimed.path

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None
