"""The documented ``timeout`` of a listen: the call ends when the caller has been silent for so long."""

from array import array

# About -42 dBFS: comfort noise of a phone line is below, speech above.
_LOUD = 256


class SilenceTimeout:
    """
    Tell when one channel has been silent for long enough.

    Args:
        timeout: seconds; None for never. No jambonz does it (protocol.md 7), so only the ``ideal`` profile has one.
    """

    def __init__(self, timeout: float | None, sample_rate: int) -> None:
        self._limit = None if timeout is None else round(timeout * sample_rate)
        self._silent = 0

    @property
    def is_over(self) -> bool:
        """Whether the time has passed."""
        return self._limit is not None and self._silent >= self._limit

    def feed(self, samples: bytes) -> None:
        """Listen to the next samples."""
        if self._limit is None or self.is_over:
            return
        numbers = array("h", samples)
        loud = max(numbers, default=0) > _LOUD or min(numbers, default=0) < -_LOUD
        self._silent = 0 if loud else self._silent + len(numbers)
