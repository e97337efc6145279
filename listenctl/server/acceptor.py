"""Take connections as they come, also where there are too many for a moment."""

import asyncio
import errno
import socket
from collections.abc import Callable

from listenctl.net.listening_sockets import BACKLOG

_PAUSE = 1.0
# Out of descriptors or memory: what is waiting would wake us at once, again and again.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """
    Accept what comes to sockets that listen.

    Args:
        take: is given each connection, and the address of its peer.
        fail: is told why a connection couldn't be taken.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[socket.socket, str], None],
        fail: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._take = take
        self._fail = fail
        self._sockets: list[socket.socket] = []

    def start(self, sockets: list[socket.socket]) -> None:
        """Accept from now on; the sockets are closed in the end."""
        self._sockets = sockets
        for listening in sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def close(self) -> None:
        """Accept nothing any more."""
        sockets, self._sockets = self._sockets, []
        for listening in sockets:
            self._loop.remove_reader(listening)
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(BACKLOG):
            if listening not in self._sockets:
                # A connection can be over as soon as it is taken, and with it all that was to be done.
                return
            try:
                connection, address = listening.accept()
            except BlockingIOError:
                return
            except OSError as exc:
                self._note_failure(exc, listening)
                return
            self._take(connection, f"{address[0]}:{address[1]}")

    def _note_failure(self, exc: OSError, listening: socket.socket) -> None:
        if exc.errno in _EXHAUSTED:
            self._loop.remove_reader(listening)
            self._loop.call_later(_PAUSE, self._accept_again, listening)
        self._fail(exc.strerror or str(exc))

    def _accept_again(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)
