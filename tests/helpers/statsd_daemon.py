"""A StatsD daemon under test: a socket that receives what a real one would."""

import asyncio
import socket
from collections.abc import Iterator

from tests.helpers.server import LIMIT


class StatsdDaemon:
    def __init__(self, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    async def lines(self) -> list[str]:
        """Wait for a datagram, and return the lines of all that have come."""
        datagrams = [await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._socket, 65536), LIMIT)]
        datagrams += self.waiting()
        return [line for datagram in datagrams for line in datagram.decode().split("\n")]

    def waiting(self) -> Iterator[bytes]:
        while True:
            try:
                yield self._socket.recv(65536)
            except BlockingIOError:
                return

    def close(self) -> None:
        self._socket.close()
