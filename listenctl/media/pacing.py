"""
Send audio in real time, on the clock of the event loop.

Deadlines count in samples from the start, so a late wake-up delays nothing after it and nothing drifts.
"""

import asyncio


class Pacer:
    """Wait until each chunk of a stream is due; the stream starts with the first chunk."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._start: float | None = None
        self._samples = 0

    async def wait_for_chunk(self, samples: int) -> float:
        """
        Wait until the next chunk of ``samples`` samples per channel is due; return how many seconds it is late.

        With 0 samples, wait for the end of the audio so far.
        """
        now = asyncio.get_running_loop().time
        if self._start is None:
            self._start = now()
        deadline = self._start + self._samples / self._sample_rate
        self._samples += samples
        await asyncio.sleep(max(0.0, deadline - now()))
        return max(0.0, now() - deadline)
