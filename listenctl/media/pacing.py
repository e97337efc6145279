"""
Send audio in real time.

Deadlines count in samples from the start, so a late wake-up delays nothing after it and nothing drifts.
"""

import asyncio
from typing import Protocol


class Clock(Protocol):
    """A monotonic time in seconds, and a way to wait."""

    def now(self) -> float:
        """Return the time."""

    async def sleep(self, delay: float) -> None:
        """Wait for ``delay`` seconds; other tasks run in any case."""


class SystemClock:
    """The clock of the event loop."""

    def now(self) -> float:
        """Return the time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, delay: float) -> None:
        """Wait for ``delay`` seconds."""
        await asyncio.sleep(delay)


class Pacer:
    """
    Wait until each chunk of a stream is due; the stream starts with the first chunk.

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
        Wait until the next chunk of ``samples`` samples per channel is due; return how many seconds it is late.

        With 0 samples, wait for the end of the audio so far.
        """
        if self._start is None:
            self._start = self._clock.now()
        deadline = self._start + self._samples / self._sample_rate
        self._samples += samples
        await self._clock.sleep(max(0.0, deadline - self._clock.now()))
        return max(0.0, self._clock.now() - deadline)
