"""How much of what was streamed is still to be played, by the clock, since marks can't be trusted (protocol.md 6.4)."""

from listenctl.protocol.audio import SAMPLE_BYTES


class PlayoutClock:
    """
    Compare the bytes that were streamed with the time that has passed; all times are seconds on one clock.

    Playing begins when audio comes and goes on while there is any. What jambonz holds back until more comes (up to
    160 ms, protocol.md 6.2) isn't known here.
    """

    def __init__(self) -> None:
        self._waiting = 0.0
        # When ``_waiting`` was true; it isn't brought up to date while the rate is unknown.
        self._at = 0.0

    def stream(self, size: int, rate: int | None, now: float) -> None:
        """Take notice of ``size`` bytes that are sent."""
        if not self._waiting:
            self._at = now
        self._play(rate, now)
        self._waiting += size

    def kill(self, now: float) -> None:
        """Take notice that all that waits is dropped."""
        self._waiting, self._at = 0.0, now

    def left(self, rate: int | None, now: float) -> float | None:
        """Return the seconds of audio that are still to be played; None if that depends on a rate that is unknown."""
        if not self._waiting:
            return 0.0
        self._play(rate, now)
        return None if rate is None else self._waiting / (rate * SAMPLE_BYTES)

    def _play(self, rate: int | None, now: float) -> None:
        if rate is not None:
            self._waiting = max(0.0, self._waiting - (now - self._at) * rate * SAMPLE_BYTES)
            self._at = now
