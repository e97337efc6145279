"""``listenctl clear-marks``: send ``clearMarks`` to a live call."""

import asyncio

import typer

from listenctl.commands.live_calls.recipient_options import RecipientOptions, recipient_of
from listenctl.commands.shared_options import with_options

app = typer.Typer(add_completion=False)


def clear_marks(options: RecipientOptions) -> int:
    """Forget the marks of all tools that are not reached yet; none is answered."""
    from listenctl.commands.live_calls.command_run import run_command
    from listenctl.protocol.application_commands import ClearMarks

    return asyncio.run(run_command(recipient_of(options), ClearMarks().serialize()))


app.command()(with_options(RecipientOptions, clear_marks))
