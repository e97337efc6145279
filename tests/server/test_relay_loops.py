"""A relay whose application leads back to it, by itself or through others."""

import asyncio

import pytest

from listenctl.net.call_target import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.server.upstream import RelayTarget
from tests.helpers.relayed import answering, asking
from tests.helpers.server import faster, running


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Be a proxy that leads to a port of this machine."""
    back, there = await asyncio.open_connection("127.0.0.1", port)
    there.write(await reader.readuntil(b"\r\n\r\n"))
    writer.write(await back.read())
    there.close()


async def test_a_request_that_comes_back_to_us_is_refused_as_a_loop() -> None:
    ports: list[int] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await forward(reader, writer, ports[0])

    async with answering(proxy) as (run, _):
        ports.append(run.port)
        answer = await run.ask(asking())
        refused = [event["status"] for event in run.events.of("connection-refused")]

    assert answer.startswith(b"HTTP/1.1 508 ")
    assert refused == [508, 508]


@pytest.mark.parametrize(("most", "max_calls"), [(20, 1000), (1000, 20)])
async def test_a_chain_that_leads_back_to_us_ends(most: int, max_calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.server.upstream.MAX_UNANSWERED", most)
    ports: list[int] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await forward(reader, writer, ports[0])

    async with answering(proxy, max_calls=max_calls) as (last, _):
        application = RelayTarget(CallTarget(address=parse_websocket_url(f"ws://127.0.0.1:{last.port}/")))
        async with running(faster(upstream=application)) as first:
            ports.append(first.port)
            answer = await first.ask(asking())
            refused = len(first.events.of("connection-refused")) + len(last.events.of("connection-refused"))

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert 20 <= refused <= 50
