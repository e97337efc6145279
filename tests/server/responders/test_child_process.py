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
        child.write(b"one ")
        child.write(b"two")
        child.end_writing()
        said = await child.stdout.read(100)
        rest = await child.stdout.read()
        await child.end(5.0)

    assert said + rest == b"one two"
    assert child.returncode == 0


async def test_a_child_that_reads_nothing_costs_only_what_waits_for_it() -> None:
    async with started("sleep", "60") as child:
        child.write(bytes(1_000_000))
        unread = child.unread
        child.end_writing()

    # Linux keeps 64 KiB of a pipe.
    assert 800_000 < unread < 1_000_000


async def test_writing_to_a_child_that_reads_no_more_does_nothing() -> None:
    async with started("sh", "-c", "exec <&-; echo; sleep 60") as child:
        await child.stdout.read(1)
        for _ in range(10):
            child.write(b"x")
            await asyncio.sleep(0)
        await until(lambda: not child.unread)
        child.end_writing()

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
