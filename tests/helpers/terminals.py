"""
Terminals for commands, and for a call view as a job of a shell: as users have it, down to the signals.

Run as ``python -m tests.helpers.terminals shell TTY`` this is the shell: it starts the job in the foreground and obeys
lines on stdin (``bg``, ``fg``). Run with ``job`` it is the job, which says on stdout what is pressed.
"""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from listenctl.commands.call.view import SimulatedCallView
from listenctl.simulator.call_snapshot import CallSnapshot
from listenctl.terminal.keypresses import KeypressReader
from listenctl.terminal.printable_text import TextStyle
from tests.helpers.cli import COMMAND, ROOT, environment
from tests.helpers.server import LIMIT, until

_MODULE = [sys.executable, "-m", "tests.helpers.terminals"]


QUIET = CallSnapshot(
    url="ws://h/",
    call="7f1c",
    state="live",
    elapsed=1.0,
    sample_rate=8000,
    mix_type="mono",
    profile="current",
    streaming=False,
    sent=None,
    heard=None,
    buffered=0.0,
    held=0.0,
    marks=(),
    unsent=0.0,
    lost_samples=0,
    lateness=0.0,
    commands=0,
    wrong=0,
    digits="",
)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def run_job() -> None:
    loop = asyncio.get_running_loop()

    def quit_job() -> None:
        task.cancel()

    keys = KeypressReader(0, lambda digit: say(f"digit {digit}"), quit_job)
    with open(os.ttyname(0), "w", encoding="utf-8") as terminal:  # noqa: ASYNC230, PTH123 - a terminal doesn't block
        task = loop.create_task(SimulatedCallView(lambda: QUIET, terminal, TextStyle(color=False), keys=keys).run())
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        loop.add_signal_handler(signal.SIGUSR1, say, "alive")
        loop.call_soon(say, "started")
        with suppress(asyncio.CancelledError):
            await task


def run_shell(tty: str) -> None:
    # The first terminal that a session leader opens is its own.
    terminal = os.open(tty, os.O_RDWR)
    job = subprocess.Popen([*_MODULE, "job"], stdin=terminal, process_group=0)
    threading.Thread(target=_watch, args=(job.pid,), daemon=True).start()
    say(f"job {job.pid}")
    _give(terminal, job.pid)
    for line in sys.stdin:
        match line.strip():
            case "bg":
                _give(terminal, os.getpid())
            case "fg":
                _give(terminal, job.pid)
        os.kill(job.pid, signal.SIGCONT)


def _give(terminal: int, group: int) -> None:
    # From the background that would stop us; the job mustn't inherit how we avoid it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    os.tcsetpgrp(terminal, group)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTTOU])


def _watch(pid: int) -> None:
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        say("stopped" if os.WIFSTOPPED(status) else f"ended {os.waitstatus_to_exitcode(status)}")
        if not os.WIFSTOPPED(status):
            return


@dataclass(slots=True)
class Terminal:
    """The keyboard, and what the shell and the job say."""

    keyboard: int
    shell: Process
    job: int = 0

    def type(self, data: bytes) -> None:
        os.write(self.keyboard, data)

    def order(self, line: str) -> None:
        assert self.shell.stdin is not None
        self.shell.stdin.write(f"{line}\n".encode())

    async def hear(self) -> str:
        assert self.shell.stdout is not None
        return (await self.shell.stdout.readline()).decode().strip()

    @property
    def echoes(self) -> bool:
        """Whether keys are echoed and come in lines, as a shell wants it."""
        local: int = termios.tcgetattr(self.keyboard)[3]
        flags = termios.ECHO | termios.ICANON
        return local & flags == flags

    async def wait_until_taken(self) -> None:
        """Wait until keys come at once."""
        await until(lambda: not self.echoes)


@asynccontextmanager
async def terminal() -> AsyncIterator[Terminal]:
    """Run a job in the foreground of a terminal."""
    keyboard, tty = pty.openpty()
    async with asyncio.timeout(LIMIT):
        shell = await asyncio.create_subprocess_exec(
            *_MODULE, "shell", os.ttyname(tty), cwd=ROOT, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        ours = Terminal(keyboard, shell)
        try:
            ours.job = int((await ours.hear()).removeprefix("job "))
            assert await ours.hear() == "started"
            await ours.wait_until_taken()
            yield ours
        finally:
            if ours.job:
                with suppress(ProcessLookupError):
                    os.kill(ours.job, signal.SIGKILL)
            shell.kill()
            await shell.communicate()
            os.close(keyboard)
            os.close(tty)


@dataclass(slots=True)
class OnTerminal:
    """A command whose stdin, stdout and stderr are a terminal."""

    process: Process
    reader: asyncio.StreamReader
    keyboard: int
    seen: str = ""

    def type(self, keys: str) -> None:
        """Press keys; the terminal must belong to the command."""
        os.write(self.keyboard, keys.encode())

    async def until(self, text: str) -> str:
        """Wait until ``text`` was drawn; return all that was drawn before and up to then."""
        while text not in self.seen:
            if not await self._read():
                raise AssertionError(f"the command ended without {text!r}: {self.seen!r}")
        return self.seen

    async def to_end(self) -> str:
        """Return all that is drawn until the command ends."""
        while await self._read():
            pass
        await self.process.wait()
        return self.seen

    async def _read(self) -> bool:
        try:
            data = await self.reader.read(65536)
        except OSError:  # Linux says so when nobody has the terminal any more.
            return False
        self.seen += data.decode()
        return bool(data)


@asynccontextmanager
async def on_terminal(
    *arguments: str, home: Path, columns: int = 100, owned: bool = False
) -> AsyncIterator[OnTerminal]:
    """Run a command on a terminal of 24 rows, which is its own with ``owned``, so that it can read keys."""
    screen, tty = pty.openpty()
    fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = environment(home, {"TERM": "xterm", "LANG": "C.UTF-8", "XDG_RUNTIME_DIR": str(home)})
    process = await asyncio.create_subprocess_exec(
        *(["setsid", "--ctty"] if owned else []),
        *COMMAND,
        *arguments,
        cwd=home,
        env=env,
        stdin=tty,
        stdout=tty,
        stderr=tty,
    )
    os.close(tty)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(screen, "rb", buffering=0)
    )
    async with asyncio.timeout(LIMIT):
        try:
            yield OnTerminal(process, reader, screen)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            transport.close()


if __name__ == "__main__":
    if sys.argv[1] == "shell":
        run_shell(sys.argv[2])
    else:
        asyncio.run(run_job())
