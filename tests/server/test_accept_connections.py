"""Connections that are taken, and those that can't be, through real sockets."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from listenctl.net.listening_sockets import listen
from listenctl.server.accept_connections import ConnectionAcceptor
from tests.helpers.server import LIMIT, until

pytestmark = pytest.mark.simulated_time


@dataclass
class Taken:
    """What came of the connections to a port."""

    port: int = 0
    peers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    most: int = 10
    acceptor: ConnectionAcceptor = field(init=False)

    def take(self, connection: socket.socket, peer: str) -> None:
        connection.close()
        self.peers.append(peer)
        if len(self.peers) == self.most:
            self.acceptor.close()


@pytest.fixture
async def taken() -> Taken:
    taken = Taken()
    taken.acceptor = ConnectionAcceptor(asyncio.get_running_loop(), taken.take, taken.failures.append)
    return taken


def start(taken: Taken) -> None:
    sockets = listen("127.0.0.1", 0)
    taken.port = sockets[0].getsockname()[1]
    taken.acceptor.start(sockets)


@pytest.fixture
def callers(taken: Taken) -> Iterator[list[socket.socket]]:
    start(taken)
    callers = [socket.create_connection(("127.0.0.1", taken.port)) for _ in range(3)]
    for caller in callers:
        # The kernel shows a connection when there is something to read.
        caller.send(b"GET")
    yield callers
    for caller in callers:
        caller.close()


async def test_all_that_wait_are_taken(taken: Taken, callers: list[socket.socket]) -> None:
    async with asyncio.timeout(LIMIT):
        await until(lambda: len(taken.peers) == 3)
    taken.acceptor.close()

    assert set(taken.peers) == {f"127.0.0.1:{caller.getsockname()[1]}" for caller in callers}
    assert taken.failures == []


async def test_nothing_is_taken_behind_the_connection_that_was_the_last(
    taken: Taken, callers: list[socket.socket]
) -> None:
    taken.most = 1

    async with asyncio.timeout(LIMIT):
        await until(lambda: len(taken.peers) == 1)

    assert len(callers) == 3
    assert (len(taken.peers), taken.failures) == (1, [])
