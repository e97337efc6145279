"""
Options that several commands share.

A dataclass with fields annotated for Typer is a set of options; ``with_options`` turns a function that takes one into a
command. So each option is defined once.
"""

import inspect
import re
from collections.abc import Callable, Coroutine
from dataclasses import MISSING, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import typer

from listenctl.commands.config_sources import option_name
from listenctl.errors import UsageError
from listenctl.media.channel_layout import ChannelLayout
from listenctl.net.runtime_folder import DEFAULT_NAME
from listenctl.protocol.audio import MixType

Options = TypeVar("Options")
Result = TypeVar("Result")

ProfileName = Literal["ideal", "current", "old", "next"]
"""The names of ``PROFILES``."""


def with_options(options: type[Options], run: Callable[[Options], int]) -> Callable[..., int]:
    """Return a function with a parameter for each field of ``options``, which calls ``run`` with them."""
    hints = get_type_hints(options, include_extras=True)
    optional = {"given"} if issubclass(options, GivenOptions) else set()

    def command(ctx: typer.Context, **values: Any) -> int:
        given = frozenset(name for name in values if _is_on_command_line(ctx, name))
        return run(options(**values, **dict.fromkeys(optional, given)))

    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=_with_variable(field.name, hints[field.name]),
        )
        for field in fields(options)  # type: ignore[arg-type]
        if field.name not in optional
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters.insert(0, context)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = run.__doc__
    return command


def run_async(work: Coroutine[object, object, Result]) -> Result:
    """Run the work of a command; asyncio is imported here, because the help of a command doesn't need it."""
    import asyncio

    return asyncio.run(work)


def _is_on_command_line(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@dataclass(frozen=True, kw_only=True)
class GivenOptions:
    """
    Options that know where they come from.

    Attributes:
        given: parameters that are on the command line itself; a variable or a file may be meant for other commands.
    """

    given: frozenset[str] = frozenset()


def option(help_text: str, *names: str, panel: str, **more: Any) -> Any:
    """Describe an option: its help, its names if not its own, and the panel of the help it is listed in."""
    return typer.Option(*names, help=help_text, rich_help_panel=panel, **more)


LISTENING, CALLS, ACCESS = "Listening", "Calls", "Access and TLS"
RECORDING, OUTPUT = "Recording", "Output"


def _with_variable(name: str, annotation: Any) -> Any:
    """Let ``LISTENCTL_NAME`` set an option too, unless it names another variable."""
    for parameter in annotation.__metadata__:
        parameter.envvar = parameter.envvar or f"LISTENCTL_{name.rstrip('_').upper()}"
        parameter.show_envvar = False
    return annotation


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Options of a server."""

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


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """Options of how calls are recorded."""

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
            "Channels of stereo calls: left is what the tapped party says, right what it hears",
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


@dataclass(frozen=True, kw_only=True)
class RecorderOptions(ServerOptions, RecordingOptions):
    """Options of a server that may record."""


def check_finite(**seconds: float | None) -> None:
    """
    Check options that take seconds.

    Raises:
        UsageError: one is infinite or not a number.
    """
    for name, value in seconds.items():
        if not isfinite(value or 0.0):
            raise UsageError(f"--{option_name(name)} must be a number of seconds")


def parse_seconds(text: str, option: str, wanted: str = "a time such as 100ms or 2s") -> float:
    """
    Return the seconds of a time such as ``100ms``, ``2s`` or ``2``.

    Raises:
        UsageError: it is no time, or zero.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s)?", text.strip())
    value = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else 0.0
    if not value:
        raise UsageError(f"{option} {text!r} isn't {wanted}")
    return value
