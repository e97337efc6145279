"""A child process: what it reads and writes, and how it ends."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from listenctl.server.responders.child_process import ChildProcess
from tests.helpers.server import LIMIT, until
from tests.helpers.simulated_calls import is_alive

STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"


@asynccontextmanager
async def started(*command: str) -> AsyncIterator[ChildProcess]:
    async with asyncio.timeout(LIMIT):
        child = await ChildProcess.start(command, os.environ)
        try:
            yield child
        finally:
            await child.end(0.0)


async def test_a_child_reads_what_it_is_given_and_ends_at_its_end() -> None:
    async with started("cat") as child:
        child.stdin.write(b"one ")
        child.stdin.write(b"two")
        said = await child.stdout.readexactly(7)
        await child.end(LIMIT)

    assert said == b"one two"
    assert child.stdin.has_been_read
    assert (child.returncode, child.left_unread) == (0, 0)


async def test_a_child_that_reads_nothing_costs_only_what_waits_for_it() -> None:
    async with started("sleep", "60") as child:
        child.stdin.write(bytes(1_000_000))
        unread = child.stdin.unread

    assert unread == 1_000_000
    assert not child.stdin.has_been_read


async def test_what_a_child_that_reads_on_leaves_unread_is_known_when_its_time_is_up() -> None:
    async with started("sh", "-c", "head -c 1000 >/dev/null; echo; sleep 60") as child:
        child.stdin.write(bytes(1000))
        await child.stdout.readline()
        child.stdin.write(bytes(200_000))
        await child.end(0.1)

    assert (child.stdin.has_been_read, child.left_unread) == (True, 200_000)


async def test_what_a_child_leaves_unread_that_exits_by_itself_was_its_choice() -> None:
    async with started("head", "-c", "1") as child:
        child.stdin.write(bytes(200_000))
        await child.end(LIMIT)

    assert (child.returncode, child.left_unread) == (0, 0)


async def test_writing_to_a_child_that_reads_no_more_does_nothing() -> None:
    async with started("sh", "-c", "exec <&-; echo; sleep 60") as child:
        await child.stdout.read(1)
        for _ in range(10):
            child.stdin.write(b"x")
            await asyncio.sleep(0)
        await until(lambda: not child.stdin.unread)

    assert child.returncode == -15


@pytest.mark.parametrize(("command", "signal"), [(["sleep", "60"], 15), ([sys.executable, "-c", STUBBORN], 9)])
async def test_a_child_that_doesnt_end_is_made_to(
    command: Sequence[str], signal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listenctl.server.responders.child_process.TERM_WAIT", 0.3)

    async with started(*command) as child:
        if signal == 9:
            await child.stdout.read(1)
        await child.end(0.0)

    assert child.returncode == -signal


async def test_what_a_child_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    async with started("sh", "-c", f"sleep 60 & echo $! > {pid_file}") as child:
        await child.wait_exited()
        left = int(pid_file.read_text())
        os.kill(left, 0)
        await child.end(5.0)

    await until(lambda: not is_alive(left))
