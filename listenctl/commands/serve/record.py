"""``listenctl record``: take calls and record them; ``serve --record DEST`` in short."""

from dataclasses import dataclass, fields
from typing import Annotated

import typer

from listenctl.commands.config_file import option_name
from listenctl.commands.serve.command import RECORD_READ_INTERVAL, ServeOptions, run
from listenctl.commands.shared_options import RecorderOptions, with_options

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class RecordOptions(RecorderOptions):
    """All options of ``record``."""

    dest: Annotated[
        str,
        typer.Argument(
            help="A folder, a name template such as {date}/{callSid}.wav, or - for the audio of one call on stdout.",
            envvar="LISTENCTL_RECORD",
        ),
    ] = "recordings/"


def record(options: RecordOptions) -> int:
    """
    Take calls of jambonz and record each to a file of its own.

    Every recording is a playable WAV at every moment, also after a crash; beside it lies a .json with all that is known
    of the call.
    """
    return run(options, options.dest, RECORD_READ_INTERVAL)


app.command()(with_options(RecordOptions, record))


def is_option_of_serve(option: str) -> bool:
    """Tell whether ``serve`` has an option that was looked for here."""
    return option in {f"--{option_name(field.name)}" for field in fields(ServeOptions)}
