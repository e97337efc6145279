"""A command on a terminal of its own, and what it draws there."""

import asyncio
import fcntl
import os
import pty
import struct
import termios
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.cli import COMMAND, environment
from tests.helpers.server import LIMIT


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
