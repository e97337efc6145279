"""How many lines of a log one peer may cause: so many in a period, then one line that counts the others."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

LINES, PERIOD = 50, 10.0
"""Lines in so many seconds: more than a caller types digits, fewer than fill a disk."""
MAX_PEERS = 1000


class LoggedPeer(NamedTuple):
    """The peer that caused a line: that of a call, or an address that got none."""

    address: str | None
    call: str | None = None
    call_sid: str | None = None
    trace_id: str | None = None


OTHER_PEERS = LoggedPeer("other addresses and calls")
"""All beyond ``MAX_PEERS`` share one allowance, so that many peers take no more memory."""


class PeerLineLimit:
    """
    Decide which lines are printed.

    Args:
        report: called at the end of a period with a peer, and how many of its lines were left out.
    """

    def __init__(self, report: Callable[[LoggedPeer, int], None], loop: asyncio.AbstractEventLoop) -> None:
        self._report = report
        self._loop = loop
        self._lines: Counter[LoggedPeer] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def admit_line(self, peer: LoggedPeer) -> bool:
        if self._timer is None:
            self._timer = self._loop.call_later(PERIOD, self.end_period)
        if peer not in self._lines and len(self._lines) >= MAX_PEERS:
            peer = OTHER_PEERS
        self._lines[peer] += 1
        return self._lines[peer] <= LINES

    def end_period(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        counts, self._lines = self._lines, Counter()
        for peer, lines in counts.items():
            if lines > LINES:
                self._report(peer, lines - LINES)
