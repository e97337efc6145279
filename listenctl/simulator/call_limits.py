"""What ends a call from the caller's side, apart from keys: time, and silence."""

from array import array

from listenctl.protocol.listen_verb.listen_verb import silence_timeout
from listenctl.simulator.plan import CallPlan

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


class CallLimits:
    """Watch the limits of one call; times count from the tap, the handshake included (protocol.md 7)."""

    def __init__(self, plan: CallPlan) -> None:
        self._times = {"duration": plan.duration, "max-length": plan.verb.max_length}
        self._silence = SilenceTimeout(silence_timeout(plan.verb, plan.profile), plan.verb.sample_rate)

    def hear(self, caller: bytes) -> None:
        """Listen to what the caller says next."""
        self._silence.feed(caller)

    def passed(self, time: float) -> str:
        """Return which limit is passed after ``time`` seconds, empty for none."""
        if self._silence.is_over:
            return "silence-timeout"
        return next((name for name, limit in self._times.items() if limit is not None and time >= limit), "")
