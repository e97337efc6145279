"""``listenctl mark``: mark the end of the queued audio of a live call."""

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from listenctl.commands.live_calls.live_call_options import CommandTimeout, RecipientOptions, recipient_of
from listenctl.commands.shared_options import run_async, waiting, with_options
from listenctl.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class MarkOptions(RecipientOptions):
    """All options of ``mark``."""

    mark: Annotated[str, typer.Argument(metavar="NAME", help="Name of the mark")]
    wait: Annotated[
        bool | None, waiting("Wait until the mark is reached or cleared [default: on a terminal]", "--wait/--no-wait")
    ] = None
    timeout: CommandTimeout = 30.0


def mark(options: MarkOptions) -> int:
    """Mark the end of the queued audio and report when it plays."""
    check_mark(options.mark)
    wait = sys.stdout.isatty() if options.wait is None else options.wait
    recipient = recipient_of(options)
    if wait:
        from listenctl.commands.live_calls.mark_run import run_mark

        return run_async(run_mark(recipient, options.mark))
    from listenctl.commands.live_calls.send_command_run import run_command
    from listenctl.protocol.application_commands import MarkCommand

    return run_async(run_command(recipient, MarkCommand(options.mark).serialize()))


command = with_options(MarkOptions, mark)


def check_mark(name: str) -> None:
    """Refuse a name that is empty, isn't UTF-8, or that jambonz answers with invalid JSON (listenctl-protocol(7) 4)."""
    from listenctl.protocol.application_commands import mark_name_is_safe

    if not name:
        raise UsageError("a mark needs a name")
    if any("\ud800" <= char <= "\udfff" for char in name):
        raise UsageError("the name of a mark must be UTF-8")
    if not mark_name_is_safe(name):
        raise UsageError(
            f"{name!r}: jambonz answers such a mark with invalid JSON; avoid quotes, backslashes and control characters"
        )
