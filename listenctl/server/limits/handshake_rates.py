"""How many handshakes a second each client may begin."""

from collections import OrderedDict

MAX_ADDRESSES = 10_000
"""Addresses that are remembered; beyond that, the one that was not seen for the longest time is forgotten."""
BURST = 1.0
"""Seconds of the rate that may come at once, such as the calls of a media server that comes back."""


class HandshakeRates:
    """A handshake takes ``1 / rate`` seconds of its client's time; one that is too far ahead of the clock waits."""

    def __init__(self) -> None:
        self._busy_until: OrderedDict[str, float] = OrderedDict()

    def take_handshake(self, address: str, now: float, rate: float) -> bool:
        """Count a handshake of ``address``, and return True, unless it is one too many."""
        busy_until = max(now, self._busy_until.pop(address, now))
        allowed = busy_until + 1 / rate <= now + max(BURST, 1 / rate)
        self._busy_until[address] = busy_until + 1 / rate if allowed else busy_until
        if len(self._busy_until) > MAX_ADDRESSES:
            self._busy_until.popitem(last=False)
        return allowed
