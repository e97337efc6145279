"""``listenctl disconnect``: send ``disconnect`` to a live call."""

from listenctl.commands.live_calls.live_call_options import RecipientOptions, recipient_of
from listenctl.commands.shared_options import run_async, with_options


def disconnect(options: RecipientOptions) -> int:
    """
    End the listen session of a call.

    jambonz closes the connection and continues with its next verb.
    """
    from listenctl.commands.live_calls.send_command_run import run_command
    from listenctl.protocol.application_commands import Disconnect

    return run_async(run_command(recipient_of(options), Disconnect().serialize(), ends_call=True))


command = with_options(RecipientOptions, disconnect)
