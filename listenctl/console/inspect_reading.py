"""Read several captures one after another, say what is wrong with them, and end in order when a live one is stopped."""

import signal
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from types import FrameType

from listenctl.capture.captured import CapturedSession, CaptureEvent, SessionOpened
from listenctl.capture.keylog_file import KeyLogFile
from listenctl.capture.packets import Notice
from listenctl.capture.reading import read_capture
from listenctl.capture.tls_keylog import KeyLog
from listenctl.console.stdio import complain
from listenctl.console.text import printable
from listenctl.errors import ListenctlError

STDIN = "-"
_MOST_NOTICES = 20
"""Of each file; the others are counted."""


class Captures:
    """
    The files that are inspected.

    Args:
        keylog: a file with TLS secrets.

    Attributes:
        failures: why files couldn't be read.

    Raises:
        ListenctlError: the key log can't be read.
    """

    def __init__(self, files: Sequence[str], keylog: Path | None = None) -> None:
        self.files = files
        self.failures: list[str] = []
        self._keylog = KeyLogFile(keylog) if keylog else None

    @property
    def live(self) -> bool:
        """Whether stdin is among them, which may go on for long and can be read once only."""
        return STDIN in self.files

    def read(self, *, quiet: bool = False, runs: bool = True) -> Iterator[CaptureEvent]:
        """
        Yield what all files hold; sessions are numbered over all of them.

        Args:
            quiet: don't say what is wrong with them.
            runs: of audio, one session after another; else frame by frame in order of time.
        """
        self.failures.clear()
        numbers = count(1)
        for path in self.files:
            notices = _Notices(path, quiet=quiet)
            # Secrets that a capture brings along are for that capture.
            keylog = self._keylog or KeyLog()
            try:
                events = read_capture(path, keylog=keylog, numbers=numbers, runs=runs)
                for event in _until_stopped(events) if path == STDIN else events:
                    notices.look_at(event)
                    yield event
            except ListenctlError as exc:
                self.failures.append(str(exc))
            notices.finish()


class _Notices:
    """Say what is wrong with a file, on stderr."""

    def __init__(self, path: str, *, quiet: bool) -> None:
        self._path = path
        self._quiet = quiet
        self._count = 0
        self._encrypted: CapturedSession | None = None

    def look_at(self, event: CaptureEvent) -> None:
        if type(event) is SessionOpened and event.session.encrypted:
            self._encrypted = event.session
        # Those that can't be decrypted are told together in the end.
        if isinstance(event, Notice) and not (self._encrypted and event.what == self._encrypted.unreadable):
            self._count += 1
            if self._count <= _MOST_NOTICES and not self._quiet:
                complain(printable(f"{self._path}: {event}"))

    def finish(self) -> None:
        if self._count > _MOST_NOTICES and not self._quiet:
            complain(f"{printable(self._path)}: {self._count - _MOST_NOTICES} more things are wrong with it")


def _until_stopped(events: Iterator[CaptureEvent]) -> Iterator[CaptureEvent]:
    """Yield events until a signal ends them, as Ctrl-C does that is meant for the capturing program as well."""
    stopped = reading = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        if reading:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not stopped:
            try:
                reading = True
                event = next(events, None)
            except KeyboardInterrupt:
                return
            finally:
                reading = False
            if event is None:
                return
            yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
