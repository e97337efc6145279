"""``listenctl kill-audio``, ``clear-marks`` and ``disconnect``: send a command without data to a live call."""

from listenctl.commands.live_calls.live_call_options import RecipientOptions, recipient_of
from listenctl.commands.shared_options import run_async, with_options
from listenctl.protocol.application_commands import ClearMarks, Disconnect, KillAudio


def _kill_audio(options: RecipientOptions) -> int:
    """Stop the audio playing to the caller and clear the queue."""
    return _send(options, KillAudio())


def _clear_marks(options: RecipientOptions) -> int:
    """
    Clear all pending marks of a call.

    This includes the marks of other tools. jambonz answers none of them.
    """
    return _send(options, ClearMarks())


def _disconnect(options: RecipientOptions) -> int:
    """
    End the listen session of a call.

    jambonz closes the connection and continues with its next verb.
    """
    return _send(options, Disconnect())


kill_audio = with_options(RecipientOptions, _kill_audio)
clear_marks = with_options(RecipientOptions, _clear_marks)
disconnect = with_options(RecipientOptions, _disconnect)


def _send(options: RecipientOptions, command: KillAudio | ClearMarks | Disconnect) -> int:
    from listenctl.commands.live_calls.send_command_run import run_command

    ends_call = isinstance(command, Disconnect)
    return run_async(run_command(recipient_of(options), command.serialize(), ends_call=ends_call))
