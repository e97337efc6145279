"""``listenctl kill-audio``: send ``killAudio`` to a live call."""

import asyncio

import typer

from listenctl.commands.live_calls.recipient_options import RecipientOptions, recipient_of
from listenctl.commands.shared_options import with_options

app = typer.Typer(add_completion=False)


def kill_audio(options: RecipientOptions) -> int:
    """Stop what is played to the caller, and drop what waits."""
    from listenctl.commands.live_calls.command_run import run_command
    from listenctl.protocol.application_commands import KillAudio

    return asyncio.run(run_command(recipient_of(options), KillAudio().serialize()))


app.command()(with_options(RecipientOptions, kill_audio))
