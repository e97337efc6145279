"""``listenctl clear-marks``: send ``clearMarks`` to a live call."""

from listenctl.commands.live_calls.live_call_options import RecipientOptions, recipient_of
from listenctl.commands.shared_options import run_async, with_options


def clear_marks(options: RecipientOptions) -> int:
    """
    Clear all pending marks of a call.

    This includes the marks of other tools. jambonz answers none of them.
    """
    from listenctl.commands.live_calls.send_command_run import run_command
    from listenctl.protocol.application_commands import ClearMarks

    return run_async(run_command(recipient_of(options), ClearMarks().serialize()))


command = with_options(RecipientOptions, clear_marks)
