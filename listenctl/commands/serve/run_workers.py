"""Run a server with several processes: this one is the parent, which does for all what `run.py` does for one."""

import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from listenctl.commands.serve.run import (
    Service,
    give_up_events,
    leave_at_once,
    recording_uploads,
    wait_for_calls,
    warn_of_unknown_fields,
)
from listenctl.commands.serve.workers_view import WorkersView
from listenctl.errors import ExitStatus
from listenctl.events import Reporter
from listenctl.server.hooks.server_hooks import HookSettings, running_hooks
from listenctl.server.limits.server_limits import ServerLimits
from listenctl.server.operations.service_manager import ServiceManager
from listenctl.server.recording.recording_writer import RecordSettings
from listenctl.server.retention.retention_schedule import deleting_recordings
from listenctl.server.settings import ServerSettings
from listenctl.server.telemetry.sending_telemetry import TelemetrySettings
from listenctl.server.telemetry.statsd import sending_statsd
from listenctl.server.workers.worker_pool import WorkerPool
from listenctl.terminal.event_lines import LASTING_EVENTS
from listenctl.terminal.event_output import EventOutput
from listenctl.terminal.stderr_log import LogSettings, displayed_events, problem_writer
from listenctl.terminal.stop_signals import has_terminal, stop_at_signals

if TYPE_CHECKING:
    from listenctl.commands.serve.options.server_options import ServerOptions
    from listenctl.server.recording.recording_uploads import UploadSettings
    from listenctl.server.retention.delete_recordings import RetentionSettings

_WORKER = "listenctl.commands.serve.worker_process_main"


async def run_workers(
    settings: ServerSettings,
    options: "ServerOptions",
    *,
    log: LogSettings,
    title: str,
    recording: RecordSettings | None,
    uploads: "UploadSettings | None",
    telemetry: TelemetrySettings,
    retention: "RetentionSettings | None",
    hooks: HookSettings | None,
    manager: ServiceManager,
    reload: Callable[[], None],
    read_limits: Callable[[], ServerLimits],
) -> int:
    """Accept calls until the server ends; return the exit status. The arguments are as in `run`."""
    drain_timeout = options.drain_timeout or None
    with ExitStack() as closing:
        reporter = Reporter()
        pool = WorkerPool(
            settings,
            reporter,
            workers=options.workers,
            # What rereads the settings file stays here.
            options=replace(options, reread=dict),
            module=_WORKER,
            recording=recording is not None,
        )
        # What the workers record they upload themselves, as long as they live.
        uploading = recording_uploads(uploads, reporter, pool.report_upload)
        pool.deliver = None if uploading is None else uploading.take_saved
        output = EventOutput(reporter, partial(give_up_events, pool), closing, problem_writer(log.format))
        output.open(stdout=options.json, file=options.events)
        display = displayed_events(
            reporter,
            lambda style: WorkersView(pool, sys.stderr, style, title, redact=log.redact),
            drawn=LASTING_EVENTS,
            settings=log,
        )
        hooked = running_hooks(reporter, hooks, pool.metrics.sources)
        async with display as give_terminal_back, hooked as running:

            def reload_certificate() -> None:
                reload()
                # The workers can do it, too, if this process could.
                pool.reload_certificate()

            reloads = [reload_certificate, lambda: pool.change_limits(read_limits()), output.reopen]
            reloads += [] if hooks is None else [hooks.reload]
            service = Service(pool, manager, drain_timeout, reloads)

            def leave() -> None:
                pool.shutdown.leave()
                leave_at_once(give_terminal_back, running)

            stop_at_signals(
                service.stop,
                leave,
                drain=None if drain_timeout is None else service.drain,
                reload=None if has_terminal() else service.reload,
            )

            def begin() -> None:
                service.begin()
                warn_of_unknown_fields(recording, reporter)

            pool.on_ready = begin
            pool.start(manager.sockets)
            async with (
                sending_statsd(pool.collect_metrics, reporter, telemetry.statsd),
                deleting_recordings(reporter, retention),
                nullcontext() if uploading is None else uploading.running(),
            ):
                await wait_for_calls(pool, options.timeout)
        reporter.emit(pool.totals.describe())
    if pool.lost_audio or output.lost_events or (uploading is not None and uploading.left_any):
        return ExitStatus.CHECK_FAILED
    lost_events = output.broken or (running is not None and running.lost_events)
    return ExitStatus.FAILED if lost_events else ExitStatus.DONE
