"""What a program says on stderr: as lines, none of them endless, and no more than somebody can follow."""

import asyncio
from collections.abc import Callable

from listenctl.server.responders.child_process import READ_BYTES

MAX_LINE = 1000
"""Bytes of a line; the rest of it is left out."""
MAX_AT_ONCE = 100
"""Lines that may come at once, and ``PER_SECOND`` in the long run; more are counted and left out."""
PER_SECOND = 20.0


class SaidLines:
    """
    Pass on lines.

    Attributes:
        dropped: how many were too many.
    """

    def __init__(self, reader: asyncio.StreamReader, show: Callable[[str], None]) -> None:
        self.dropped = 0
        self._reader = reader
        self._show = show
        self._allowed = float(MAX_AT_ONCE)
        self._at = asyncio.get_running_loop().time()

    async def relay(self) -> None:
        """Pass on lines until there are no more."""
        rest = b""
        while data := await self._reader.read(READ_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._say(line)
            rest = rest[:MAX_LINE]
        self._say(rest)

    def _say(self, line: bytes) -> None:
        text = line[:MAX_LINE].decode(errors="replace").rstrip()
        if not text:
            return
        now = asyncio.get_running_loop().time()
        self._allowed = min(MAX_AT_ONCE, self._allowed + (now - self._at) * PER_SECOND)
        self._at = now
        if self._allowed < 1:
            self.dropped += 1
            return
        self._allowed -= 1
        self._show(text)
