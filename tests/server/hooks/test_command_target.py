"""Commands of hooks: what they read, what they see, and how they end."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from listenctl.json_lines import json_line
from listenctl.server.hooks import command_target
from listenctl.server.hooks.command_target import CommandTarget, hook_environment
from listenctl.server.hooks.hook_delivery import HookDelivery, HookFailure, HookKind
from tests.helpers.server import LIMIT, until

SAVED = {
    "v": 1,
    "event": "recording-saved",
    "call": "CS-A",
    "call_sid": "CS-A",
    "path": "calls/CS-A.wav",
    "sidecar": "calls/CS-A.json",
    "complete": True,
}


def delivery(**fields: object) -> HookDelivery:
    return HookDelivery.of(HookKind.COMMAND, "", "CS-A", json_line(SAVED | fields).encode())


def shell(script: str) -> CommandTarget:
    return CommandTarget(["sh", "-c", script])


async def test_a_command_reads_the_event_as_a_line_of_json(tmp_path: Path) -> None:
    failure = await shell(f"cat > {tmp_path}/read").attempt(delivery(path="ä.wav"))

    assert failure is None
    text = (tmp_path / "read").read_text()
    assert text.endswith("}\n")
    assert json.loads(text) == SAVED | {"path": "ä.wav"}


def test_a_command_sees_the_key_fields_and_none_of_our_settings() -> None:
    inherited = {"PATH": "/bin", "LISTENCTL_AUTH": "me:secret", "LISTENCTL_WEBHOOK_SECRET": "whsec_secret"}
    sent = delivery(reason=None)

    assert hook_environment(inherited, sent) == {
        "PATH": "/bin",
        "LISTENCTL_HOOK_ID": sent.id.encode(),
        "LISTENCTL_EVENT": b"recording-saved",
        "LISTENCTL_CALL": b"CS-A",
        "LISTENCTL_CALL_SID": b"CS-A",
        "LISTENCTL_RECORDING": b"calls/CS-A.wav",
        "LISTENCTL_SIDECAR": b"calls/CS-A.json",
        "LISTENCTL_COMPLETE": b"true",
        **{f"LISTENCTL_{name}": b"" for name in ("FROM", "TO", "DIRECTION", "DIGIT", "REASON")},
    }


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "it exited with status 3"),
        ("echo one >&2; echo no route >&2; exit 1", "it exited with status 1: no route"),
        ("kill -9 $$", "signal 9 ended it"),
    ],
)
async def test_a_command_that_fails_says_why(script: str, problem: str) -> None:
    assert await shell(script).attempt(delivery()) == HookFailure(problem)


@pytest.mark.parametrize("command", ["true", "false"])
async def test_a_command_need_not_read_its_input(command: str) -> None:
    surprises: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: surprises.append(context))

    for _ in range(20):
        failure = await CommandTarget([command]).attempt(delivery(text="x" * 200_000))
        assert (failure is None) == (command == "true")

    assert surprises == []


async def test_a_command_that_says_much_is_not_blocked() -> None:
    assert await shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2").attempt(delivery()) is None


async def test_a_command_that_has_vanished_fails() -> None:
    failure = await CommandTarget(["/nowhere/notify"]).attempt(delivery())

    assert failure == HookFailure("it can't be started: No such file or directory", unreachable=True)


async def test_a_command_that_takes_too_long_is_ended_with_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_target, "TIMEOUT", 0.2)
    fifo = tmp_path / "alive"
    script = f"mkfifo {fifo}; (exec 3<>{fifo}; sleep 1000) & sleep 1000"

    failure = await shell(script).attempt(delivery())

    assert failure == HookFailure("it took more than 0.2 s and was ended")
    assert not _processes_with(str(fifo))


async def test_a_command_that_is_cancelled_is_ended(tmp_path: Path) -> None:
    attempt = asyncio.ensure_future(shell(f"touch {tmp_path}/begun; sleep 1000").attempt(delivery()))
    await until((tmp_path / "begun").exists)

    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt

    assert not _processes_with(f"{tmp_path}/begun")


@pytest.mark.parametrize("iterations", range(1, 12))
async def test_a_command_that_is_cancelled_while_it_starts_is_ended_with_all_its_processes(iterations: int) -> None:
    # Unlike any other sleep on the machine.
    mark = f"86400.{os.getpid()}{iterations}"
    target = shell(f"sleep {mark} & sleep {mark}")
    attempt = asyncio.ensure_future(target.attempt(delivery()))

    for _ in range(iterations):
        await asyncio.sleep(0)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(LIMIT):
            await attempt

    await until(lambda: not _processes_with(mark))


def _processes_with(text: str) -> list[int]:
    """Return the processes whose command line has a text."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in line:
                found.append(int(folder.name))
    return found
