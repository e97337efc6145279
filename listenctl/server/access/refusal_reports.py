"""
Reports of refused connections. Of those that a flood of strangers causes, only some of each address and some of all are
reported in a while; the others are counted, and summed up in a warning. So a flood doesn't fill the disk with events.
"""

import asyncio
from collections import Counter
from http import HTTPStatus

from listenctl.events import ConnectionRefusedEvent, Reporter, WarningEvent
from listenctl.server.access.client_addresses import host_of
from listenctl.server.access.failure_limit import client_network
from listenctl.server.handshake_refusal import TOO_MANY, TOO_MANY_PASSWORDS

WINDOW = 10.0
"""Seconds."""
MAX_REPORTS = 100
MAX_REPORTS_OF_CLIENT = 10
_LIMITS_OF_STRANGERS = (TOO_MANY.limit, TOO_MANY_PASSWORDS.limit)


class RefusalReports:
    def __init__(self, reporter: Reporter, loop: asyncio.AbstractEventLoop) -> None:
        self._reporter = reporter
        self._loop = loop
        self._window: asyncio.TimerHandle | None = None  # its end
        self._reported: Counter[str] = Counter()  # in this window, by client
        self._unreported: Counter[int] = Counter()  # in this window, by status

    def report_refusal(self, event: ConnectionRefusedEvent) -> None:
        # What the server can't do concerns calls that could have been; anyone can cause the other statuses.
        if event.status >= HTTPStatus.INTERNAL_SERVER_ERROR and event.limit not in _LIMITS_OF_STRANGERS:
            self._reporter.emit(event)
            return
        self._window = self._window or self._loop.call_later(WINDOW, self.end_window)
        client = client_network(host_of(event.remote))
        if self._reported.total() < MAX_REPORTS and self._reported[client] < MAX_REPORTS_OF_CLIENT:
            self._reported[client] += 1
            self._reporter.emit(event)
        else:
            self._unreported[event.status] += 1
            self._reporter.count(event)

    def end_window(self) -> None:
        """Report how many were not reported, and begin anew."""
        if self._window is not None:
            self._window.cancel()
            self._window = None
        if unreported := self._unreported.total():
            parts = ", ".join(f"{number} with {status}" for status, number in sorted(self._unreported.items()))
            detail = f"within {WINDOW:g} s, {unreported} more connections were refused than are reported: {parts}"
            self._reporter.emit(WarningEvent(rule="refusals-unreported", detail=detail))
        self._reported.clear()
        self._unreported.clear()
