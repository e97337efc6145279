"""Send audio in real time; deadlines count in samples from the start, so a late wake-up delays nothing after it."""

import asyncio


class Pacer:
    """Wait until each chunk of a stream is due; the stream starts with the first chunk."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._start: float | None = None
        self._samples = 0

    async def wait_for_chunk(self, samples: int) -> float:
        """Wait until the next ``samples`` samples are due, 0 for the end so far; return the seconds they are late."""
        now = asyncio.get_running_loop().time
        if self._start is None:
            self._start = now()
        deadline = self._start + self._samples / self._sample_rate
        self._samples += samples
        await asyncio.sleep(max(0.0, deadline - now()))
        return max(0.0, now() - deadline)
