"""Time that jumps, and what it waits for."""

import asyncio
import socket
import threading

import pytest

from tests.helpers.simulated_time import START, simulated_loop

pytestmark = pytest.mark.simulated_time
DAY = 86_400.0


async def test_an_hour_passes_at_once_and_in_order() -> None:
    order: list[tuple[str, float]] = []

    async def note(name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        order.append((name, asyncio.get_running_loop().time() - START))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(note("late", 3600))
        tasks.create_task(note("early", 0.25))

    assert order == [("early", 0.25), ("late", 3600)]


async def test_bytes_on_a_socket_come_before_any_timer() -> None:
    reader, writer = await asyncio.open_connection(sock=(pair := socket.socketpair())[0])
    pair[1].sendall(b"here")

    async with asyncio.timeout(DAY):
        assert await reader.readexactly(4) == b"here"

    assert simulated_loop().time() == START
    writer.close()
    pair[1].close()


async def test_a_connection_over_loopback_takes_no_time() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        sent = bytes(range(256)) * 2000
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(0.001):
            assert await reader.read() == sent
        writer.close()


async def test_time_waits_for_a_thread_of_the_executor() -> None:
    go = threading.Event()
    work = asyncio.get_running_loop().run_in_executor(None, go.wait)
    asyncio.get_running_loop().call_soon(go.set)

    async with asyncio.timeout(0.001):
        assert await work


async def test_time_waits_while_a_condition_says_so() -> None:
    jobs = ["write"]
    simulated_loop().wait_while(lambda: bool(jobs))
    worker = threading.Thread(target=jobs.clear)
    asyncio.get_running_loop().call_soon(worker.start)

    await asyncio.sleep(DAY)

    assert jobs == []
    worker.join()


async def test_a_timeout_passes_when_nothing_comes() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(DAY):
            await asyncio.Event().wait()

    assert simulated_loop().time() == START + DAY
