"""
What a command logs to stderr: its events, and the records of Python's logging, in one format.

On a terminal a live view is drawn and the lines that last are printed above it; otherwise each is a line. Events on
stdout, in a file and on the control socket are data that programs rely on: no level, limit or redaction applies there.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Container, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import time

from listenctl.events import LogEvent, Reporter, WarningEvent, describe_event
from listenctl.json_lines import MAX_TEXT, ReportedEvent
from listenctl.protocol.privacy.shorten_numbers import shorten_numbers
from listenctl.terminal.event_lines import LOGGED_EVENTS, REPEATED_EVENTS, LogLevel, events_from
from listenctl.terminal.line_writer import LineWriter
from listenctl.terminal.live_view import LiveView
from listenctl.terminal.log_lines import LogFormat, format_log_line
from listenctl.terminal.peer_line_limit import PERIOD, LoggedPeer, PeerLineLimit
from listenctl.terminal.printable_text import TextStyle
from listenctl.terminal.screen import can_draw
from listenctl.terminal.standard_streams import write_message, write_to_stderr

MAX_TRACEBACK = 16 * 1024


@dataclass(frozen=True, slots=True)
class LogSettings:
    format: LogFormat = LogFormat.TEXT
    level: LogLevel = LogLevel.INFO  # the lowest that is logged; at ERROR there is no live view either
    limited: bool = False  # whether a peer may cause only so many lines
    redact: bool = False  # whether phone numbers are shortened


TEXT_LOG = LogSettings()


def problem_writer(log_format: LogFormat) -> Callable[[str], None]:
    """Return a function that writes a problem of the command itself to stderr at once, in this format."""
    if log_format is LogFormat.TEXT:
        return write_message

    def write(text: str) -> None:
        event = LogEvent(level="error", logger="listenctl", detail=text, exception=None)
        write_to_stderr(format_log_line(describe_event(event, time()), log_format, TextStyle(color=False)))

    return write


class StderrLog:
    """Pass on the reports that are worth a line."""

    def __init__(self, settings: LogSettings, pass_on: Callable[[ReportedEvent], None]) -> None:
        self._settings = settings
        self._redact = settings.redact
        self._pass_on = pass_on
        self._limit = PeerLineLimit(self._report_left_out, asyncio.get_running_loop()) if settings.limited else None

    def take_event(self, report: ReportedEvent) -> None:
        peer = _peer_of(report)
        if self._limit is None or peer is None or self._limit.admit_line(peer):
            self._pass_on({name: shorten_numbers(report[name], name) for name in report} if self._redact else report)

    @contextmanager
    def logging_events(self, reporter: Reporter, kinds: Container[str]) -> Iterator[None]:
        """Log events of these ``kinds``, and all records, while the block runs."""
        level = self._settings.level
        reporter.add_sink(self.take_event, frozenset(name for name in events_from(level) if name in kinds))
        handler = _LogRecords(self.take_event)
        handler.setLevel(level)
        logging.getLogger().addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)
            if self._limit is not None:
                self._limit.end_period()

    def _report_left_out(self, peer: LoggedPeer, lines: int) -> None:
        whom = peer.address or "this call"
        event = WarningEvent(rule="lines-left-out", detail=f"{lines} more lines from {whom} in {PERIOD:g} s")
        call, call_sid, trace_id = peer.call, peer.call_sid, peer.trace_id
        self._pass_on(describe_event(event, time(), call=call, call_sid=call_sid, trace_id=trace_id))


def _peer_of(report: ReportedEvent) -> LoggedPeer | None:
    """Return the peer that causes as many events of this kind as it likes, None if no peer does."""
    if report["event"] not in REPEATED_EVENTS:
        return None
    if report["call"] is not None:
        return LoggedPeer(None, report["call"], report["call_sid"], report["trace_id"])
    remote = report.get("remote")
    # Each connection has a port of its own.
    return LoggedPeer(remote.rpartition(":")[0] or remote) if isinstance(remote, str) else None


class _LogRecords(logging.Handler):
    """Turn records of Python's logging, which come from any thread, into events."""

    def __init__(self, take_event: Callable[[ReportedEvent], None]) -> None:
        super().__init__()
        self._take_event = take_event
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._traceback = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._log_record(record)
        except Exception:  # noqa: BLE001 - as in every handler: who logs something wrong goes on
            self.handleError(record)

    def _log_record(self, record: logging.LogRecord) -> None:
        raised = record.exc_info and self._traceback.formatException(record.exc_info)
        event = LogEvent(
            level=max((level for level in LogLevel if level <= record.levelno), default=LogLevel.DEBUG).name.lower(),
            logger=record.name,
            detail=record.getMessage()[:MAX_TEXT],
            exception=raised[-MAX_TRACEBACK:] if raised else None,
        )
        report = describe_event(event, record.created, **getattr(record, "about", {}))
        if threading.get_ident() == self._thread:
            self._take_event(report)
            return
        try:
            self._loop.call_soon_threadsafe(self._take_event, report)
        except RuntimeError:  # The loop has ended.
            if logging.lastResort is not None:
                logging.lastResort.handle(record)


@asynccontextmanager
async def displayed_events(
    reporter: Reporter,
    make_view: Callable[[TextStyle], LiveView],
    *,
    drawn: Container[str],
    settings: LogSettings,
) -> AsyncIterator[Callable[[], None]]:
    """
    Show events on stderr while the block runs: in a live view on a terminal, otherwise a line for each.

    Yields a function that gives the terminal back when the process exits at once.

    Args:
        drawn: events that the view gets.
    """
    has_view = settings.format is LogFormat.TEXT and settings.level < LogLevel.ERROR
    if has_view and can_draw(sys.stderr, os.environ):
        view = make_view(TextStyle.of_stream(sys.stderr, os.environ))
        async with view.drawn():
            with StderrLog(settings, view.add_event).logging_events(reporter, drawn):
                yield view.close
        return
    with logged_lines(reporter, settings, LOGGED_EVENTS):
        yield lambda: None


@contextmanager
def logged_lines(reporter: Reporter, settings: LogSettings, kinds: Container[str]) -> Iterator[None]:
    """Log events of these ``kinds``, and all records, as lines on stderr while the block runs."""
    style = TextStyle.of_stream(sys.stderr, os.environ)
    writer = LineWriter(sys.stderr.fileno(), sys.stderr.encoding)
    log = StderrLog(settings, lambda report: writer.write(format_log_line(report, settings.format, style)))
    try:
        with log.logging_events(reporter, kinds):
            yield
    finally:
        writer.close()
