"""Clients that keep connections open and do nothing, or next to nothing, with them."""

import asyncio
import socket
from pathlib import Path

import pytest

from tests.helpers.frames import HANDSHAKE, PONG, binary, close, frame, text
from tests.helpers.server import Peer, Running, faster, recorded_audio, running

pytestmark = pytest.mark.simulated_time

STUCK = 500
AUDIO = bytes(range(256)) * 10


def metadata(name: str) -> bytes:
    return text(f'{{"sampleRate":8000,"mixType":"mono","callSid":"{name}"}}')


async def connect(run: Running, number: int) -> list[socket.socket]:
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(number):
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", run.port))
        clients.append(client)
    return clients


def say(clients: list[socket.socket], data: bytes) -> None:
    """Send, as far as the server has not closed the connection."""
    for client in clients:
        try:
            client.send(data)
        except (BrokenPipeError, ConnectionResetError):
            continue


async def complete_call(run: Running, peer: Peer, name: str, number: int) -> None:
    """End a live call that has sent its audio once, and check that it is all there."""
    await peer.send(frame(PONG, b""), binary(AUDIO), close())
    saved = await run.events.wait_for("recording-saved", number)
    assert (saved["call"], recorded_audio(saved)) == (name, AUDIO * 2)


async def test_requests_in_single_bytes_are_given_up_and_calls_go_on(tmp_path: Path) -> None:
    async with running(faster(max_without_call=1000), record=tmp_path) as run:
        peer = await run.call(metadata("CS-A"), binary(AUDIO))
        clients = await connect(run, STUCK)
        for at in range(12):
            say(clients, HANDSHAKE[at : at + 1])
            await peer.send(frame(PONG, b""))
            await asyncio.sleep(1.0)
        late = await run.call(metadata("CS-B"), binary(AUDIO))
        refused = run.events.of("connection-refused")
        await complete_call(run, peer, "CS-A", 1)
        await complete_call(run, late, "CS-B", 2)
        metrics = await run.ask(b"GET /metrics HTTP/1.1\r\n\r\n")
        for client in clients:
            client.close()

    assert {event["status"] for event in refused} == {408}
    assert f'listenctl_connections_refused_total{{status="408"}} {STUCK}.0'.encode() in metrics


async def test_more_of_them_than_may_wait_keep_no_call_out(tmp_path: Path) -> None:
    async with running(faster(max_without_call=100), record=tmp_path) as run:
        peer = await run.call(metadata("CS-A"), binary(AUDIO))
        clients = await connect(run, STUCK)
        say(clients, HANDSHAKE[:10])
        late = await run.call(metadata("CS-B"), binary(AUDIO))
        say(clients, HANDSHAKE[10:20])
        await complete_call(run, peer, "CS-A", 1)
        await complete_call(run, late, "CS-B", 2)
        metrics = await run.ask(b"GET /metrics HTTP/1.1\r\n\r\n")
        for client in clients:
            client.close()

    assert b'listenctl_limits_reached_total{limit="handshakes"} 4' in metrics


async def test_clients_that_never_speak_make_room_for_calls(tmp_path: Path) -> None:
    async with running(faster(max_calls=101, first_frame_timeout=5.0), record=tmp_path) as run:
        peer = await run.call(metadata("CS-A"), binary(AUDIO))
        clients = await connect(run, 100)
        say(clients, HANDSHAKE)
        await asyncio.sleep(1.0)
        full = await run.ask(HANDSHAKE)
        await run.events.wait_for_one("connection-refused", limit="first-frame-timeout")
        await asyncio.sleep(3.0)
        late = await run.call(metadata("CS-B"), binary(AUDIO))
        await complete_call(run, peer, "CS-A", 1)
        await complete_call(run, late, "CS-B", 2)
        metrics = await run.ask(b"GET /metrics HTTP/1.1\r\n\r\n")
        for client in clients:
            client.close()

    assert full.startswith(b"HTTP/1.1 503 ")
    assert b'listenctl_limits_reached_total{limit="first-frame-timeout"} 100.0' in metrics
    assert [event["call"] for event in run.events.of("call-started")] == ["CS-A", "CS-B"]


async def test_calls_whose_peer_is_gone_without_a_word_are_given_up(tmp_path: Path) -> None:
    async with running(faster(ping_interval=10.0), record=tmp_path) as run:
        peer = await run.call(metadata("CS-A"), binary(AUDIO))
        clients = await connect(run, 100)
        say(clients, HANDSHAKE + metadata("gone") + binary(AUDIO))
        await run.events.wait_for("call-started", 101)
        for _ in range(50):
            await peer.send(frame(PONG, b""))
            await asyncio.sleep(1.0)
        ends = run.events.of("call-ended")
        await complete_call(run, peer, "CS-A", 101)
        for client in clients:
            client.close()

    assert [(end["close_code"], end["close_reason"]) for end in ends] == [(1011, "no answer to pings")] * 100
    assert {recorded_audio(saved) for saved in run.events.of("recording-saved")[:100]} == {AUDIO}
