"""`monitor` that the server drops, that is interrupted, or whose file can't be saved."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers.cli import COMMAND, environment
from tests.helpers.control import fake_control, live_call
from tests.helpers.monitored import monitor
from tests.helpers.server import until

LIMIT = 60
SERVER_SILENT = {"v": 1, "ts": "2026-11-20T22:33:44.567Z", "event": "warning", "call": None, "call_sid": None} | {
    "rule": "no-sound",
    "detail": "no sound: speaker: gone",
}


async def test_a_call_that_lets_it_go_is_attached_again_and_the_others_go_on(tmp_path: Path) -> None:
    calls = [live_call("one"), live_call("two")]
    async with (
        asyncio.timeout(LIMIT),
        fake_control(tmp_path, calls=calls, hold_events=True) as control,
        monitor("--mute", home=tmp_path) as command,
    ):
        await until(lambda: len(control.connections) == 3)
        one = next(each for each in control.connections if each.request and "/one" in each.request.path)
        await one.close(1008, "too slow")
        said = await command.says("closed the connection")
        await until(lambda: len([target for target in control.targets if "/one" in target]) == 2)
        status = await command.end(signal.SIGINT)

    assert said == "listenctl: one: the server closed the connection: too slow; attaching again\n"
    assert len([target for target in control.targets if "/two" in target]) == 1
    assert status == 0


async def test_events_that_let_it_go_are_followed_again_and_no_call_is_missed(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(LIMIT),
        fake_control(tmp_path, hold_events=True) as control,
        monitor("--mute", home=tmp_path) as command,
    ):
        await command.says("waiting for a call")
        control.calls = [live_call("one")]
        await control.connections[0].close(1008, "too slow")
        said = await command.says("closed the connection")
        await until(lambda: "/calls/one?audio=1" in control.targets)
        status = await command.end(signal.SIGINT)

    assert said.startswith("listenctl: events: the server closed the connection: too slow; following again")
    assert status == 0


async def test_what_the_server_says_of_its_own_sound_is_told_from_ours(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(LIMIT),
        fake_control(tmp_path, events=[SERVER_SILENT], hold_events=True),
        monitor("--mute", home=tmp_path) as command,
    ):
        said = await command.says("no sound")

    assert said.endswith(" warning the server: no sound: speaker: gone\n")


@pytest.mark.parametrize("name", ["kept.flac", "kept", "missing/kept.wav"])
async def test_a_file_that_it_cant_keep_is_status_2(name: str, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(LIMIT),
        fake_control(tmp_path, calls=[live_call()], hold_events=True),
        monitor("7f1c", "--mute", "--save", name, home=tmp_path) as command,
    ):
        status = await command.end()

    assert status == 2
    assert f"{name}: " in command.said
    assert not (tmp_path / name).exists()


async def test_interrupts_while_it_ends_anyway_are_neither_a_traceback_nor_its_death(tmp_path: Path) -> None:
    command, env = [*COMMAND, "monitor", "--name", "nosuch"], environment(tmp_path)
    async with asyncio.timeout(LIMIT):
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=env, stderr=PIPE)
        assert process.stderr is not None
        said = await process.stderr.readline()
        for _ in range(20):
            with suppress(ProcessLookupError):
                # `send_signal` would collect the exit status of a process that has just ended.
                os.kill(process.pid, signal.SIGINT)
            await asyncio.sleep(0)
        said += await process.stderr.read()
        await process.wait()

    assert process.returncode in (4, 130)
    assert said.count(b"\n") == 1
