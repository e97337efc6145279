"""The options that ``serve`` and ``record`` share."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from listenctl.commands.serve.options.access_options import AccessOptions
from listenctl.commands.serve.options.encryption_options import EncryptionOptions
from listenctl.commands.serve.options.hook_options import HookOptions
from listenctl.commands.serve.options.limit_options import LimitOptions
from listenctl.commands.serve.options.log_options import LogOptions
from listenctl.commands.serve.options.retention_options import RetentionOptions
from listenctl.commands.serve.options.storage_options import StorageOptions
from listenctl.commands.serve.options.worker_options import WorkerOptions
from listenctl.commands.shared_options import option, output
from listenctl.media.channel_layout import ChannelLayout
from listenctl.net.runtime_folder import DEFAULT_NAME
from listenctl.protocol.audio import MAX_RATE, MixType
from listenctl.server import server_defaults as defaults

listening = partial(option, panel="Listening")
calls_option = partial(option, panel="Calls")
recording = partial(option, panel="Recording")
service = partial(option, panel="Running as a service")


@dataclass(frozen=True, kw_only=True)
class ServerOptions(
    HookOptions,
    LimitOptions,
    AccessOptions,
    WorkerOptions,
    EncryptionOptions,
    RetentionOptions,
    LogOptions,
    StorageOptions,
):
    """Options of a server that may record."""

    host: Annotated[str, listening("Address to listen on", metavar="ADDRESS")] = defaults.HOST
    port: Annotated[int, listening("Port to listen on; 0 picks a free port", metavar="PORT", min=0, max=65535)] = (
        defaults.PORT
    )
    path: Annotated[str | None, listening("Accept calls at this path only", metavar="PATH")] = None
    subprotocol: Annotated[
        str | None, listening("Also accept this subprotocol, as a site can configure it", metavar="TOKEN")
    ] = None
    name: Annotated[
        str | None,
        listening(f"Name by which other commands find this server [default: {DEFAULT_NAME}, if free]", metavar="NAME"),
    ] = None
    no_control: Annotated[bool, listening("Open no control socket; other commands can't find this server")] = False
    admin: Annotated[
        str | None, service("Also serve /healthz, /readyz, /version and /metrics here, over HTTP", metavar="HOST:PORT")
    ] = None
    drain_timeout: Annotated[
        float, service("Seconds that live calls may last after SIGTERM, before they are closed", min=0)
    ] = 0.0
    reuse_port: Annotated[
        bool, service("Share the port with another server that has this option, to replace it without a gap")
    ] = False
    otlp: Annotated[
        str | None, service("Send a span of each call to the OpenTelemetry collector here, over HTTP", metavar="URL")
    ] = None
    statsd: Annotated[str | None, service("Send metrics to the StatsD daemon here, over UDP", metavar="HOST:PORT")] = (
        None
    )
    once: Annotated[bool, calls_option("Exit after one call")] = False
    calls: Annotated[int | None, calls_option("Exit after this many calls", min=1)] = None
    timeout: Annotated[
        float | None, calls_option("Exit with status 124 if no call arrives within this many seconds", min=0)
    ] = None
    sample_rate: Annotated[
        int, calls_option("Sample rate if the metadata has none", metavar="HZ", min=1, max=MAX_RATE)
    ] = defaults.SAMPLE_RATE
    mix_type: Annotated[MixType, calls_option("Mix type if the metadata has none")] = MixType.MONO
    stream_rate: Annotated[
        int | None,
        calls_option(
            "Rate at which calls play streamed audio; 0 if they play clips [default: detected]",
            metavar="HZ",
            min=0,
            max=MAX_RATE,
        ),
    ] = None
    detect_dtmf: Annotated[bool, calls_option("Also detect DTMF tones in the audio (slower)")] = False
    metadata_timeout: Annotated[float, calls_option("Seconds to wait for the metadata of a call", min=0)] = (
        defaults.METADATA_TIMEOUT
    )
    ping_interval: Annotated[float, calls_option("Seconds between WebSocket pings; 0 sends none", min=0)] = (
        defaults.PING_INTERVAL
    )
    format: Annotated[
        str | None,
        recording("wav, flac, ogg, mp3 or raw [default: by the extension of DEST, else wav]", metavar="FORMAT"),
    ] = None
    channels: Annotated[
        ChannelLayout, recording("Channels of a stereo call: left is the tapped leg, right is what it hears")
    ] = ChannelLayout.AS_IS
    pauses: Annotated[
        Literal["cut", "fill"], recording("Cut pauses, when jambonz sends nothing, or fill them with silence")
    ] = "cut"
    fsync: Annotated[
        str, recording("When to flush recordings to disk: never, end, or an interval such as 5s", metavar="WHEN")
    ] = "never"
    levels: Annotated[
        str | None, output("Report a `levels` event for every interval of audio, such as 100ms", metavar="TIME")
    ] = None
    dump: Annotated[
        str | None, output("Write every frame of each call to a dump file in this folder", metavar="FOLDER")
    ] = None
    monitor: Annotated[bool, output("Play all calls on a sound device")] = False
    monitor_device: Annotated[
        str | None,
        output("That device, by number or part of its name [default: the system's]", metavar="DEVICE"),
    ] = None
