"""
The sample rate at which audio really arrives, for a call whose metadata state another one.

The metadata of some taps have no rate, and a server assumes one. Audio of another rate arrives steadily, but too fast
or too slowly: no gap and no burst looks like that. Only rates in common use are recognised, since a loss of every
fifth frame is steady as well.
"""

from math import inf

from listenctl.protocol.audio import AudioFormat

WINDOW = 0.5
"""Seconds of one measurement."""
SURE_AFTER = 5
"""Measurements in a row that must agree."""
SURE_AT_THE_END = 2
RIGHT_AFTER = 2
"""Measurements of the stated rate in a row after which it is right; what is missing later is lost."""
COMMON_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000)
TOLERANCE = 0.04
LEAST_DIFFERENCE = 0.06


class RateMeter:
    """Measure the rate of a call until it is certain that it isn't the stated one."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.due = -inf
        """When ``measure`` is to be called next."""
        self._format = audio_format
        self._measured_at: float | None = None
        self._measured_bytes = 0
        self._rate = 0  # which the last measurements agree on
        self._agreeing = 0
        self._differed = False  # whether measurements have differed from each other

    def measure(self, at: float, received: int) -> int | None:
        """Return the rate once it is certain that it isn't the stated one; ``received`` is in bytes."""
        before, self._measured_at = self._measured_at, at
        received_before, self._measured_bytes = self._measured_bytes, received
        self.due = at + WINDOW
        if before is None:  # The first audio may be a backlog.
            return None
        measured = (received - received_before) / self._format.frame_bytes / (at - before)
        rate = _common_rate(measured, self._format.sample_rate)
        self._differed |= self._agreeing > 0 and rate != self._rate
        self._agreeing = self._agreeing + 1 if rate == self._rate else 1
        self._rate = rate
        stated = rate == self._format.sample_rate
        if not rate or self._agreeing < (RIGHT_AFTER if stated else SURE_AFTER):
            return None
        self.due = inf
        return None if stated else rate

    def restart(self) -> None:
        """Measure anew, because we were too late ourselves to know when the audio arrived."""
        self._measured_at = None
        self._rate = self._agreeing = 0

    def measured_at_the_end(self) -> int | None:
        """Return the rate of a short call if all that was measured agrees on another one than is stated."""
        sure = self._agreeing >= SURE_AT_THE_END and not self._differed and self.due != inf
        return self._rate if sure and self._rate not in (0, self._format.sample_rate) else None


def _common_rate(measured: float, stated: int) -> int:
    """Return the rate in common use that was measured, or the stated one; 0 if it is none of these."""
    if abs(measured / stated - 1) < LEAST_DIFFERENCE:
        return stated
    # Half or twice the rate is also what one channel for two looks like, or two for one.
    rates = (*COMMON_RATES, stated // 2, stated * 2)
    return next((rate for rate in rates if abs(measured / rate - 1) < TOLERANCE), 0)
