"""The limits that end a simulated call: its duration, ``maxLength`` and the verb's silence timeout."""

from array import array

from listenctl.protocol.listen_verb.listen_verb import silence_timeout
from listenctl.simulator.plan import CallPlan

# About -42 dBFS: comfort noise of a phone line is below, speech above.
_LOUD = 256

MAX_BEHIND = 1.0
"""Seconds that the audio may be behind the clock; a server that keeps this machine busy can't prolong its call."""


class CallLimits:
    """Watch the limits of one call; only the ``ideal`` profile has a silence timeout (listenctl-protocol(7) 7)."""

    def __init__(self, plan: CallPlan) -> None:
        self._durations = {"duration": plan.duration, "max-length": plan.verb.max_length}
        timeout = silence_timeout(plan.verb, plan.profile)
        self._silence_limit = None if timeout is None else round(timeout * plan.verb.sample_rate)
        self._silent_samples = 0

    def add_caller_audio(self, samples: bytes) -> None:
        if self._silence_limit is None or self._silent_samples >= self._silence_limit:
            return
        values = array("h", samples)
        loud = max(values, default=0) > _LOUD or min(values, default=0) < -_LOUD
        self._silent_samples = 0 if loud else self._silent_samples + len(values)

    def exceeded(self, sent: float, elapsed: float) -> str:
        """Return which limit is exceeded, empty if none, after ``sent`` seconds of audio and ``elapsed`` seconds."""
        elapsed = max(sent, elapsed - MAX_BEHIND)
        if self._silence_limit is not None and self._silent_samples >= self._silence_limit:
            return "silence-timeout"
        return next((name for name, limit in self._durations.items() if limit is not None and elapsed >= limit), "")
