"""One line on stderr that says how something goes, while it goes."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TextIO

INTERVAL = 0.5
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """
    A line of a terminal that is drawn again and again, below what is printed meanwhile.

    Args:
        describe: returns what it says, safe to be drawn.
    """

    def __init__(self, stream: TextIO, describe: Callable[[], str]) -> None:
        self._stream = stream
        self._describe = describe

    @asynccontextmanager
    async def drawn(self) -> AsyncIterator[None]:
        """Draw it until the end."""
        task = asyncio.create_task(self._draw())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.clear()

    def clear(self) -> None:
        """Make room for something else."""
        with suppress(OSError):
            self._stream.write(_CLEAR)
            self._stream.flush()

    def leave(self) -> None:
        """Leave it as it is, and let what comes next begin below it."""
        with suppress(OSError):
            os.write(self._stream.fileno(), b"\n")

    async def _draw(self) -> None:
        while True:
            self.clear()
            with suppress(OSError):
                columns = os.get_terminal_size(self._stream.fileno()).columns or 80
                self._stream.write(self._describe()[: columns - 1])
                self._stream.flush()
            await asyncio.sleep(INTERVAL)
