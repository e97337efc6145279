"""One line on stderr that shows the progress of something."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from listenctl.background_task import background_task, log_failure
from listenctl.terminal.screen import can_draw

INTERVAL = 0.5
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """A line on stderr that is drawn repeatedly, below the lines printed meanwhile; only on a terminal."""

    def __init__(self, describe: Callable[[], str], *, quiet: bool) -> None:
        self._stream = sys.stderr
        self._describe = describe  # returns its printable text
        self._enabled = not quiet and can_draw(sys.stderr, os.environ)

    @asynccontextmanager
    async def drawn(self) -> AsyncIterator[None]:
        if not self._enabled:
            yield
            return
        try:
            async with background_task(log_failure(self._draw, "the progress line")):
                yield
        finally:
            self.clear()

    def clear(self) -> None:
        """Clear the line to make room for another."""
        if self._enabled:
            with suppress(OSError):
                self._stream.write(_CLEAR)
                self._stream.flush()

    def leave(self) -> None:
        """Keep the line as it is, and let the next output begin below it."""
        if self._enabled:
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
