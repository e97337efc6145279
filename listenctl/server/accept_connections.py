"""Accept connections, also after the process ran out of file descriptors for a moment."""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress

from listenctl.net.listening_sockets import BACKLOG
from listenctl.server.handshake_refusal import HandshakeRefusal

_PAUSE = 1.0
LOOK_AGAIN = 0.005
"""Seconds after which a worker that left connections to others looks whether it is its turn."""
PATIENCE = 0.05
"""Seconds for which it leaves them to others: those may be busy, but then they are stuck."""
TURN = 16
"""Connections that it accepts after that, even if others still have fewer."""
# Out of descriptors or memory: the waiting connection would wake us again and again.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_MAX_REQUEST = 64 * 1024


def refuse_accepted(connection: socket.socket, refusal: HandshakeRefusal, *, tls: bool) -> None:
    """Close a connection from which nothing is wanted; answer it if that takes no more than a write."""
    with suppress(OSError):
        connection.setblocking(False)
        if not tls:
            # A request that is left unread would make the kernel reset the connection, and drop the answer.
            with suppress(BlockingIOError):
                connection.recv(_MAX_REQUEST)
            connection.send(refusal.serialize())
    connection.close()


class ConnectionAcceptor:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_connection: Callable[[socket.socket, str], None],
        on_failure: Callable[[str], None],
        may_accept: Callable[[], bool] = lambda: True,
        has_time: Callable[[], bool] = lambda: True,
    ) -> None:
        self._loop = loop
        self._on_connection = on_connection  # called with each connection and the address of its peer
        self._on_failure = on_failure  # called with the reason why a connection can't be accepted
        self._may_accept = may_accept  # returns whether the next connection is ours, rather than that of another worker
        self._has_time = has_time  # returns whether the event loop may spend more of this iteration on connections
        self._sockets: list[socket.socket] = []

    def start(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        for listening in sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def accept_waiting(self) -> None:
        """Accept the connections that wait already; ``close`` would reset them."""
        for listening in self._sockets:
            self._accept_up_to(BACKLOG, listening)

    def close(self) -> None:
        sockets, self._sockets = self._sockets, []
        for listening in sockets:
            self._loop.remove_reader(listening)
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(BACKLOG):
            if not self._may_accept():
                self._loop.remove_reader(listening)
                self._wait_for_turn(listening, self._loop.time() + PATIENCE)
                return
            if not self._has_time() or not self._accept_up_to(1, listening):
                return

    def _wait_for_turn(self, listening: socket.socket, until: float) -> None:
        if listening not in self._sockets:
            return
        late = self._loop.time() >= until
        if late or self._may_accept():
            self._loop.add_reader(listening, self._accept, listening)
            self._accept_up_to(TURN if late else 1, listening)
        else:
            self._loop.call_later(LOOK_AGAIN, self._wait_for_turn, listening, until)

    def _accept_up_to(self, number: int, listening: socket.socket) -> bool:
        """Accept connections that wait; return whether there were so many."""
        for _ in range(number):
            if listening not in self._sockets:
                # The callback of the connection before may have closed the server.
                return False
            try:
                connection, address = listening.accept()
            except BlockingIOError:
                return False
            except OSError as exc:
                self._note_failure(exc, listening)
                return False
            self._on_connection(connection, f"{address[0]}:{address[1]}")
        return True

    def _note_failure(self, exc: OSError, listening: socket.socket) -> None:
        if exc.errno in _EXHAUSTED:
            self._loop.remove_reader(listening)
            self._loop.call_later(_PAUSE, self._accept_again, listening)
        self._on_failure(exc.strerror or str(exc))

    def _accept_again(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)
