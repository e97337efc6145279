"""
How long handshakes may keep the event loop at a time: a thousand TLS handshakes at once must not keep calls from being
read. What is left to do has its next turn after all that is due.
"""

import asyncio

LONGEST_TURN = 0.02
"""Seconds; a fifth of the time between two visits of the timing wheel."""


class HandshakeTurn:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._began: float | None = None

    def has_time(self) -> bool:
        """Return whether one more connection may be accepted or read in this iteration of the loop."""
        now = self._loop.time()
        if self._began is None:
            self._began = now
            self._loop.call_soon(self._end)
        return now - self._began < LONGEST_TURN

    def _end(self) -> None:
        self._began = None
