"""What ends a call from the caller's side, apart from keys: time, and silence."""

from listenctl.client.plan import CallPlan
from listenctl.client.silence import SilenceTimeout
from listenctl.protocol.verb import silence_timeout


class Limits:
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
