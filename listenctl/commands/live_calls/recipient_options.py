"""What the commands share that reach a running server by its control socket."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.shared_options import option
from listenctl.errors import UsageError
from listenctl.net.runtime_folder import DEFAULT_NAME

if TYPE_CHECKING:
    from listenctl.commands.live_calls.command_run import Recipient

SERVER = "The server"


@dataclass(frozen=True, kw_only=True)
class ServerNameOptions:
    """Options of which server is meant."""

    name: Annotated[str, option("The --name of the running server.", panel=SERVER)] = DEFAULT_NAME


@dataclass(frozen=True, kw_only=True)
class RecipientOptions(ServerNameOptions):
    """Options of a command that tells one call one thing."""

    call: Annotated[str, typer.Argument(help="The call: its id or callSid, a unique prefix, or @latest.")]
    timeout: Annotated[float, option("Seconds to wait (status 124).", panel=SERVER, min=0.001)] = 10.0
    json: Annotated[bool, option("Print one JSON object.", "--json", panel=SERVER)] = False


def socket_of(options: ServerNameOptions) -> Path:
    """Return the control socket of the server that is meant."""
    from listenctl.net.runtime_folder import socket_path

    return socket_path(options.name, os.environ, os.getuid())


def recipient_of(options: RecipientOptions) -> "Recipient":
    """
    Return whom a command is for.

    Raises:
        UsageError: no server or call can have such a name, or the time isn't finite.
    """
    from math import isfinite

    from listenctl.commands.live_calls.command_run import Recipient

    check_call(options.call)
    if not isfinite(options.timeout):
        raise UsageError("--timeout must be a number of seconds")
    return Recipient(socket=socket_of(options), call=options.call, timeout=options.timeout, json=options.json)


def check_call(call: str) -> None:
    """See that a call can be meant; the empty text would be the prefix of any."""
    if not call or not call.isprintable():
        raise UsageError(f"{call!r} is no call: give its id or callSid, a unique prefix, or @latest")
