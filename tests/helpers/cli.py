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
from contextlib import asynccontextmanager, chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
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


@dataclass(slots=True)
class Service:
    """A server in a process of its own that reports events as JSON lines into a file or on stdout."""

    process: Process
    events: asyncio.StreamReader

    async def next(self, kind: str) -> Event:
        """Return the next event of a kind."""
        while line := await self.events.readline():
            event: Event = json.loads(line)
            if event["event"] == kind:
                return event
        raise AssertionError(f"the server ended without {kind}")

    async def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit status and what stood on stderr."""
        self.process.send_signal(number)
        return await self.status()

    async def status(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and what stood on stderr."""
        assert self.process.stderr is not None
        said = await self.process.stderr.read()
        return await self.process.wait(), said.decode()


@asynccontextmanager
async def service(*arguments: str, home: Path, env: Mapping[str, str] | None = None) -> AsyncIterator[Service]:
    """Run a server with its events on stdout."""
    async with asyncio.timeout(LIMIT):
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *arguments, cwd=home, env=environment(home, env), stdout=PIPE, stderr=PIPE
        )
        assert process.stdout is not None
        try:
            yield Service(process, process.stdout)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()
