"""
How a server ends: a signal closes all calls with 1001 and waits for their recordings; the next one calls
``end_at_once``, as recordings are valid files at every moment. A server that drains before lets its calls end by
themselves for a while. `terminal/stop_signals` installs the handlers.
"""

import asyncio
from typing import TYPE_CHECKING

from listenctl.events import WarningEvent

if TYPE_CHECKING:
    from listenctl.server.server import ListenServer

SHUTDOWN_TIMEOUT = 5.0
"""Seconds for the connections to end; those that are left are cut."""
CONVERSION_TIMEOUT = 5.0
"""Seconds after a signal until recordings that are being converted to another format stay WAVs."""


class Shutdown:
    def __init__(self, server: "ListenServer") -> None:
        self.draining = False  # whether only the live calls are waited for
        self.begun = False  # whether no new connections are accepted any more
        self.was_cut_short = False  # whether it began before all calls that the server was to take had ended
        self._server = server
        self._connections_ended = asyncio.Event()

    def begin(self) -> None:
        """Accept no new connections, and close the live calls."""
        if self.begun:
            return
        self.begun = True
        server = self._server
        server.acceptor.close()
        self.was_cut_short = server.stop_after is not None and (bool(server.live) or not server.has_taken_all())
        if server.live:
            detail = describe_cut_calls(len(server.live))
            server.reporter.emit(WarningEvent(rule="calls-cut", detail=detail, calls=len(server.live)))
        for connection in list(server.connections):
            connection.close(1001, "server is stopping")
        asyncio.get_running_loop().call_later(SHUTDOWN_TIMEOUT, self._cut_connections)
        self.check_connections()

    def drain(self, timeout: float) -> None:
        """Accept no new connections, and begin when the live calls have ended, or after ``timeout`` seconds."""
        if self.begun or self.draining:
            return
        self.draining = True
        self._server.acceptor.accept_waiting()
        self._server.acceptor.close()
        self._server.make_way()
        if calls := len(self._server.live):
            warning = WarningEvent(rule="draining", detail=describe_draining(timeout), calls=calls)
            self._server.reporter.emit(warning)
        asyncio.get_running_loop().call_later(timeout, self.stop)
        self.check_connections()

    def stop(self) -> None:
        """Begin, because a signal wants the server to end soon: what takes long is given up then."""
        self.begin()
        if self._server.recorder is not None:
            asyncio.get_running_loop().call_later(CONVERSION_TIMEOUT, self._server.recorder.stop_conversions)

    def begin_after_calls(self) -> None:
        """Accept no new calls, and begin when the live ones have ended."""
        self._server.stop_after = self._server.calls_total
        if not self._server.live:
            self.begin()

    def check_connections(self) -> None:
        if self._server.connections:
            return
        if self.begun:
            self._connections_ended.set()
        elif self.draining:
            self.begin()

    async def wait(self) -> None:
        """Wait until all connections have ended, and then for all that they left to do."""
        server = self._server
        await self._connections_ended.wait()
        if server.call_responders is not None:
            await server.call_responders.wait_ended()
        if server.settings.upstream is not None:
            await server.settings.upstream.wait_closed()
        if server.recorder is not None:
            await server.recorder.finish_recordings()
        if server.control is not None:
            await server.control.close()

    def _cut_connections(self) -> None:
        for connection in list(self._server.connections):
            connection.abort()


def describe_cut_calls(calls: int) -> str:
    closed = "1 live call is" if calls == 1 else f"{calls} live calls are"
    return (
        f"stopping: {closed} closed and recordings are finished; a second signal exits at once. "
        "Where listen was the last verb of a call, the call can end too"
    )


def describe_draining(timeout: float) -> str:
    return f"draining: no new calls are accepted, and live ones may last {timeout:g} s more"


def end_at_once() -> None:
    """End the child processes of responders, because this process is about to exit."""
    from listenctl.server.responders.child_process import kill_children

    kill_children()
