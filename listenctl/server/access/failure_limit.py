"""
How many wrong credentials an address may try, and when it is told so: a guess costs the one who guesses.

The same wrong credentials again are no new guess. An application whose credentials are wrong sends them with each call,
and its media server may have others whose credentials are right.
"""

import asyncio
from dataclasses import dataclass
from ipaddress import IPv6Address
from math import ceil

from listenctl.server.access.networks import parse_address

MAX_FAILURES = 20
WINDOW = 60.0
"""Seconds from the first of these failures until the next ones count anew."""
MAX_ADDRESSES = 10_000
DELAY = 1.0
"""Seconds until wrong credentials are answered."""
MAX_DELAYED = 100
_NETWORK_BITS = 64


def client_network(host: str) -> str:
    """Return what stands for an address of a client: of IPv6 its network, as each client has a whole one."""
    try:
        address = parse_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(IPv6Address(int(address) >> _NETWORK_BITS << _NETWORK_BITS))


@dataclass(slots=True)
class _Failures:
    until: float
    number: int = 0


class FailureLimit:
    def __init__(self) -> None:
        self._of: dict[str, _Failures] = {}  # by client; the one that began first comes first

    def add_failure(self, client: str, now: float) -> None:
        failures = self._of.get(client)
        if failures is None or failures.until <= now:
            self._of.pop(client, None)
            if len(self._of) >= MAX_ADDRESSES:
                del self._of[next(iter(self._of))]
            failures = self._of[client] = _Failures(now + WINDOW)
        failures.number += 1

    def has_failed(self, client: str, now: float) -> bool:
        """Return whether ``client`` has failed lately."""
        failures = self._of.get(client)
        return failures is not None and failures.until > now

    def seconds_left(self, client: str, now: float) -> int:
        """Return how long ``client`` may not try again, 0 if it may."""
        failures = self._of.get(client)
        if failures is None or failures.number < MAX_FAILURES:
            return 0
        return max(0, ceil(failures.until - now))


class AnswerDelay:
    """
    Keep answers back for a while. A connection that waits has one of the places for connections without a call; so at
    most ``MAX_DELAYED`` wait, and one more lets the first go.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Event, None] = {}

    async def wait(self) -> None:
        let_go = asyncio.Event()
        self._waiting[let_go] = None
        if len(self._waiting) > MAX_DELAYED:
            first = next(iter(self._waiting))
            del self._waiting[first]
            first.set()
        timer = asyncio.get_running_loop().call_later(DELAY, let_go.set)
        try:
            await let_go.wait()
        finally:
            timer.cancel()
            self._waiting.pop(let_go, None)
