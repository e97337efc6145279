"""The options that ``serve`` and ``record`` share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from listenctl.commands.shared_options import OUTPUT, option
from listenctl.media.channel_layout import ChannelLayout
from listenctl.net.runtime_folder import DEFAULT_NAME
from listenctl.protocol.audio import MixType

LISTENING, CALLS, ACCESS, RECORDING = "Listening", "Calls", "Access and TLS", "Recording"


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Options of a server that may record."""

    format: Annotated[
        str | None,
        option(
            "wav, flac, ogg, mp3 or raw [default: by the extension of DEST, else wav]",
            panel=RECORDING,
        ),
    ] = None
    channels: Annotated[
        ChannelLayout,
        option(
            "Channels of stereo calls: left is the tapped leg, right what it hears",
            panel=RECORDING,
        ),
    ] = ChannelLayout.AS_IS
    pauses: Annotated[
        Literal["cut", "fill"],
        option(
            "Leave out pauses, in which jambonz sends nothing, or fill them with silence",
            panel=RECORDING,
        ),
    ] = "cut"
    fsync: Annotated[
        str,
        option(
            "Flush recordings to the disk: never, end, or an interval such as 5s",
            panel=RECORDING,
        ),
    ] = "never"
    host: Annotated[str, option("Address to listen on", panel=LISTENING)] = "127.0.0.1"
    port: Annotated[
        int,
        option("Port to listen on; 0 takes a free port", panel=LISTENING, min=0, max=65535),
    ] = 3000
    path: Annotated[str | None, option("Accept calls at this path only", panel=LISTENING)] = None
    name: Annotated[
        str | None,
        option(f"Name by which other commands find this server [default: {DEFAULT_NAME}, if free]", panel=LISTENING),
    ] = None
    no_control: Annotated[
        bool, option("Open no control socket; other commands can't find this server", "--no-control", panel=LISTENING)
    ] = False
    auth_file: Annotated[
        Path | None,
        option("File of users who may connect, written by `listenctl passwd`", panel=ACCESS),
    ] = None
    no_auth: Annotated[bool, option("Let everyone connect, other hosts included", "--no-auth", panel=ACCESS)] = False
    cert: Annotated[Path | None, option("Certificate chain (PEM) for wss://", panel=ACCESS)] = None
    key: Annotated[Path | None, option("Private key (PEM) of the certificate", panel=ACCESS)] = None
    max_calls: Annotated[
        int | None,
        option(
            "Maximum number of live calls [default: what the open-files limit allows]",
            panel=CALLS,
            min=1,
        ),
    ] = None
    once: Annotated[bool, option("Exit after one call", "--once", panel=CALLS)] = False
    calls: Annotated[int | None, option("Exit after this many calls", panel=CALLS, min=1)] = None
    timeout: Annotated[
        float | None, option("Exit with status 124 if no call arrives for this many seconds", panel=CALLS, min=0)
    ] = None
    sample_rate: Annotated[
        int,
        option("Sample rate in Hz if the metadata has none", panel=CALLS, min=1, max=384000),
    ] = 8000
    mix_type: Annotated[MixType, option("Mix type if the metadata has none", panel=CALLS)] = MixType.MONO
    stream_rate: Annotated[
        int | None,
        option(
            "Rate at which calls play streamed audio, 0 if they play clips [default: detected]",
            panel=CALLS,
            metavar="HZ",
            min=0,
            max=384000,
        ),
    ] = None
    detect_dtmf: Annotated[
        bool, option("Also detect DTMF tones in the audio (slower)", "--detect-dtmf", panel=CALLS)
    ] = False
    metadata_timeout: Annotated[float, option("Seconds to wait for the metadata of a call", panel=CALLS, min=0)] = 2.0
    ping_interval: Annotated[float, option("Seconds between WebSocket pings; 0 sends none", panel=CALLS, min=0)] = 20.0
    max_message: Annotated[int, option("Largest WebSocket message to accept, in bytes", panel=CALLS, min=1024)] = (
        4 * 1024 * 1024
    )
    json: Annotated[bool, option("Print each event as a JSON line", "--json", panel=OUTPUT)] = False
    events: Annotated[Path | None, option("Append each event as a JSON line to a file", panel=OUTPUT)] = None
    levels: Annotated[
        str | None, option("Report a `levels` event per this much audio, such as 100ms", panel=OUTPUT)
    ] = None
    dump: Annotated[
        str | None,
        option(
            "Write every frame of each call to a dump file in this folder",
            panel=OUTPUT,
            metavar="FOLDER",
        ),
    ] = None
    monitor: Annotated[bool, option("Play all calls on a sound device", "--monitor", panel=OUTPUT)] = False
    monitor_device: Annotated[
        str | None, option("Number or part of the name of that device [default: the system's]", panel=OUTPUT)
    ] = None
    quiet: Annotated[bool, option("Print only errors", "--quiet", "-q", panel=OUTPUT)] = False
