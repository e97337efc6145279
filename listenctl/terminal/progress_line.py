"""One line on stderr that shows the progress of something."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TextIO

from listenctl.background_task import background_task

INTERVAL = 0.5
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """A line on a terminal that is drawn repeatedly, below the lines printed meanwhile."""

    def __init__(self, stream: TextIO, describe: Callable[[], str]) -> None:
        self._stream = stream
        self._describe = describe  # returns its printable text

    @asynccontextmanager
    async def drawn(self) -> AsyncIterator[None]:
        try:
            async with background_task(self._draw()):
                yield
        finally:
            self.clear()

    def clear(self) -> None:
        """Clear the line to make room for another."""
        with suppress(OSError):
            self._stream.write(_CLEAR)
            self._stream.flush()

    def leave(self) -> None:
        """Keep the line as it is, and let the next output begin below it."""
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
