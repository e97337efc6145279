"""``listenctl record``: short for ``serve --record DEST``."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

import typer

from listenctl.commands.config_sources import option_name
from listenctl.commands.serve.command import ServeOptions, run_with_options
from listenctl.commands.serve.options.log_options import logging_errors
from listenctl.commands.serve.options.server_options import ServerOptions
from listenctl.commands.shared_options import with_options
from listenctl.server.server_defaults import RECORD_READ_INTERVAL

if TYPE_CHECKING:
    from listenctl.server.workers.worker_context import WorkerContext


@dataclass(frozen=True, kw_only=True)
class RecordOptions(ServerOptions):
    """All options of ``record``."""

    dest: Annotated[
        str,
        typer.Argument(
            help="A folder, a name template such as {date}/{callSid}.wav, or - to write one call to stdout",
            envvar="LISTENCTL_RECORD",
        ),
    ] = "recordings/"


def record(options: RecordOptions, worker: "WorkerContext | None" = None) -> int:
    """
    Accept calls and record each to a file.

    A recording is a playable WAV file at all times, even after a crash. A JSON file beside it describes the call.
    """
    return run_with_options(options, options.dest, RECORD_READ_INTERVAL, worker=worker)


command = with_options(RecordOptions, logging_errors(record))


def is_option_of_serve(option: str) -> bool:
    """Return whether ``serve`` has an option that ``record`` lacks."""
    return option in {f"--{option_name(field.name)}" for field in fields(ServeOptions)}
