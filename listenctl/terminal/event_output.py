"""Events as JSON lines for scripts: on stdout, in a file, or both."""

import asyncio
import os
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

from listenctl.errors import UsageError
from listenctl.events import Reporter, WarningEvent
from listenctl.json_lines import json_line
from listenctl.terminal.line_writer import LineWriter
from listenctl.terminal.printable_text import count_noun
from listenctl.terminal.standard_streams import write_message

T = TypeVar("T")


class EventOutput:
    """
    Write all events that are reported after it is opened.

    Args:
        give_up: called once, in the event loop, when events can't be written any more; it reacts to that, and returns a
            few words about its reaction.
        report_problem: prints a problem of the output itself.
    """

    def __init__(
        self,
        reporter: Reporter,
        give_up: Callable[[], str],
        closing: ExitStack,
        report_problem: Callable[[str], None] = write_message,
    ) -> None:
        self.broken = False  # whether an event wasn't written, which was reported on stderr
        self.lost_events = False  # whether that was not because a reader had left
        self._reporter = reporter
        self._give_up = give_up
        self._report_problem = report_problem
        self._closing = closing  # closes it
        self._loop = asyncio.get_running_loop()
        self._file: tuple[int, Path] | None = None

    def open(self, *, stdout: bool, file: Path | None) -> None:
        """Write to stdout, append to a file, or both; raises UsageError if the file can't be written."""
        if stdout:
            self._write_to(sys.stdout.fileno(), "stdout")
        if file is not None:
            self._file = (append_to(file), file)
            self._write_to(self._file[0], str(file))

    def reopen(self) -> None:
        """Append to the file that has the name now, because the old one was renamed; may raise UsageError."""
        if self._file is not None:
            fd, path = self._file
            opened = append_to(path)
            # The writing thread may be using the number, which now means the new file.
            os.dup2(opened, fd, inheritable=False)
            os.close(opened)

    def _write_to(self, fd: int, name: str) -> None:
        writer = LineWriter(
            fd,
            on_broken=lambda reason: self._do_soon(self._break, name, reason),
            on_pause=lambda reason: self._do_soon(self._pause, name, reason),
            on_resume=lambda lost: self._do_soon(self._resume, name, lost),
        )
        self._closing.callback(self._end, writer, name)
        self._reporter.add_sink(lambda report: writer.write(json_line(report)))
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            # The write end of a pipe becomes readable only when its reader is gone.
            self._loop.add_reader(fd, self._note_left, fd, name)
            self._closing.callback(self._loop.remove_reader, fd)

    def _end(self, writer: LineWriter, name: str) -> None:
        if writer.close() and not self.broken:
            self.broken = self.lost_events = True
            self._report_problem(f"{name}: {writer.describe_loss('event')}")

    def _note_left(self, fd: int, name: str) -> None:
        self._loop.remove_reader(fd)
        self._break(name, "its reader is gone")

    def _do_soon(self, report: Callable[[str, T], None], name: str, detail: T) -> None:
        with suppress(RuntimeError):  # The loop has ended.
            self._loop.call_soon_threadsafe(report, name, detail)

    def _pause(self, name: str, reason: str) -> None:
        self._report_problem(f"{name}: events can't be written now: {reason.lower()}; they wait until this is over")

    def _resume(self, name: str, lost: int) -> None:
        missing = f"{count_noun(lost, 'event')} before this one didn't fit into memory" if lost else "none is missing"
        detail = f"{name}: events are written again; {missing}"
        self._reporter.emit(WarningEvent(rule="events-resumed", detail=detail))

    def _break(self, name: str, reason: str) -> None:
        if not self.broken:
            self.broken = True
            self._report_problem(f"{name}: events can't be written: {reason.lower()}; {self._give_up()}")


def append_to(path: Path) -> int:
    """Open a file to append lines to, readable only by its owner; raises UsageError if it can't be written."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise UsageError(f"{path}: can't be written: {exc.strerror}") from exc
