"""Messages between a parent and a worker, over a real socket pair."""

import asyncio
import socket

import pytest

from listenctl.events import MessageEvent
from listenctl.server.workers import worker_link
from listenctl.server.workers.link_messages import LinkMessage, Order, WorkerEvent, WorkerReady
from listenctl.server.workers.worker_link import CLOSE_LIMIT, WorkerLink, pack_message, receive_message
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time


async def test_messages_arrive_in_order_whole_or_in_pieces() -> None:
    one, other = socket.socketpair()
    got: list[LinkMessage] = []
    ended = asyncio.Event()
    await WorkerLink.open(one, got.append, ended.set)
    event = MessageEvent(type="x", text="y" * 1_000_000)
    messages: list[LinkMessage] = [WorkerReady(), WorkerEvent(event, 1.5, {"call": "a"}), Order.DRAIN]
    data = b"".join(map(pack_message, messages))
    _, writer = await asyncio.open_unix_connection(sock=other)
    writer.write(data[:3])
    await asyncio.sleep(0.1)
    writer.write(data[3:])
    writer.close()
    await ended.wait()

    first, second, third = got
    assert (first, third) == (WorkerReady(), Order.DRAIN)
    assert isinstance(second, WorkerEvent)
    assert (second.event.serialize(), second.at, second.about) == (event.serialize(), 1.5, {"call": "a"})


async def test_the_first_message_can_be_waited_for_without_a_loop() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(pack_message(Order.STOP))
        assert receive_message(other) is Order.STOP
        one.close()
        with pytest.raises(EOFError):
            receive_message(other)


async def test_an_end_that_does_not_read_costs_a_bounded_amount_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_link, "MAX_UNSENT_BYTES", 1_000_000)
    one, other = socket.socketpair()
    link = await WorkerLink.open(one, lambda _: None)
    event = WorkerEvent(MessageEvent(type="x", text="y" * 100_000), 1.5, {})
    for _ in range(100):
        link.send(event)
    began = simulated_loop().time()
    await link.close()

    assert 80 <= link.lost_messages < 100
    assert simulated_loop().time() - began == pytest.approx(CLOSE_LIMIT)
    other.close()


async def test_closing_ends_when_the_other_end_has_read_everything() -> None:
    one, other = socket.socketpair()
    got: list[LinkMessage] = []
    ended: list[str] = []
    link = await WorkerLink.open(one, got.append, lambda: ended.append("one"))
    await WorkerLink.open(other, got.append, lambda: ended.append("other"))
    for _ in range(1000):
        link.send(WorkerReady())
    await link.close()
    await asyncio.sleep(0.1)

    assert len(got) == 1000
    assert ended == ["other"]
    link.send(WorkerReady())  # Nobody hears it, and nothing fails.
