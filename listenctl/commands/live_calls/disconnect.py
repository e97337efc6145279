"""``listenctl disconnect``: send ``disconnect`` to a live call."""

import asyncio

import typer

from listenctl.commands.live_calls.recipient_options import RecipientOptions, recipient_of
from listenctl.commands.shared_options import with_options

app = typer.Typer(add_completion=False)


def disconnect(options: RecipientOptions) -> int:
    """End the listen: jambonz closes the connection and goes on with its next verb."""
    from listenctl.commands.live_calls.command_run import run_command
    from listenctl.protocol.application_commands import Disconnect

    return asyncio.run(run_command(recipient_of(options), Disconnect().serialize(), ends_call=True))


app.command()(with_options(RecipientOptions, disconnect))
