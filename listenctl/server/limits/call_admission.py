"""Whether a request may become a call now. The same limits make ``/readyz`` say that a server is full."""

import asyncio
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

from listenctl.protocol.privacy.hide_secrets import shown_target
from listenctl.server.access.client_addresses import host_of
from listenctl.server.access.failure_limit import client_network
from listenctl.server.handshake_refusal import NO_MORE_CALLS, RETRY_AFTER, HandshakeRefusal, full_server
from listenctl.server.limits.handshake_rates import HandshakeRates

if TYPE_CHECKING:
    from listenctl.server.server import ListenServer

RETRY_RATE_AFTER = 1
"""Seconds after which a client that was too fast may try again."""


class CallAdmission:
    def __init__(self, server: "ListenServer") -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._rates = HandshakeRates()
        self._calls_of_address: Counter[str] = Counter()
        self._calls_of_user: Counter[str] = Counter()

    def check_rate(self, remote: str) -> HandshakeRefusal | None:
        """Count a handshake request of ``remote``; return why it can't be answered now, None if it can."""
        rate = self._server.limits.max_handshakes
        if rate is None or self._rates.take_handshake(_client(remote), self._loop.time(), rate):
            return None
        return _too_many(
            "max-handshakes", f"--max-handshakes allows {rate:g} handshakes a second from one address", RETRY_RATE_AFTER
        )

    def check_call(self, target: str, remote: str, user: str) -> HandshakeRefusal | None:
        """
        Return why a request of ``remote`` for ``target`` can't become a call now, None if it can. ``user`` is empty
        without credentials.
        """
        path, wanted = unquote(target.partition("?")[0]), self._server.settings.path
        if wanted is not None and path != wanted:
            return HandshakeRefusal(HTTPStatus.NOT_FOUND, f"calls go to {wanted}, not to {shown_target(path)}")
        return self.check_server() or self._check_address(remote) or self._check_user(user) or self._claim_call()

    def check_server(self) -> HandshakeRefusal | None:
        """Return why no request can become a call now, None if one can."""
        server, limits = self._server, self._server.limits
        if server.shutdown.begun or server.has_taken_all(with_beginning=True):
            return NO_MORE_CALLS
        calls = server.count_calls()
        if (all_calls := server.counts.count_all(calls)) >= limits.max_calls:
            return full_server("max-calls", describe_full(all_calls))
        unfinished = calls + (0 if server.recorder is None else server.recorder.finishing)
        if unfinished >= server.settings.max_unfinished:
            return full_server(
                "open-files", f"the files of {unfinished} calls are open, and the limit of open files allows no more"
            )
        return server.resources.check_server()

    def start_call(self, remote: str, user: str) -> None:
        self._calls_of_address[_client(remote)] += 1
        self._calls_of_user[user] += 1

    def end_call(self, remote: str, user: str) -> None:
        for calls, key in ((self._calls_of_address, _client(remote)), (self._calls_of_user, user)):
            calls[key] -= 1
            if not calls[key]:
                del calls[key]

    def _claim_call(self) -> HandshakeRefusal | None:
        """Count the call that begins; workers may all have found room for the same one."""
        counts, calls = self._server.counts, self._server.count_calls()
        if counts.claim_call(len(self._server.connections), calls, self._server.limits.max_calls):
            return None
        return full_server("max-calls", describe_full(counts.count_all(calls)))

    def _check_address(self, remote: str) -> HandshakeRefusal | None:
        most = self._server.limits.max_calls_per_address
        if most is None or self._calls_of_address[_client(remote)] < most:
            return None
        return _too_many(
            "max-calls-per-address", f"this address has {most} live calls, and --max-calls-per-address allows no more"
        )

    def _check_user(self, user: str) -> HandshakeRefusal | None:
        most = self._server.limits.max_calls_per_user
        if most is None or not user or self._calls_of_user[user] < most:
            return None
        return _too_many(
            "max-calls-per-user", f"this user has {most} live calls, and --max-calls-per-user allows no more"
        )


def describe_full(calls: int) -> str:
    return f"there are {calls} live calls, and --max-calls allows no more"


def _too_many(limit: str, reason: str, retry_after: int = RETRY_AFTER) -> HandshakeRefusal:
    return HandshakeRefusal(HTTPStatus.TOO_MANY_REQUESTS, reason, limit=limit, retry_after=retry_after)


def _client(remote: str) -> str:
    return client_network(host_of(remote))
