"""Handshakes take turns with the calls."""

import asyncio
import socket
from contextlib import ExitStack

import pytest

from listenctl.net.listening_sockets import listen
from listenctl.server.accept_connections import ConnectionAcceptor
from listenctl.server.jambonz_connection import JambonzConnection
from listenctl.server.limits.handshake_turn import LONGEST_TURN, HandshakeTurn
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.server import running
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')


async def test_a_turn_ends_after_a_while_and_the_next_one_begins_in_the_next_iteration() -> None:
    loop = simulated_loop()
    turn = HandshakeTurn(loop)
    first = [turn.has_time() for _ in range(3)]
    loop.advance(LONGEST_TURN / 2)
    half = turn.has_time()
    loop.advance(LONGEST_TURN)
    over = turn.has_time()
    await asyncio.sleep(0)

    assert (first, half, over, turn.has_time()) == ([True] * 3, True, False, True)


async def test_a_timer_that_is_due_does_not_wait_for_all_connections() -> None:
    loop = simulated_loop()
    order: list[str] = []

    def take(connection: socket.socket, _: str) -> None:
        order.append("connection")
        loop.advance(LONGEST_TURN / 2)
        connection.close()

    acceptor = ConnectionAcceptor(loop, take, order.append, has_time=HandshakeTurn(loop).has_time)
    sockets = listen("127.0.0.1", 0)
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(sockets[0].getsockname())).send(b"GET")
        loop.call_later(LONGEST_TURN / 4, order.append, "timer")
        acceptor.start(sockets)
        await asyncio.sleep(1.0)
        acceptor.close()

    assert order.count("connection") == 20
    # It waits for the turn before it was due, and for one more at most.
    assert order.index("timer") <= 6


async def test_connections_that_speak_all_at_once_take_turns_with_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = simulated_loop()
    order: list[str] = []
    read = JambonzConnection._read

    def slowly(connection: JambonzConnection, now: float) -> None:
        """Read as if each handshake took as long as one with TLS does."""
        order.append("handshake" if connection._call is None else "call")
        loop.advance(LONGEST_TURN / 2 if connection._call is None else 0.0)
        read(connection, now)

    async with running() as run:
        call = await run.call(METADATA)
        await run.events.wait_for("call-started")
        peers = [await run.open(HANDSHAKE[:20]) for _ in range(40)]
        monkeypatch.setattr(JambonzConnection, "_read", slowly)
        for peer in peers:
            await peer.send(HANDSHAKE[20:])
        heads = [await peer.read_head() for peer in peers]
        await call.send(binary(bytes(320)), close())
        ended = await run.events.wait_for("call-ended")

    assert {head[:12] for head in heads} == {b"HTTP/1.1 101"}
    # The call is visited ten times a second, and the handshakes take a hundredth each.
    runs = "".join(one[0] for one in order).split("c")
    assert max(map(len, runs)) <= 20
    assert ended["received_samples"] == 160
