"""
Options that several commands share.

A dataclass with fields annotated for Typer is a set of options; ``with_options`` turns a function that takes one into a
command. So each option is defined once.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from listenctl.commands.option_choices import Channels, MixType, Pauses
from listenctl.net.runtime_folder import DEFAULT_NAME

Options = TypeVar("Options")


def with_options(options: type[Options], run: Callable[[Options], int]) -> Callable[..., int]:
    """Return a function with a parameter for each field of ``options``, which calls ``run`` with them."""
    hints = get_type_hints(options, include_extras=True)

    def command(**values: Any) -> int:
        return run(options(**values))

    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=_with_variable(field.name, hints[field.name]),
        )
        for field in fields(options)  # type: ignore[arg-type]
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = run.__doc__
    return command


def option(help_text: str, *names: str, panel: str, **more: Any) -> Any:
    """Describe an option: its help, other names than its own, and the panel of the help in which it stands."""
    return typer.Option(*names, help=help_text, rich_help_panel=panel, **more)


LISTENING, CALLS, ACCESS = "Listening", "Calls", "Access and TLS"
RECORDING, OUTPUT = "Recording", "Output"


def _with_variable(name: str, annotation: Any) -> Any:
    """Let an option be set by ``LISTENCTL_NAME`` too, unless it says another variable."""
    for parameter in annotation.__metadata__:
        parameter.envvar = parameter.envvar or f"LISTENCTL_{name.rstrip('_').upper()}"
        parameter.show_envvar = False
    return annotation


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Options of whatever takes calls."""

    host: Annotated[str, option("Address to listen on.", panel=LISTENING)] = "127.0.0.1"
    port: Annotated[
        int,
        option("Port to listen on; 0 takes a free one.", panel=LISTENING, min=0, max=65535),
    ] = 3000
    path: Annotated[str | None, option("The only path to take calls at. Default: any.", panel=LISTENING)] = None
    name: Annotated[
        str | None,
        option(
            f"What other commands find this server by. Default: {DEFAULT_NAME}, if no other has it.", panel=LISTENING
        ),
    ] = None
    no_control: Annotated[
        bool, option("Open no control socket; other commands don't find this server.", "--no-control", panel=LISTENING)
    ] = False
    auth_file: Annotated[
        Path | None,
        option("Users who may connect, as `listenctl passwd` writes them.", panel=ACCESS),
    ] = None
    no_auth: Annotated[bool, option("Let everyone connect, also from other hosts.", "--no-auth", panel=ACCESS)] = False
    cert: Annotated[Path | None, option("Certificate chain (PEM), for wss://.", panel=ACCESS)] = None
    key: Annotated[Path | None, option("Private key (PEM) of the certificate.", panel=ACCESS)] = None
    max_calls: Annotated[
        int | None,
        option(
            "Live calls at most. Default: what the open-files limit allows.",
            panel=CALLS,
            min=1,
        ),
    ] = None
    once: Annotated[bool, option("End after one call.", "--once", panel=CALLS)] = False
    calls: Annotated[int | None, option("End after this many calls.", panel=CALLS, min=1)] = None
    timeout: Annotated[
        float | None, option("Give up when no call came for so many seconds (status 124).", panel=CALLS, min=0)
    ] = None
    sample_rate: Annotated[
        int,
        option("Hz, where the metadata doesn't say.", panel=CALLS, min=1, max=384000),
    ] = 8000
    mix_type: Annotated[MixType, option("Where the metadata doesn't say.", panel=CALLS)] = MixType.MONO
    stream_rate: Annotated[
        int | None,
        option(
            "Hz at which calls play streamed audio, 0 where they play clips. Default: found out for each call.",
            panel=CALLS,
            metavar="HZ",
            min=0,
            max=384000,
        ),
    ] = None
    detect_dtmf: Annotated[
        bool, option("Report the keys that are heard in the audio, too.", "--detect-dtmf", panel=CALLS)
    ] = False
    metadata_timeout: Annotated[
        float, option("Seconds to wait for the metadata before a call goes on without.", panel=CALLS, min=0)
    ] = 2.0
    ping_interval: Annotated[float, option("Seconds between WebSocket pings; 0 sends none.", panel=CALLS, min=0)] = 20.0
    max_message: Annotated[int, option("Largest WebSocket message to accept, in bytes.", panel=CALLS, min=1024)] = (
        4 * 1024 * 1024
    )
    json: Annotated[bool, option("Print each event as a JSON line.", "--json", panel=OUTPUT)] = False
    events: Annotated[Path | None, option("Append each event as a JSON line to a file.", panel=OUTPUT)] = None
    levels: Annotated[
        str | None, option("Add a `levels` event for every so much audio, such as 100ms.", panel=OUTPUT)
    ] = None
    dump: Annotated[
        str | None,
        option(
            "Write every frame of every call, both ways, to a file of its own in this folder.",
            panel=OUTPUT,
            metavar="FOLDER",
        ),
    ] = None
    monitor: Annotated[bool, option("Hear all calls on a sound device.", "--monitor", panel=OUTPUT)] = False
    monitor_device: Annotated[
        str | None, option("Number or part of the name of that device. Default: the system's.", panel=OUTPUT)
    ] = None
    quiet: Annotated[bool, option("Print nothing but errors.", "--quiet", "-q", panel=OUTPUT)] = False


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """Options of how calls are recorded."""

    format: Annotated[
        str | None,
        option(
            "wav, flac, ogg, mp3 or raw. Default: by the extension in DEST, else wav.",
            panel=RECORDING,
        ),
    ] = None
    channels: Annotated[
        Channels,
        option(
            "Of stereo calls: left is what the tapped party says, right what it hears.",
            panel=RECORDING,
        ),
    ] = Channels.AS_IS
    pauses: Annotated[
        Pauses,
        option(
            "Cut out the time in which jambonz sent nothing, or fill it with silence.",
            panel=RECORDING,
        ),
    ] = Pauses.CUT
    fsync: Annotated[
        str,
        option(
            "When recordings must be on the disk itself: never, end, or every so many seconds.",
            panel=RECORDING,
        ),
    ] = "never"


@dataclass(frozen=True, kw_only=True)
class RecorderOptions(ServerOptions, RecordingOptions):
    """Options of a server that may record."""
