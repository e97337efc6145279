"""``listenctl serve``: the options of a server and the settings they make."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from listenctl.commands.config_sources import option_name
from listenctl.commands.connection_options import check_subprotocol
from listenctl.commands.serve.options.access_options import (
    address_rules,
    check_protection,
    read_credentials_check,
    read_tls,
)
from listenctl.commands.serve.options.encryption_options import read_encryption
from listenctl.commands.serve.options.hook_options import read_hooks
from listenctl.commands.serve.options.limit_options import read_limits, reread_limits
from listenctl.commands.serve.options.log_options import log_settings, logging_errors
from listenctl.commands.serve.options.relay_options import RelayOptions, read_upstream
from listenctl.commands.serve.options.responder_options import ResponderOptions, descriptors_per_call, make_responders
from listenctl.commands.serve.options.retention_options import read_retention
from listenctl.commands.serve.options.server_options import ServerOptions, recording
from listenctl.commands.serve.options.storage_options import read_uploads, read_zone
from listenctl.commands.serve.options.telemetry_options import telemetry_settings
from listenctl.commands.shared_options import (
    check_contradictions,
    check_finite,
    parse_seconds,
    run_async,
    with_options,
)
from listenctl.errors import UsageError
from listenctl.net.runtime_folder import DEFAULT_NAME, socket_path
from listenctl.server.server_defaults import READ_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from listenctl.server.limits.server_limits import ServerLimits
    from listenctl.server.recording.recording_uploads import UploadSettings
    from listenctl.server.recording.recording_writer import RecordSettings
    from listenctl.server.responders.call_responders import Responder
    from listenctl.server.responders.local_monitor import LocalMonitor
    from listenctl.server.settings import ServerSettings
    from listenctl.server.upstream import RelayTarget
    from listenctl.server.workers.worker_context import WorkerContext


@dataclass(frozen=True, kw_only=True)
class ServeOptions(RelayOptions, ResponderOptions, ServerOptions):
    """All options of ``serve``."""

    record: Annotated[
        str | None,
        recording(
            "Record each call to a folder, a name template such as {date}/{callSid}.wav, or - for stdout",
            metavar="DEST",
        ),
    ] = None


def serve(options: ServeOptions, worker: "WorkerContext | None" = None) -> int:
    """
    Accept calls and show them live.

    Put the URL it prints into a `listen` verb of your jambonz application. On a terminal it shows live meters; with
    --json it prints each event as a JSON line.
    """
    check_recording_options(options)
    responders = make_responders(options)
    upstream = read_upstream(options)
    if upstream is not None and responders:
        raise UsageError("with --upstream the application answers the caller; leave out --play, --echo and --exec")
    return run_with_options(options, options.record, READ_INTERVAL, responders, upstream=upstream, worker=worker)


command = with_options(ServeOptions, logging_errors(serve))


def run_with_options(
    options: ServerOptions,
    destination: str | None,
    read_interval: float,
    responders: "Sequence[Responder]" = (),
    *,
    upstream: "RelayTarget | None" = None,
    worker: "WorkerContext | None" = None,
) -> int:
    """Run a server with these options, or one ``worker`` of a server that has several."""
    from listenctl.commands.serve.run import run_server
    from listenctl.commands.serve.run_worker import run_worker
    from listenctl.commands.serve.run_workers import run_workers
    from listenctl.server.operations.service_manager import ServiceManager

    log = log_settings(options)
    uploads = None if destination is None else read_uploads(options, destination, options.format, redact=options.redact)
    recording = None if destination is None else record_settings(options, destination, uploads)
    folder = None if recording is None or uploads is not None else recording.destination
    retention = read_retention(options, folder)
    manager = ServiceManager(os.environ)
    passed = manager.sockets if worker is None else worker.listening
    hosts = [str(listening.getsockname()[0]) for listening in passed] or [options.host]
    settings, stop_after = server_settings(options, read_interval, upstream, hosts=hosts), options.calls
    if options.once and (stop_after or 1) != 1:
        raise UsageError(f"--once and --calls {stop_after} contradict each other; give one of them")
    doing = [f"recording to {destination}"] if destination else []
    doing += [f"→ {upstream.url}"] if upstream is not None else []
    if options.once or (recording and recording.destination.is_stdout):
        stop_after = 1
    reload = settings.tls.reload if settings.tls is not None else lambda: None

    def read_limits_again() -> "ServerLimits":
        return reread_limits(options, options.reread(), descriptors_per_call(options), options.workers)

    level_interval = parse_seconds(options.levels, "--levels") if options.levels else None
    dump = prepare_dump_folder(options.dump)
    if worker is not None:
        return run_async(
            run_worker(
                settings,
                worker,
                log=log,
                level_interval=level_interval,
                recording=recording,
                uploads=uploads,
                responders=responders,
                dump=dump,
                telemetry=telemetry_settings(options),
                drain_timeout=options.drain_timeout or None,
                reload=reload,
            )
        )
    if options.workers > 1:
        check_worker_options(options, to_stdout=recording is not None and recording.destination.is_stdout)
        return run_async(
            run_workers(
                settings,
                options,
                log=log,
                title=" ".join(doing),
                recording=recording,
                uploads=uploads,
                telemetry=telemetry_settings(options),
                hooks=read_hooks(options),
                retention=retention,
                manager=manager,
                reload=reload,
                read_limits=read_limits_again,
            )
        )
    return run_async(
        run_server(
            settings,
            options,
            log=log,
            title=" ".join(doing),
            level_interval=level_interval,
            recording=recording,
            uploads=uploads,
            responders=responders,
            speaker=read_speaker(options),
            dump=dump,
            telemetry=telemetry_settings(options),
            hooks=read_hooks(options),
            retention=retention,
            stop_after=stop_after,
            patience=options.timeout,
            drain_timeout=options.drain_timeout or None,
            manager=manager,
            reload=reload,
            read_limits=read_limits_again,
        )
    )


def server_settings(
    options: ServerOptions,
    read_interval: float,
    upstream: "RelayTarget | None" = None,
    *,
    hosts: Sequence[str] | None = None,
) -> "ServerSettings":
    """
    Return the settings of a server on these ``hosts``, by default that of the options; raises UsageError if options
    contradict each other, a file can't be used, or others could connect without credentials.
    """
    from listenctl.net.listening_sockets import (
        connections_without_call,
        parse_host_and_port,
        raise_descriptor_limit,
    )
    from listenctl.protocol.audio import MIX_CHANNELS, AudioFormat
    from listenctl.server.settings import ServerSettings

    check_protection(options, hosts or [options.host], upstream)
    check_contradictions(options, ("no_control", "name"))
    check_finite(
        drain_timeout=options.drain_timeout,
        timeout=options.timeout,
        metadata_timeout=options.metadata_timeout,
        ping_interval=options.ping_interval,
    )
    if options.levels:
        read_interval = min(read_interval, parse_seconds(options.levels, "--levels") / 2)
    return ServerSettings(
        host=options.host,
        port=options.port,
        reuse_port=options.reuse_port,
        admin=parse_host_and_port(options.admin, "--admin") if options.admin is not None else None,
        path=check_path(options.path) if options.path is not None else None,
        subprotocol=check_subprotocol(options.subprotocol) if options.subprotocol else None,
        credentials=read_credentials_check(options),
        tls=read_tls(options, options.host),
        addresses=address_rules(options),
        limits=read_limits(options, descriptors_per_call(options), options.workers),
        max_unfinished=raise_descriptor_limit(None, descriptors_per_call(options)),
        max_without_call=connections_without_call(),
        default_format=AudioFormat(options.sample_rate, MIX_CHANNELS[options.mix_type]),
        read_interval=read_interval,
        stream_rate=read_stream_rate(options.stream_rate),
        detect_dtmf=options.detect_dtmf,
        mask_dtmf=options.mask_dtmf,
        upstream=upstream,
        metadata_timeout=options.metadata_timeout,
        ping_interval=options.ping_interval or float("inf"),
        control=None if options.no_control else socket_path(options.name or DEFAULT_NAME, os.environ, os.getuid()),
        control_required=options.name is not None and not options.reuse_port,
    )


def check_worker_options(options: ServerOptions, *, to_stdout: bool) -> None:
    """Raise UsageError for what several processes can't do together."""
    refused = {
        "--once": options.once,
        f"--calls {options.calls}": options.calls is not None,
        "a recording on stdout": to_stdout,
        "--monitor": options.monitor,
    }
    for name, used in refused.items():
        if used:
            raise UsageError(f"{name} takes one process; leave out --workers {options.workers}")


def check_path(path: str) -> str:
    """Check --path; raises UsageError for what no request can have as its path."""
    if not path.startswith("/"):
        raise UsageError(f"--path {path}: a path begins with /, as in --path /{path}")
    if any(character in path for character in "?# "):
        raise UsageError(f"--path {path}: give the path only, without spaces, query or fragment")
    return path


def read_speaker(options: ServerOptions) -> "LocalMonitor | None":
    """Return the local monitor that plays the calls, None without --monitor."""
    if not options.monitor:
        if options.monitor_device is not None:
            raise UsageError("--monitor-device needs --monitor")
        return None
    from listenctl.server.responders.local_monitor import LocalMonitor

    return LocalMonitor(options.monitor_device)


def prepare_dump_folder(text: str | None) -> Path | None:
    """Return the folder of the dumps, created if missing; raises UsageError if files can't be written there."""
    from listenctl.media.files.recording_names import check_no_url
    from listenctl.server.dump.call_dumper import check_folder

    if text is None:
        return None
    if not text:
        raise UsageError("--dump is empty; give a folder, or . for this one")
    check_no_url(text)
    check_folder(folder := Path(text))
    return folder


def read_stream_rate(value: int | None) -> int | None:
    """Check --stream-rate, where 0 means clips."""
    from listenctl.protocol.call_sharing.stream_rate import stream_rate

    if value is not None and stream_rate(value) is None:
        raise UsageError(f"--stream-rate {value}: give the rate in Hz, such as 8000, or 0 where calls play clips")
    return value


def check_recording_options(options: ServeOptions) -> None:
    """Raise UsageError if an option of recordings is given and nothing is recorded."""
    if options.record is not None:
        return
    of_recordings = ("format", "channels", "pauses", "fsync", "max_recording", "encrypt_to", "retain", "retain_bytes")
    for name in (*of_recordings, "layout", "time_zone", "spool", "backup_store"):
        if getattr(options, name) != getattr(ServerOptions, name):
            raise UsageError(f"--{option_name(name)} needs --record: calls are not recorded without it")


def record_settings(
    options: ServerOptions, destination: str, uploads: "UploadSettings | None" = None
) -> "RecordSettings":
    from listenctl.media.channel_layout import ChannelLayout
    from listenctl.media.files.recording_names import RecordingDestination
    from listenctl.server.recording.recording_writer import RecordSettings

    if uploads is None:
        parsed = RecordingDestination.parse(
            destination, kind=options.format, zone=read_zone(options.time_zone), redact=options.redact
        )
    else:
        # Names are made when recordings are uploaded; in the spool they only need to differ.
        kind = uploads.stores[0][0].names.kind
        parsed = RecordingDestination.parse(f"{uploads.spool}/", kind=kind)
    parsed.check_folder()
    layout = options.channels
    if parsed.is_stdout:
        if sys.stdout.isatty():
            raise UsageError("stdout is a terminal; pipe the audio, as in `listenctl record - | play -`")
        if options.json:
            raise UsageError("stdout has the audio; write events to a file with --events")
        if "calls" in options.given and options.calls != 1:
            raise UsageError(f"stdout takes one call; leave out --calls {options.calls}, or record to a folder")
        if "max_recording" in options.given:
            raise UsageError("--max-recording limits files; the reader of stdout can close it at any time")
        if layout is ChannelLayout.SPLIT:
            raise UsageError("stdout can't carry two files; use --channels left, right or mix")
    return RecordSettings(
        parsed,
        layout,
        fill=options.pauses == "fill",
        sync=read_sync(options.fsync),
        recipients=read_encryption(options, parsed, dumping=options.dump is not None, uploading=uploads is not None),
    )


def read_sync(text: str) -> str | float:
    return text if text in ("never", "end") else parse_seconds(text, "--fsync", "never, end, or seconds such as 5s")
