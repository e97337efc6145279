"""Connections that are taken, and those that can't be, through real sockets."""

import asyncio
import socket
from contextlib import ExitStack

import pytest

from listenctl.net.listening_sockets import listen
from listenctl.server.accept_connections import LOOK_AGAIN, PATIENCE, TURN, ConnectionAcceptor
from tests.helpers.server import until

pytestmark = pytest.mark.simulated_time


async def test_those_that_wait_are_taken_before_the_end() -> None:
    peers: list[str] = []

    def take(connection: socket.socket, peer: str) -> None:
        connection.close()
        peers.append(peer)

    acceptor = ConnectionAcceptor(asyncio.get_running_loop(), take, peers.append)
    sockets = listen("127.0.0.1", 0)
    acceptor.start(sockets)
    with ExitStack() as stack:
        callers = [stack.enter_context(socket.create_connection(sockets[0].getsockname())) for _ in range(3)]
        for caller in callers:
            caller.send(b"GET")
        acceptor.accept_waiting()
        acceptor.close()
        names = {f"127.0.0.1:{caller.getsockname()[1]}" for caller in callers}

    assert set(peers) == names


@pytest.mark.parametrize("most", [3, 1])
async def test_all_that_wait_are_taken_but_none_behind_the_last_one(most: int) -> None:
    peers: list[str] = []
    failures: list[str] = []

    def take(connection: socket.socket, peer: str) -> None:
        connection.close()
        peers.append(peer)
        if len(peers) == most:
            acceptor.close()

    acceptor = ConnectionAcceptor(asyncio.get_running_loop(), take, failures.append)
    sockets = listen("127.0.0.1", 0)
    address = sockets[0].getsockname()
    acceptor.start(sockets)
    with ExitStack() as stack:
        callers = [stack.enter_context(socket.create_connection(address)) for _ in range(3)]
        for caller in callers:
            # The kernel shows a connection when there is something to read.
            caller.send(b"GET")
        await until(lambda: len(peers) == most)
        names = {f"127.0.0.1:{caller.getsockname()[1]}" for caller in callers}

    assert len(peers) == most
    assert set(peers) <= names
    assert failures == []


async def test_connections_are_left_to_others_for_a_moment_and_then_taken_if_those_are_stuck() -> None:
    peers: list[float] = []
    loop = asyncio.get_running_loop()

    def take(connection: socket.socket, peer: str) -> None:
        connection.close()
        peers.append(loop.time())

    acceptor = ConnectionAcceptor(loop, take, lambda _: None, may_accept=lambda: not peers)
    sockets = listen("127.0.0.1", 0, shared=True)
    acceptor.start(sockets)
    began = loop.time()
    with ExitStack() as stack:
        for _ in range(TURN + 2):
            stack.enter_context(socket.create_connection(sockets[0].getsockname()))
        await until(lambda: len(peers) == TURN + 2)
    acceptor.close()

    assert peers[0] == began
    assert peers[1 : TURN + 1] == pytest.approx([began + PATIENCE] * TURN, abs=2 * LOOK_AGAIN)
    assert peers[-1] == pytest.approx(began + 2 * PATIENCE, abs=4 * LOOK_AGAIN)


async def test_connections_that_were_left_to_others_are_taken_as_soon_as_it_is_our_turn() -> None:
    peers: list[float] = []
    loop = asyncio.get_running_loop()
    turn_at = loop.time() + PATIENCE / 2

    def take(connection: socket.socket, peer: str) -> None:
        connection.close()
        peers.append(loop.time())

    acceptor = ConnectionAcceptor(loop, take, lambda _: None, may_accept=lambda: loop.time() >= turn_at)
    sockets = listen("127.0.0.1", 0, shared=True)
    acceptor.start(sockets)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection(sockets[0].getsockname()))
        await until(lambda: len(peers) == 3)
    acceptor.close()

    assert peers == pytest.approx([turn_at] * 3, abs=LOOK_AGAIN + 0.01)
