"""Read captures one after another, report damage on stderr, and stop cleanly at a signal."""

import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from types import FrameType

from listenctl.capture.capture_events import CapturedSession, CaptureEvent, SessionOpened
from listenctl.capture.packets.packet_batches import CaptureNotice
from listenctl.capture.read_capture import read_capture
from listenctl.capture.tls.key_log import KeyLog, KeyLogFile
from listenctl.errors import ListenctlError
from listenctl.terminal.printable_text import printable
from listenctl.terminal.standard_streams import write_message
from listenctl.terminal.stop_signals import STOP_SIGNALS

STDIN = "-"
Handler = Callable[[int, FrameType | None], object] | int | None
_MOST_NOTICES = 20
"""Per file; further ones are counted."""


class Captures:
    """
    The files that are inspected.

    Args:
        keylog: a file with TLS secrets.

    Raises:
        UsageError: the key log can't be read, or it is empty and no capture is live.
    """

    def __init__(self, files: Sequence[str], keylog: Path | None = None) -> None:
        self.files = files
        self.failures: list[str] = []  # why files couldn't be read
        self.incomplete: set[str] = set()  # files of which a part that may have calls couldn't be read
        self.interrupted = 0  # the signal that stopped the reading before the end of the files, or 0
        self._keylog = KeyLogFile(keylog, live=self.live) if keylog else None
        if self._keylog is not None and not self._keylog:
            write_message(printable(f"{keylog}: contains no TLS secrets yet"))

    @property
    def live(self) -> bool:
        """Whether stdin is one of the files; it can be read only once and may be a live capture."""
        return STDIN in self.files

    def read(self, *, quiet: bool = False, join_audio: bool = True) -> Iterator[CaptureEvent]:
        """
        Yield the events of all files; sessions are numbered across files.

        Args:
            quiet: don't report damage.
            join_audio: join consecutive audio of a session; otherwise yield each frame in order of time.
        """
        self.failures.clear()
        self.incomplete.clear()
        stopping = _Stopping()
        numbers = count(1)
        recordings: set[str] = set()
        for path in self.files:
            notices = _Notices(path, quiet=quiet)
            # Secrets inside a capture are for that capture only.
            keylog = KeyLog() if self._keylog is None else self._keylog
            try:
                events = read_capture(
                    path, keylog=keylog, numbers=numbers, join_audio=join_audio, recordings=recordings
                )
                for event in events if quiet else stopping.read(events):
                    notices.add_event(event)
                    if isinstance(event, CaptureNotice) and event.unread:
                        self.incomplete.add(path)
                    yield event
            except ListenctlError as exc:
                self.failures.append(str(exc))
            notices.report_omitted()
            if stopping.number:
                self._end_early(path, stopping.number)
                return

    def _end_early(self, path: str, number: int) -> None:
        # A signal is the normal end of a live capture. In a file, the rest is missing.
        if path == STDIN and self.files[-1] == path:
            return
        self.interrupted = number
        write_message(f"{printable(path)}: interrupted; the results cover only the part read so far")


class _Notices:
    """Report damage of a file on stderr."""

    def __init__(self, path: str, *, quiet: bool) -> None:
        self._path = path
        self._quiet = quiet
        self._count = 0
        self._encrypted: CapturedSession | None = None

    def add_event(self, event: CaptureEvent) -> None:
        if type(event) is SessionOpened and event.session.encrypted:
            self._encrypted = event.session
        # Sessions that can't be decrypted are reported together at the end.
        if isinstance(event, CaptureNotice) and not (self._encrypted and event.what == self._encrypted.unreadable):
            self._count += 1
            if self._count <= _MOST_NOTICES and not self._quiet:
                write_message(printable(f"{self._path}: {event}"))

    def report_omitted(self) -> None:
        if self._count > _MOST_NOTICES and not self._quiet:
            write_message(f"{printable(self._path)}: {self._count - _MOST_NOTICES} more problems")


class _Stopping:
    """Stop reading at the first signal, which may also stop the capturing program; a second one exits."""

    def __init__(self) -> None:
        self.number = 0  # the received signal, or 0
        self._reading = False
        self._before: dict[int, Handler] = {}

    def read(self, events: Iterator[CaptureEvent]) -> Iterator[CaptureEvent]:
        """Yield events until a signal arrives."""
        # Under nohup, a closed terminal stops nothing.
        ignored = {number for number in (signal.SIGHUP,) if signal.getsignal(number) is signal.SIG_IGN}
        self._before = {number: signal.signal(number, self._stop) for number in STOP_SIGNALS if number not in ignored}
        try:
            while not self.number:
                try:
                    self._reading = True
                    event = next(events, None)
                except _Stopped:
                    return
                finally:
                    self._reading = False
                if event is None:
                    return
                yield event
        finally:
            self._restore()

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        self._restore()
        if self._reading:
            raise _Stopped

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class _Stopped(BaseException):
    """Raised by a signal handler to leave a blocking read."""
