"""Send dead letters again, and leave in their file what is still not taken."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from math import inf
from pathlib import Path
from typing import TypeAlias

from listenctl.background_task import background_task
from listenctl.commands.serve.options.hook_options import read_secrets, webhook_target
from listenctl.commands.serve.options.responder_options import split_command
from listenctl.errors import ExitStatus, ListenctlError, UsageError
from listenctl.json_lines import json_line
from listenctl.server.hooks.command_target import CommandTarget
from listenctl.server.hooks.dead_letter_file import DeadLetterFile
from listenctl.server.hooks.hook_delivery import HookDelivery, HookKind, HookTarget
from listenctl.server.hooks.hook_queue import HookQueue
from listenctl.terminal.printable_text import count_noun, printable
from listenctl.terminal.standard_streams import write_message, write_stdout

_Address: TypeAlias = tuple[HookKind, str]


async def retry_dead_letters(path: Path, secret_file: Path | None) -> int:
    """Return the exit status, which says whether anything is left; raises ListenctlError if nothing could be sent."""
    file = DeadLetterFile(path)
    lines = file.read()
    letters = [letter for line in lines if (letter := HookDelivery.parse(line)) is not None]
    targets = _find_targets(file, letters, secret_file)
    sent = {letter.id: letter for letter in letters}
    failed: dict[str, HookDelivery] = {}

    def give_up(letter: HookDelivery) -> None:
        failed[letter.id] = letter

    try:
        await _send(letters, targets, give_up)
    finally:
        # What was taken before an interruption must not be sent once more.
        _keep_failed(file, sent, failed)
    problems = {(letter.kind, letter.target): letter.error for letter in failed.values()}
    for address, problem in problems.items():
        write_message(printable(f"{targets[address].shown}: {problem}"))
    if unreadable := sum(bool(line) for line in lines) - len(letters):
        write_message(f"{path}: {count_noun(unreadable, 'line')} can't be read, and left as it is")
    left = len(failed) + unreadable
    write_stdout(f"{count_noun(len(sent) - len(failed), 'event')} delivered, {left} left\n")
    return ExitStatus.FAILED if left else ExitStatus.DONE


async def _send(
    letters: Sequence[HookDelivery], targets: Mapping[_Address, HookTarget], give_up: Callable[[HookDelivery], None]
) -> None:
    """Attempt each letter once, those of all targets at the same time."""
    queues = {
        address: HookQueue(target, give_up, lambda _rule, _detail: None, max_waiting=inf, max_waiting_bytes=inf)
        for address, target in targets.items()
    }
    for letter in letters:
        queues[letter.kind, letter.target].add_delivery(letter)
    try:
        async with AsyncExitStack() as running:
            for queue in queues.values():
                await running.enter_async_context(background_task(queue.run()))
            await asyncio.gather(*(queue.finish(None) for queue in queues.values()))
    finally:
        for queue in queues.values():
            queue.give_up_rest()


def _find_targets(
    file: DeadLetterFile, letters: Sequence[HookDelivery], secret_file: Path | None
) -> dict[_Address, HookTarget]:
    """Return the target of each letter; raises UsageError for those that can't, or must not, be used."""
    addresses = sorted({(letter.kind, letter.target) for letter in letters})
    kinds = {kind for kind, _ in addresses}
    if HookKind.COMMAND in kinds and not file.is_private():
        raise UsageError(
            f"{file.path}: it has commands to run, and others can write it; "
            f"look what is in it, and then make it yours alone with chmod go-w"
        )
    secrets = read_secrets(secret_file) if HookKind.WEBHOOK in kinds else None
    return {
        (kind, address): webhook_target(address, secrets)
        if kind is HookKind.WEBHOOK
        # A program that is missing fails as any other does, and must not keep events from other targets.
        else CommandTarget(split_command(address, "--on-event"))
        for kind, address in addresses
    }


def _keep_failed(file: DeadLetterFile, sent: Mapping[str, HookDelivery], failed: Mapping[str, HookDelivery]) -> None:
    def change(line: str) -> str | None:
        letter = HookDelivery.parse(line)
        if letter is None or letter.id not in sent:
            return line
        return json_line(failed[letter.id].serialize()) if letter.id in failed else None

    try:
        file.rewrite(change)
    except OSError as exc:
        raise ListenctlError(
            f"{file.path}: can't be written: {exc.strerror}; events that were delivered are still in it"
        ) from exc
