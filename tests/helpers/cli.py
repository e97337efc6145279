"""The command line as users run it: a process of its own, with nothing of our environment but PATH."""

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from unittest.mock import patch

from listenctl.commands.command_line import command_group, run_command_line
from tests.helpers.server import LIMIT, Event

COMMAND = [sys.executable, "-m", "listenctl"]
ROOT = Path(__file__).parent.parent.parent


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment with a home of its own."""
    own = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(home)}
    return {**own, **(more or {})}


def listenctl(
    *arguments: str, home: Path, given: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, in ``home``."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=home,
        env=environment(home, env),
        input=given,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


async def listenctl_beside(*arguments: str, home: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, while the event loop goes on."""
    return await asyncio.to_thread(listenctl, *arguments, home=home, **options)


def listenctl_here(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run one command in this process, which is faster; it must end by itself, as wrong usage does."""
    handler = signal.getsignal(signal.SIGINT)
    own = patch.dict(os.environ, environment(home), clear=True)
    with TemporaryFile("w+", encoding="utf-8") as out, TemporaryFile("w+", encoding="utf-8") as errors:
        with chdir(home), own, redirect_stdout(out), redirect_stderr(errors):
            try:
                status = run_command_line(command_group(), arguments)
            finally:
                signal.signal(signal.SIGINT, handler)
                atexit.unregister(signal.signal)
        said = []
        for stream in (out, errors):
            stream.seek(0)
            said.append(stream.read())
    return subprocess.CompletedProcess(arguments, status, *said)


def refusal(*arguments: str, home: Path, status: int = 2) -> str:
    """Run a command that refuses its arguments, and return what it says: one line on stderr."""
    run = listenctl_here(*arguments, home=home)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (status, "", 1), run.stderr
    assert run.stderr.startswith("listenctl: ")
    return run.stderr


@dataclass(slots=True)
class Service:
    """A command in a process of its own; a server reports events as JSON lines on stdout."""

    process: Process
    said: str = ""

    @property
    def events(self) -> asyncio.StreamReader:
        assert self.process.stdout is not None
        return self.process.stdout

    async def next(self, kind: str) -> Event:
        while line := await self.events.readline():
            event: Event = json.loads(line)
            if event["event"] == kind:
                return event
        raise AssertionError(f"the command ended without {kind}")

    async def started(self) -> Event:
        """Return the event that says where a server listens."""
        return await self.next("server-started")

    async def says(self, text: str) -> str:
        """Wait for a line with ``text`` on stderr and return it."""
        assert self.process.stderr is not None
        while line := (await self.process.stderr.readline()).decode():
            self.said += line
            if text in line:
                return line
        raise AssertionError(f"the command ended without {text!r}: {self.said!r}")

    async def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit status and what stood on stderr."""
        self.process.send_signal(number)
        return await self.status()

    async def status(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and what stood on stderr."""
        assert self.process.stderr is not None
        self.said += (await self.process.stderr.read()).decode()
        return await self.process.wait(), self.said

    async def give(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def result(self, given: bytes | None = None) -> tuple[int, str, str]:
        """Wait for the end; return the exit status, and what stood on stdout and on stderr."""
        printed, said = await self.process.communicate(given)
        assert self.process.returncode is not None
        return self.process.returncode, (printed or b"").decode(), self.said + said.decode()


def service(
    *arguments: str, home: Path, env: Mapping[str, str] | None = None, stdin: int | None = None, stdout: int = PIPE
) -> AbstractAsyncContextManager[Service]:
    """Run a command, which is killed at the end of the block if it still runs."""
    return process_service(*COMMAND, *arguments, cwd=home, env=environment(home, env), stdin=stdin, stdout=stdout)


@asynccontextmanager
async def process_service(*command: str, stdout: int = PIPE, **options: Any) -> AsyncIterator[Service]:
    """Run a program as ``service`` does; ``options`` are those of asyncio."""
    async with asyncio.timeout(LIMIT):
        process = await asyncio.create_subprocess_exec(*command, stdout=stdout, stderr=PIPE, **options)
        try:
            yield Service(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()
