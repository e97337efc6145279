"""``listenctl mark``: ask a live call to say when its playout reaches this point."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from listenctl.commands.live_calls.recipient_options import SERVER, RecipientOptions, recipient_of
from listenctl.commands.shared_options import option, with_options
from listenctl.errors import UsageError

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class MarkOptions(RecipientOptions):
    """All options of ``mark``."""

    mark: Annotated[str, typer.Argument(metavar="NAME", help="The name of the mark.")]
    wait: Annotated[
        bool | None,
        option("Wait until the mark is reached or cleared. Default: on a terminal.", "--wait/--no-wait", panel=SERVER),
    ] = None
    timeout: Annotated[float, option("Seconds to wait (status 124).", panel=SERVER, min=0.001)] = 30.0


def mark(options: MarkOptions) -> int:
    """Set a mark behind the audio that waits to be played, and say when it is reached."""
    from listenctl.commands.live_calls.command_run import run_mark, set_mark

    check_mark(options.mark)
    wait = sys.stdout.isatty() if options.wait is None else options.wait
    return asyncio.run((run_mark if wait else set_mark)(recipient_of(options), options.mark))


app.command()(with_options(MarkOptions, mark))


def check_mark(name: str) -> None:
    """
    See that jambonz can answer a mark of this name.

    Raises:
        UsageError: it would echo the name as broken JSON (protocol.md 4), or the name is empty or no text.
    """
    from listenctl.protocol.application_commands import mark_name_is_safe

    if not name:
        raise UsageError("a mark needs a name")
    if any("\ud800" <= char <= "\udfff" for char in name):
        raise UsageError("the name isn't UTF-8, as that of a mark must be")
    if not mark_name_is_safe(name):
        raise UsageError(
            f"{name!r} as a mark comes back from jambonz as broken JSON: leave out quotes, backslashes and control "
            "characters"
        )
