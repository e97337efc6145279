"""Run a server in a terminal, a pipe or as a service: events, live view, signals, and the exit status."""

import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.commands.serve.view import ServerView
from listenctl.errors import ExitStatus, ListenctlError, TimedOutError, signal_status
from listenctl.events import CallIdentity, EventFields, Reporter, Sink, WarningEvent
from listenctl.media.files.recording_names import similar_field
from listenctl.server.calls.live_call import LevelReporter
from listenctl.server.dump.call_dumper import dumping
from listenctl.server.hooks.server_hooks import HookSettings, ServerHooks, running_hooks
from listenctl.server.limits.server_limits import ServerLimits
from listenctl.server.operations.service_manager import ServiceManager
from listenctl.server.recording.call_recorder import CallRecorder, FileRecorder
from listenctl.server.recording.pipe_recorder import PipeRecorder
from listenctl.server.recording.recording_writer import RecordSettings
from listenctl.server.retention.retention_schedule import deleting_recordings
from listenctl.server.server import ListenServer
from listenctl.server.settings import ServerSettings
from listenctl.server.shutdown import end_at_once
from listenctl.server.telemetry.sending_telemetry import NO_TELEMETRY, TelemetrySettings, sending_telemetry
from listenctl.terminal.event_lines import LASTING_EVENTS
from listenctl.terminal.event_output import EventOutput
from listenctl.terminal.standard_streams import reserve_stderr
from listenctl.terminal.stderr_log import TEXT_LOG, LogSettings, displayed_events, problem_writer
from listenctl.terminal.stop_signals import has_terminal, stop_at_signals

if TYPE_CHECKING:
    from listenctl.commands.connection_options import ReportOptions
    from listenctl.media.devices.playback_device import PlaybackState
    from listenctl.server.recording.recording_uploads import RecordingUploads, UploadSettings
    from listenctl.server.responders.call_responders import Responder
    from listenctl.server.responders.local_monitor import LocalMonitor
    from listenctl.server.retention.delete_recordings import RetentionSettings
    from listenctl.server.workers.worker_pool import WorkerPool


LOOK_AGAIN = 0.1


async def run_server(
    settings: ServerSettings,
    options: "ReportOptions",
    *,
    log: LogSettings = TEXT_LOG,
    title: str = "",
    level_interval: float | None = None,
    on_start: Callable[[str], None] = lambda _: None,
    on_event: Sink | None = None,
    recording: RecordSettings | None = None,
    uploads: "UploadSettings | None" = None,
    responders: "Sequence[Responder]" = (),
    speaker: "LocalMonitor | None" = None,
    dump: Path | None = None,
    telemetry: TelemetrySettings = NO_TELEMETRY,
    hooks: HookSettings | None = None,
    retention: "RetentionSettings | None" = None,
    stop_after: int | None = None,
    patience: float | None = None,
    drain_timeout: float | None = None,
    manager: ServiceManager | None = None,
    reload: Callable[[], None] = lambda: None,
    read_limits: Callable[[], ServerLimits] | None = None,
) -> int:
    """
    Accept calls until the server ends; return the exit status.

    Args:
        log: how to log to stderr.
        title: what the server does, shown above the meters.
        level_interval: seconds of audio for each ``levels`` event; None for none.
        on_start: called with the server's URL when it accepts calls.
        on_event: called with every event.
        uploads: where the recordings go from the folder of ``recording``; None leaves them there.
        responders: handle each call, in this order.
        speaker: plays all calls.
        dump: folder for a dump of each call; None writes none.
        telemetry: what to send about the server, and where.
        hooks: what gets events of calls; None for nothing.
        retention: which recordings to delete; None for none.
        drain_timeout: seconds that live calls may last after SIGTERM; None closes them at once.
        manager: of this process as a service; None for none.
        reload: called at SIGHUP if there is a manager and no terminal; it raises ListenctlError if it can't.
        read_limits: returns the limits from then on, with the settings file of now; it raises ListenctlError, too.

    Raises:
        TimedOutError: no call arrived within ``patience`` seconds.
        ListenctlError: the server can't start.
    """
    with ExitStack() as closing:
        if speaker is not None:
            reserve_stderr()
        reporter = Reporter(*([on_event] if on_event else []))
        uploading = recording_uploads(uploads, reporter)
        recorder = _recorder(recording, reporter, uploading)
        server = ListenServer(settings, reporter, recorder=recorder, stop_after=stop_after)
        server.uploads = None if uploading is None else uploading.queue
        server.responders.extend(responders)
        if speaker is not None:
            speaker.on_change = _sound_reporter(reporter)
            server.responders.append(speaker)
        if isinstance(recorder, PipeRecorder):
            recorder.on_broken = server.shutdown.begin
        if level_interval is not None:
            server.watchers.append(LevelReporter(reporter, level_interval))
        output = EventOutput(reporter, partial(give_up_events, server), closing, problem_writer(log.format))
        output.open(stdout=options.json, file=options.events)
        display = displayed_events(
            reporter,
            lambda style: ServerView(server, sys.stderr, style, title, redact=log.redact),
            drawn=LASTING_EVENTS,
            settings=log,
        )
        async with display as give_terminal_back:
            async with (
                running_hooks(reporter, hooks, server.metrics.sources) as hooked,
                dumping(server, dump) as dumper,
                sending_telemetry(server, telemetry),
                nullcontext() if uploading is None else uploading.running(),
            ):
                reloads: list[Callable[[], None]] = [
                    reload,
                    partial(_reload_limits, server, read_limits),
                    output.reopen,
                    *([] if hooks is None else [hooks.reload]),
                ]
                service = Service(server, manager or ServiceManager({}), drain_timeout, reloads)
                ended_by = stop_at_signals(
                    service.stop,
                    partial(leave_at_once, give_terminal_back, hooked),
                    drain=None if drain_timeout is None else service.drain,
                    reload=None if manager is None or has_terminal() else service.reload,
                )
                gc.freeze()  # Imported modules stay, so the collector can skip them.
                server.start(service.manager.sockets)
                service.begin()
                warn_of_unknown_fields(recording, reporter)
                on_start(server.url)
                async with deleting_recordings(reporter, retention):
                    await wait_for_calls(server, patience)
            reporter.emit(server.totals.describe())
    lost = server.lost_audio or server.totals.programs_lost_audio or (recorder is not None and recorder.lost_audio)
    lost |= uploading is not None and uploading.left_any
    if lost or output.lost_events or (dumper is not None and dumper.lost_frames):
        return ExitStatus.CHECK_FAILED
    if output.broken or (hooked is not None and hooked.lost_events):
        return ExitStatus.FAILED
    return signal_status(ended_by[0]) if ended_by and server.shutdown.was_cut_short else 0


class Service:
    """A server and its service manager."""

    def __init__(
        self,
        server: "ListenServer | WorkerPool",
        manager: ServiceManager,
        drain_timeout: float | None,
        reloads: Sequence[Callable[[], None]],
    ) -> None:
        self.manager = manager
        self._server = server
        self._drain_timeout = drain_timeout
        self._reloads = reloads

    def begin(self) -> None:
        self.manager.report_ready()
        self.manager.satisfy_watchdog(asyncio.get_running_loop())

    def drain(self) -> None:
        self.manager.report_stopping("waiting for the live calls")
        self._server.shutdown.drain(self._drain_timeout or 0.0)

    def stop(self) -> None:
        self.manager.report_stopping("finishing recordings")
        self._server.shutdown.stop()

    def reload(self) -> None:
        self.manager.report_reloading()
        problems: list[str] = []
        for reload in self._reloads:
            try:
                reload()
            except ListenctlError as exc:
                # One that fails must not keep the others from being done.
                problems.append(str(exc))
        if problems:
            event = WarningEvent(
                rule="reload-failed", detail=f"{'; '.join(problems)}; what was used before stays in use"
            )
        else:
            event = WarningEvent(
                rule="reloaded", detail="certificate, limits, webhook secrets and events file are reloaded"
            )
        self._server.reporter.emit(event)
        self.manager.report_ready()


def _reload_limits(server: ListenServer, read_limits: Callable[[], ServerLimits] | None) -> None:
    if read_limits is not None:
        server.limits = read_limits()


def warn_of_unknown_fields(recording: RecordSettings | None, reporter: Reporter) -> None:
    for name in [] if recording is None else recording.destination.unknown_fields:
        meant = similar_field(name)
        hint = f"; did you mean {{{meant}}}?" if meant else ""
        detail = f"{{{name}}} is no field of jambonz, so names have `unknown` where the verb's metadata lacks it{hint}"
        reporter.emit(WarningEvent(rule="unknown-field", detail=detail))


def _sound_reporter(reporter: Reporter) -> "Callable[[PlaybackState], None]":
    def report(state: "PlaybackState") -> None:
        if state.text:
            reporter.emit(WarningEvent(rule=state.rule, detail=state.text))

    return report


async def wait_for_calls(server: "ListenServer | WorkerPool", patience: float | None) -> None:
    """Wait for the end; ``patience`` limits the wait for a call, never the call."""
    timed_out = False
    loop = asyncio.get_running_loop()

    def give_up() -> None:
        nonlocal timed_out
        if server.calls_total:
            return
        if server.has_calls:
            # This connection becomes a call when its metadata is overdue at the latest, or ends before that.
            loop.call_later(LOOK_AGAIN, give_up)
            return
        timed_out = True
        server.shutdown.begin()

    if patience is not None:
        loop.call_later(patience, give_up)
    await server.run()
    if timed_out:
        raise TimedOutError(f"no call arrived within {patience:g} s")


def recording_uploads(
    settings: "UploadSettings | None",
    reporter: Reporter,
    report: Callable[[EventFields, CallIdentity], None] | None = None,
) -> "RecordingUploads | None":
    if settings is None:
        return None
    from listenctl.server.recording.recording_uploads import RecordingUploads

    return RecordingUploads(settings, reporter, report)


def _recorder(
    recording: RecordSettings | None, reporter: Reporter, uploads: "RecordingUploads | None"
) -> CallRecorder | None:
    if recording is None:
        return None
    if recording.destination.is_stdout:
        return PipeRecorder(recording, reporter, sys.stdout.fileno())
    return FileRecorder(recording, reporter, deliver=None if uploads is None else uploads.take_saved)


def leave_at_once(give_terminal_back: Callable[[], None], hooks: ServerHooks | None) -> None:
    """Prepare for the exit at the second signal."""
    give_terminal_back()
    end_at_once()
    if hooks is not None:
        hooks.give_up_rest()
        hooks.close()


def give_up_events(server: "ListenServer | WorkerPool") -> str:
    if server.recording:
        return "recording goes on without"
    # Without a recording there is nothing left to do.
    server.shutdown.begin_after_calls()
    return "no more calls are accepted"
