"""``listenctl kill-audio``: send ``killAudio`` to a live call."""

from listenctl.commands.live_calls.live_call_options import RecipientOptions, recipient_of
from listenctl.commands.shared_options import run_async, with_options


def kill_audio(options: RecipientOptions) -> int:
    """Stop the audio that plays to the caller and clear the queue."""
    from listenctl.commands.live_calls.send_command_run import run_command
    from listenctl.protocol.application_commands import KillAudio

    return run_async(run_command(recipient_of(options), KillAudio().serialize()))


command = with_options(RecipientOptions, kill_audio)
