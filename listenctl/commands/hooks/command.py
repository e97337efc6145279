"""``listenctl hooks retry``: send again the events that hooks have not taken."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from listenctl.commands.serve.options.hook_options import DEAD_LETTERS, SECRET_VARIABLE
from listenctl.commands.shared_options import run_async, with_options


class DeadLetterAction(StrEnum):
    RETRY = "retry"


@dataclass(frozen=True, kw_only=True)
class DeadLetterOptions:
    """What to send again."""

    action: Annotated[DeadLetterAction, typer.Argument(help="retry")]
    file: Annotated[Path, typer.Argument(help="File of --dead-letters", envvar="LISTENCTL_DEAD_LETTERS")] = DEAD_LETTERS
    webhook_secret_file: Annotated[
        Path | None, typer.Option(help=f"File with the secret that signs webhooks [default: ${SECRET_VARIABLE}]")
    ] = None


def hooks(options: DeadLetterOptions) -> int:
    """
    Send again the events that hooks have not taken.

    Each is sent once, to the URL or the command it was meant for. What is taken leaves the file.
    """
    from listenctl.commands.hooks.run import retry_dead_letters

    return run_async(retry_dead_letters(options.file, options.webhook_secret_file))


command = with_options(DeadLetterOptions, hooks)
