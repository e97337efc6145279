"""
Sending audio at the speed at which it is heard.

Deadlines count from the start, in samples: what was late once makes nothing after it late, and nothing drifts.
"""

import asyncio
from typing import Protocol


class Clock(Protocol):
    """The time, in seconds since some moment, and a way to let it pass."""

    def now(self) -> float:
        """Return the time."""

    async def sleep(self, delay: float) -> None:
        """Let ``delay`` seconds pass, and other tasks run in any case."""


class SystemClock:
    """The clock that the event loop uses too."""

    def now(self) -> float:
        """Return the time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, delay: float) -> None:
        """Let ``delay`` seconds pass."""
        await asyncio.sleep(delay)


class Pacer:
    """
    Say when each chunk of a stream is due; the first one is due, and the stream starts, at the first ``wait``.

    Args:
        sample_rate: of the stream, in Hz.
    """

    def __init__(self, sample_rate: int, clock: Clock) -> None:
        self._sample_rate = sample_rate
        self._clock = clock
        self._start: float | None = None
        self._samples = 0

    async def wait_for_chunk(self, samples: int) -> float:
        """
        Wait until the next chunk, of ``samples`` samples per channel, is due; return the seconds that it is late.

        With 0 samples, the end of the audio so far is waited for.
        """
        if self._start is None:
            self._start = self._clock.now()
        deadline = self._start + self._samples / self._sample_rate
        self._samples += samples
        await self._clock.sleep(max(0.0, deadline - self._clock.now()))
        return max(0.0, self._clock.now() - deadline)
