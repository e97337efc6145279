"""Options of the commands that use the control socket of a running server."""

import os
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.shared_options import check_finite, option, output, waiting
from listenctl.errors import UsageError
from listenctl.net.runtime_folder import DEFAULT_NAME

if TYPE_CHECKING:
    from listenctl.commands.live_calls.send_command_run import Recipient

server = partial(option, panel="Server")
CommandTimeout = Annotated[float, waiting("Exit with status 124 after this many seconds", min=0.001)]


@dataclass(frozen=True, kw_only=True)
class ServerNameOptions:
    """The server."""

    name: Annotated[str | None, server("Name of the server, if several are running", metavar="NAME")] = None


@dataclass(frozen=True, kw_only=True)
class RecipientOptions(ServerNameOptions):
    """The call, and how the result is printed."""

    call: Annotated[str, typer.Argument(help="Call: its id or callSid, a unique prefix, or @latest")]
    timeout: CommandTimeout = 10.0
    json: Annotated[bool, output("Print one JSON object")] = False


def socket_of(options: ServerNameOptions, *, is_needed: bool = True) -> Path:
    """
    Return the control socket of the named server, or of the only one that is running.

    Args:
        is_needed: several servers are an error; otherwise the one with the default name is meant.

    Raises:
        UsageError: a name is needed, or this one is invalid.
    """
    from listenctl.net.runtime_folder import running_servers, socket_path

    default = socket_path(options.name or DEFAULT_NAME, os.environ, os.getuid())
    if options.name is not None:
        return default
    servers = running_servers(default.parent)
    if len(servers) > 1 and is_needed:
        raise UsageError(f"several servers are running: {', '.join(servers)}; choose one with --name")
    return default.with_name(f"{servers[0]}.sock") if len(servers) == 1 else default


def recipient_of(options: RecipientOptions, *, endless: bool = False) -> "Recipient":
    """
    Return the recipient of a command.

    Args:
        endless: the timeout may be infinite.

    Raises:
        UsageError: a name is invalid, or the timeout isn't finite.
    """
    from listenctl.commands.live_calls.send_command_run import Recipient

    check_call(options.call)
    if not endless or options.timeout != inf:
        check_finite(timeout=options.timeout)
    return Recipient(socket=socket_of(options), call=options.call, timeout=options.timeout, json=options.json)


def check_call(call: str) -> None:
    """Refuse a name that no call can have, such as the empty prefix."""
    if not call or not call.isprintable():
        raise UsageError(f"{call!r} is not a call: give its id or callSid, a unique prefix, or @latest")
