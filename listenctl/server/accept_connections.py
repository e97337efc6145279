"""Accept connections, also after the process ran out of file descriptors for a moment."""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress

from listenctl.net.listening_sockets import BACKLOG
from listenctl.server.handshake_refusal import HandshakeRefusal

_PAUSE = 1.0
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
    ) -> None:
        self._loop = loop
        self._on_connection = on_connection  # called with each connection and the address of its peer
        self._on_failure = on_failure  # called with the reason why a connection can't be accepted
        self._sockets: list[socket.socket] = []

    def start(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        for listening in sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def accept_waiting(self) -> None:
        """Accept the connections that wait already; ``close`` would reset them."""
        for listening in self._sockets:
            self._accept(listening)

    def close(self) -> None:
        sockets, self._sockets = self._sockets, []
        for listening in sockets:
            self._loop.remove_reader(listening)
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(BACKLOG):
            if listening not in self._sockets:
                # The callback of the connection before may have closed the server.
                return
            try:
                connection, address = listening.accept()
            except BlockingIOError:
                return
            except OSError as exc:
                self._note_failure(exc, listening)
                return
            self._on_connection(connection, f"{address[0]}:{address[1]}")

    def _note_failure(self, exc: OSError, listening: socket.socket) -> None:
        if exc.errno in _EXHAUSTED:
            self._loop.remove_reader(listening)
            self._loop.call_later(_PAUSE, self._accept_again, listening)
        self._on_failure(exc.strerror or str(exc))

    def _accept_again(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)
