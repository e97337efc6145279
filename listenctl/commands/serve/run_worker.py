"""Run one worker of a server: it takes calls, and its parent does the rest of what `run.py` does for one process."""

import gc
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.commands.serve.run import recording_uploads
from listenctl.errors import ExitStatus, ListenctlError
from listenctl.events import Reporter, WarningEvent
from listenctl.server.calls.live_call import LevelReporter
from listenctl.server.dump.call_dumper import dumping
from listenctl.server.recording.call_recorder import FileRecorder
from listenctl.server.recording.recording_writer import RecordSettings
from listenctl.server.server import ListenServer
from listenctl.server.settings import ServerSettings
from listenctl.server.shutdown import end_at_once
from listenctl.server.telemetry.sending_telemetry import TelemetrySettings, sending_telemetry
from listenctl.server.workers.link_messages import Order
from listenctl.server.workers.worker_context import WorkerContext
from listenctl.terminal.stderr_log import LogSettings, logged_lines
from listenctl.terminal.stop_signals import stop_at_signals

if TYPE_CHECKING:
    from listenctl.server.recording.recording_uploads import UploadSettings
    from listenctl.server.responders.call_responders import Responder


async def run_worker(
    settings: ServerSettings,
    worker: WorkerContext,
    *,
    log: LogSettings,
    level_interval: float | None,
    recording: RecordSettings | None,
    uploads: "UploadSettings | None",
    responders: "Sequence[Responder]",
    dump: Path | None,
    telemetry: TelemetrySettings,
    drain_timeout: float | None,
    reload: Callable[[], None],
) -> int:
    """Accept calls until the parent ends the server, or dies; return the exit status. The arguments are as in `run`."""
    reporter = Reporter(forward=worker.report_event)
    uploading = recording_uploads(uploads, reporter)
    deliver = None if uploading is None else uploading.take_saved
    recorder = None if recording is None else FileRecorder(recording, reporter, worker.report_recording, deliver)
    # The parent has the admin port.
    server = ListenServer(replace(settings, admin=None), reporter, recorder=recorder, worker=worker)
    server.uploads = None if uploading is None else uploading.queue
    server.responders.extend(responders)
    if level_interval is not None:
        server.watchers.append(LevelReporter(reporter, level_interval))
    obeying = _Obeying(server, drain_timeout, reload)
    # The parent sends the metrics, which are those of all workers.
    sending = sending_telemetry(server, replace(telemetry, statsd=None))
    with logged_lines(reporter, log, ()):
        async with (
            dumping(server, dump) as dumper,
            sending,
            nullcontext() if uploading is None else uploading.running(alone=False),
        ):
            await worker.open_link(server, obeying.obey, obeying.note_orphaned)
            gc.freeze()  # Imported modules stay, so the collector can skip them.
            server.start(worker.listening)
            worker.report_ready()
            await server.run()
    await worker.close_link()
    lost = server.lost_audio or server.totals.programs_lost_audio or (recorder is not None and recorder.lost_audio)
    lost |= uploading is not None and uploading.left_any
    return ExitStatus.CHECK_FAILED if lost or (dumper is not None and dumper.lost_frames) else 0


class _Obeying:
    """What a worker does when its parent orders something, or is gone."""

    def __init__(self, server: ListenServer, drain_timeout: float | None, reload: Callable[[], None]) -> None:
        self._server = server
        self._drain_timeout = drain_timeout
        self._reload = reload

    def obey(self, order: Order) -> None:
        match order:
            case Order.DRAIN:
                self._server.shutdown.drain(self._drain_timeout or 0.0)
            case Order.STOP:
                self._server.shutdown.stop()
            case Order.STOP_AFTER_CALLS:
                self._server.shutdown.begin_after_calls()
            case Order.RELOAD:
                self._reload_settings()
            case Order.LEAVE:
                end_at_once()
                os._exit(ExitStatus.INTERRUPTED)

    def note_orphaned(self) -> None:
        """End as at a SIGTERM: nobody else would end this process, or replace it."""
        stop = self._server.shutdown.stop
        stop_at_signals(stop, end_at_once)
        self.obey(Order.STOP if self._drain_timeout is None else Order.DRAIN)

    def _reload_settings(self) -> None:
        try:
            self._reload()
        except ListenctlError as exc:
            # The parent has checked the files before, so they have changed since.
            detail = f"{exc}; what was used before stays in use"
            self._server.reporter.emit(WarningEvent(rule="reload-failed", detail=detail))
