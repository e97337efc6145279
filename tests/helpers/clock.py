"""Time that passes only when a test says so."""


class FakeClock:
    """Stands in for ``time.monotonic`` (call it) and for ``asyncio.sleep`` (await ``sleep``), starting at ``start``."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def __call__(self) -> float:
        return self._now

    def now(self) -> float:
        """Return the time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._now += seconds

    async def sleep(self, delay: float) -> None:
        """Let ``delay`` pass at once; one that is negative passes no time, as with ``asyncio.sleep``."""
        self._now += max(0.0, delay)
