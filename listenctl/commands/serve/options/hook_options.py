"""Options of hooks: what gets events of calls, and how."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from listenctl.commands.config_sources import option_name
from listenctl.commands.shared_options import GivenOptions, option
from listenctl.errors import UsageError

if TYPE_CHECKING:
    from listenctl.server.hooks.hook_delivery import HookTarget
    from listenctl.server.hooks.server_hooks import HookSettings
    from listenctl.server.hooks.webhook_signature import SigningSecrets

hooks = partial(option, panel="Hooks")
SECRET_VARIABLE = "LISTENCTL_WEBHOOK_SECRET"
DEAD_LETTERS = Path("dead-letters.jsonl")
_MAX_SECRETS = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class HookOptions(GivenOptions):
    """What gets events of calls."""

    webhook: Annotated[
        list[str] | None, hooks("POST events of calls to this URL, signed; repeatable", metavar="URL")
    ] = None
    webhook_secret_file: Annotated[
        Path | None, hooks(f"File with the secret that signs webhooks [default: ${SECRET_VARIABLE}]")
    ] = None
    on_event: Annotated[
        str | None, hooks("Run this for each event of calls, which it reads on stdin", metavar="COMMAND")
    ] = None
    hook_events: Annotated[
        str | None, hooks("Only these events, such as recording-saved,recording-failed", metavar="KIND,...")
    ] = None
    dead_letters: Annotated[Path, hooks("File for events that were not taken; see `listenctl hooks`")] = DEAD_LETTERS


def read_hooks(options: HookOptions) -> "HookSettings | None":
    """Return what gets events, None for nothing; raises UsageError if an option can't be used."""
    if not options.webhook and options.on_event is None:
        for name in ("webhook_secret_file", "hook_events", "dead_letters"):
            if name in options.given:
                raise UsageError(f"--{option_name(name)} needs --webhook or --on-event")
        return None
    from listenctl.commands.serve.options.responder_options import read_command
    from listenctl.server.hooks.command_target import CommandTarget
    from listenctl.server.hooks.dead_letter_file import DeadLetterFile
    from listenctl.server.hooks.server_hooks import HookSettings

    events = _read_events(options.hook_events)
    secrets = read_secrets(options.webhook_secret_file) if options.webhook else None
    targets: list[HookTarget] = [webhook_target(url, secrets) for url in options.webhook or ()]
    if options.on_event is not None:
        targets.append(CommandTarget(read_command(options.on_event, "--on-event")))
    dead_letters = DeadLetterFile(options.dead_letters)
    dead_letters.create()
    return HookSettings(
        targets=targets,
        events=events,
        dead_letters=dead_letters,
        reload=partial(_reread_secrets, secrets, options.webhook_secret_file),
    )


def read_secrets(file: Path | None) -> "SigningSecrets":
    """Return the secrets in a file, or in the variable; raises UsageError if there are none."""
    from listenctl.server.hooks.webhook_signature import HOW_TO_MAKE_ONE, SigningSecrets

    if file is None:
        text = os.environ.get(SECRET_VARIABLE, "")
        if not text:
            raise UsageError(
                f"webhooks are signed: set {SECRET_VARIABLE} to a secret, or give --webhook-secret-file; "
                f"{HOW_TO_MAKE_ONE}"
            )
        return SigningSecrets.parse(text, SECRET_VARIABLE)
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_MAX_SECRETS)
    except (OSError, UnicodeDecodeError) as exc:
        problem = exc.strerror if isinstance(exc, OSError) else "not a text file"
        raise UsageError(f"{file}: can't read the secret of webhooks: {problem}") from exc
    return SigningSecrets.parse(text, str(file))


def _reread_secrets(secrets: "SigningSecrets | None", file: Path | None) -> None:
    """Sign with the secrets that the file has now; raises UsageError if there are none."""
    if secrets is not None:
        secrets.keys = read_secrets(file).keys


def webhook_target(url: str, secrets: "SigningSecrets | None") -> "HookTarget":
    from listenctl.server.hooks.webhook_target import WebhookTarget

    return WebhookTarget(url, secrets or read_secrets(None))


def _read_events(text: str | None) -> frozenset[str]:
    from listenctl.server.hooks.server_hooks import HOOK_EVENTS

    chosen = HOOK_EVENTS if text is None else tuple(word.strip() for word in text.split(","))
    if unknown := next((word for word in chosen if word not in HOOK_EVENTS), None):
        raise UsageError(f"--hook-events {text}: {unknown!r} is none of {', '.join(HOOK_EVENTS)}")
    return frozenset(chosen)
