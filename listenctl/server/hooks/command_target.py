"""``--on-event``: run a command, which reads an event as JSON on stdin; exit status 0 means that it has taken it."""

import asyncio
import os
import shlex
from collections.abc import Mapping, Sequence

from listenctl.server.hooks.hook_delivery import HookDelivery, HookFailure, HookKind
from listenctl.server.responders.child_process import READ_BYTES, ChildProcess
from listenctl.server.responders.exec_environment import own_environment

TIMEOUT = 300.0
"""Seconds that a command may take, for example to upload a recording; then its process group is ended."""
MAX_LINE = 200
"""Bytes of what it says last on stderr that are reported."""

_FIELDS = {
    "EVENT": "event",
    "CALL": "call",
    "CALL_SID": "call_sid",
    "FROM": "from",
    "TO": "to",
    "DIRECTION": "direction",
    "DIGIT": "digit",
    "RECORDING": "path",
    "SIDECAR": "sidecar",
    "COMPLETE": "complete",
    "REASON": "reason",
}
"""Variables of the command, and the fields of the event that they have."""


class CommandTarget:
    kind = HookKind.COMMAND
    at_once = 4

    def __init__(self, command: Sequence[str]) -> None:
        self.address = self.shown = shlex.join(command)
        self._command = command

    async def attempt(self, delivery: HookDelivery) -> HookFailure | None:
        try:
            child = await ChildProcess.start(self._command, hook_environment(os.environ, delivery))
        except OSError as exc:
            return HookFailure(f"it can't be started: {exc.strerror or exc}", unreachable=True)
        async with asyncio.TaskGroup() as outputs:
            # A pipe that nobody reads would block it.
            outputs.create_task(_read_last_line(child.stdout))
            said = outputs.create_task(_read_last_line(child.stderr))
            try:
                exited = await _wait_exited(child, delivery.body + b"\n")
            finally:
                await child.end(0.0)
        problem = _describe_exit(child.returncode) if exited else f"it took more than {TIMEOUT:g} s and was ended"
        if not problem:
            return None
        return HookFailure(f"{problem}: {said.result()}" if said.result() else problem)


async def _wait_exited(child: ChildProcess, given: bytes) -> bool:
    """Return whether the command exits in time; what it leaves running in its process group is ended."""
    child.stdin.write(given)
    child.stdin.send_end()
    try:
        async with asyncio.timeout(TIMEOUT):
            await child.wait_exited()
    except TimeoutError:
        return False
    await child.end_group()
    return True


async def _read_last_line(reader: asyncio.StreamReader) -> str:
    end = b""
    while data := await reader.read(READ_BYTES):
        end = (end + data)[-READ_BYTES:]
    lines = end.rstrip().splitlines()
    return lines[-1][:MAX_LINE].decode(errors="replace") if lines else ""


def _describe_exit(code: int | None) -> str:
    """Return how a command failed, empty if it did not."""
    if code is not None and code < 0:
        return f"signal {-code} ended it"
    return f"it exited with status {code}" if code else ""


def hook_environment(inherited: Mapping[str, str], delivery: HookDelivery) -> dict[str, str | bytes]:
    """Return the environment of a command; a field that is missing or null is empty."""
    event = delivery.event
    values = {name: _text(event.get(field)) for name, field in _FIELDS.items()}
    return own_environment(inherited, {"HOOK_ID": delivery.id, **values})


def _text(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
