"""Run a server in a terminal, a pipe or as a service: events, meters, signals, and the exit status."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from listenctl.console.live import LiveView
from listenctl.console.meters import can_draw
from listenctl.console.printer import FAILURES, LASTING, READABLE, human_line, json_line, line_writer
from listenctl.console.text import Look
from listenctl.errors import CheckFailed, TimedOut, UsageError
from listenctl.server.level_reports import LevelReporter
from listenctl.server.listener import ListenServer
from listenctl.server.recorder import FileRecorder, Recorder
from listenctl.server.reports import Reporter, Sink
from listenctl.server.settings import ServerSettings
from listenctl.server.stream import StreamRecorder
from listenctl.server.track import RecordSettings

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Presentation:
    """
    What a server shows, and where.

    Attributes:
        json: print events as JSON lines on stdout.
        events: a file to which they are appended as well.
        level_interval: seconds of audio for each ``levels`` event; None for none.
        title: what the server does, for its meters.
        on_start: called with the server's URL when it takes calls.
    """

    json: bool = False
    events: Path | None = None
    level_interval: float | None = None
    quiet: bool = False
    title: str = ""
    on_start: Callable[[str], None] = lambda _: None


async def run_server(
    settings: ServerSettings,
    presentation: Presentation,
    *,
    recording: RecordSettings | None = None,
    stop_after: int | None = None,
    patience: float | None = None,
) -> int:
    """
    Take calls until it is time to stop; return the exit status.

    Raises:
        TimedOut: no call came within ``patience`` seconds.
        ListenctlError: the server can't start.
    """
    with ExitStack() as closing:
        reporter = Reporter()
        _add_json(reporter, presentation, closing)
        recorder = _recorder(recording, reporter)
        server = ListenServer(settings, reporter, recorder=recorder, stop_after=stop_after)
        if isinstance(recorder, StreamRecorder):
            recorder.on_broken = server.stop
        if presentation.level_interval is not None:
            server.watchers.append(LevelReporter(reporter, presentation.level_interval))
        async with _face(server, presentation) as give_terminal_back:
            server.start()
            presentation.on_start(server.url)
            ended_by = _watch_signals(server, give_terminal_back)
            await _wait(server, patience)
    if server.lost_audio or (recorder is not None and recorder.lost_audio):
        return CheckFailed.exit_status
    unfinished = stop_after is not None and server.calls_total < stop_after
    return 128 + ended_by[0] if ended_by and unfinished else 0


async def _wait(server: ListenServer, patience: float | None) -> None:
    """Wait for the end; ``patience`` limits the wait for a call and never cuts one."""
    timed_out = False

    def give_up() -> None:
        nonlocal timed_out
        if not server.calls_total:
            timed_out = True
            server.stop()

    if patience is not None:
        asyncio.get_running_loop().call_later(patience, give_up)
    await server.wait()
    if timed_out:
        raise TimedOut(f"no call came within {patience:g} s")


def _recorder(recording: RecordSettings | None, reporter: Reporter) -> Recorder | None:
    if recording is None:
        return None
    if recording.destination.is_stdout:
        return StreamRecorder(recording, reporter, sys.stdout.fileno())
    return FileRecorder(recording, reporter)


def _watch_signals(server: ListenServer, give_terminal_back: Callable[[], None]) -> list[int]:
    """Let the first signal stop the server in order and the second at once; return the signals that came."""
    received: list[int] = []

    def take(number: int) -> None:
        received.append(number)
        if len(received) > 1:
            give_terminal_back()
            os._exit(128 + number)  # Recordings are valid at every moment; this is one.
        server.stop()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, take, number)
    return received


def _add_json(reporter: Reporter, presentation: Presentation, closing: ExitStack) -> None:
    if presentation.json:
        write = line_writer(sys.stdout)
        reporter.add(lambda report: write(json_line(report)))
    if presentation.events is not None:
        write_event = line_writer(closing.enter_context(_append_to(presentation.events)))
        reporter.add(lambda report: write_event(json_line(report)))


def _append_to(path: Path) -> TextIO:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise UsageError(f"{path}: can't be written: {exc.strerror}") from exc
    return os.fdopen(fd, "w", encoding="utf-8")


@asynccontextmanager
async def _face(server: ListenServer, presentation: Presentation) -> AsyncIterator[Callable[[], None]]:
    """
    Show the server on stderr: meters where that is a terminal, else a line for each event.

    What it yields gives the terminal back, for an end that can't wait.
    """
    look = Look.of(sys.stderr, os.environ)
    one_terminal = presentation.json and sys.stdout.isatty()
    if not presentation.quiet and can_draw(sys.stderr, os.environ) and not one_terminal:
        view = LiveView(server, sys.stderr, look, presentation.title)
        server.reporter.add(_printer(view.screen.print_above, look), LASTING)
        async with _running(view.run()):
            yield view.screen.close
        return
    write = line_writer(sys.stderr)
    kinds = FAILURES if presentation.quiet or presentation.json else READABLE
    server.reporter.add(_printer(lambda line: write(f"{line}\n"), look), kinds)
    yield lambda: None


@asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _printer(write: Callable[[str], None], look: Look) -> Sink:
    return lambda report: write(human_line(report, look))
