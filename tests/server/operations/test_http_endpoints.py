"""Health and readiness: whom a server answers, and what."""

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import replace
from typing import Self

import pytest

from listenctl import __version__
from listenctl.server.operations import http_endpoints
from listenctl.server.operations.http_endpoints import IDLE_TIMEOUT, PATHS, REQUEST_TIMEOUT, is_probe
from tests.helpers.frames import HANDSHAKE, close, text
from tests.helpers.server import FAST, Running, faster, reset_connection, running
from tests.helpers.simulated_time import simulated_loop

METADATA = text('{"sampleRate":8000,"callSid":"CS-A"}')
ADMIN = replace(FAST, admin=("127.0.0.1", 0))


def request(path: str, method: str = "GET", version: str = "1.1") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


def parts(answer: bytes) -> tuple[int, str]:
    """Return the status and the body of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


async def ask_admin(run: Running, asked: bytes) -> bytes:
    address = run.events.of("server-started")[0]["admin"]
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(asked)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_the_port_of_the_calls_answers_probes_of_this_machine(version: str) -> None:
    async with running() as run:
        answers = [
            parts(await run.ask(request(path, version=version))) for path in ("/healthz", "/readyz", "/version?x")
        ]
        head = await run.ask(request("/healthz", "HEAD"))
        posted = await run.ask(request("/healthz", "POST"))
        refusals = run.events.of("connection-refused")

    assert answers[:2] == [(200, "ok\n"), (200, "ready\n")]
    assert json.loads(answers[2][1]) == {"name": "listenctl", "version": __version__}
    assert (parts(head), b"Content-Length: 3" in head) == ((200, ""), True)
    assert parts(posted)[0] == 405
    assert refusals == []


async def test_a_websocket_is_a_call_whatever_its_path() -> None:
    async with running() as run:
        peer = await run.open(HANDSHAKE.replace(b"GET / ", b"GET /healthz "))

        assert b" 101 " in await peer.read_head()


@pytest.mark.parametrize(
    ("remote", "header", "answered"),
    [
        ("127.0.0.1:5", "", True),
        ("::1:5", "", True),
        ("::ffff:127.0.0.1:5", "", True),
        ("192.0.2.1:5", "", False),
        ("no address", "", False),
        ("127.0.0.1:5", "X-Forwarded-For: 192.0.2.1\r\n", False),
        ("127.0.0.1:5", "forwarded : for=192.0.2.1\r\n", False),
        ("127.0.0.1:5", "Via: 1.1 proxy\r\n", False),
        ("127.0.0.1:5", "Upgrade: websocket\r\n", False),
    ],
)
def test_only_this_machine_itself_is_answered(remote: str, header: str, answered: bool) -> None:
    head = f"GET / HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode()

    assert {is_probe(path, head, remote) for path in PATHS} == {answered}
    assert not is_probe("/calls", head, remote)


async def test_a_server_that_is_full_or_drains_is_not_ready() -> None:
    async with running(faster(admin=ADMIN.admin, max_calls=1)) as run:
        peer = await run.call(METADATA)
        await run.events.wait_for("call-started")
        full = parts(await run.ask(request("/readyz")))
        run.server.shutdown.drain(60.0)
        draining = parts(await ask_admin(run, request("/readyz")))
        healthy = parts(await ask_admin(run, request("/healthz")))
        await peer.send(close())
        await peer.close()
        await run.ended

    assert full == (503, "there are 1 live calls, and --max-calls allows no more\n")
    assert (draining, healthy) == ((503, "draining\n"), (200, "ok\n"))


async def test_the_admin_port_names_its_paths_and_ends_what_is_no_request() -> None:
    async with running(ADMIN) as run:
        unknown = parts(await ask_admin(run, request("/calls")))
        garbage = await ask_admin(run, b"\x16\x03\x01\r\n\r\n")
        endless = await ask_admin(run, b"GET /" + b"a" * 20_000)

    assert unknown == (404, "there are /healthz, /readyz, /version, /metrics\n")
    assert (garbage, endless) == (b"", b"")


@pytest.mark.simulated_time
async def test_a_request_that_never_ends_is_ended() -> None:
    async with running(ADMIN) as run:
        began = simulated_loop().time()
        answer = await ask_admin(run, b"GET /healthz HTTP/1.1\r\n")

        assert answer == b""
        assert simulated_loop().time() - began == pytest.approx(REQUEST_TIMEOUT, abs=0.2)


async def test_a_client_that_leaves_costs_nothing() -> None:
    async with running(ADMIN) as run:
        host, port = run.events.of("server-started")[0]["admin"].split(":")
        for _ in range(100):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /metr")
            reset_connection(writer)

        assert parts(await ask_admin(run, request("/healthz"))) == (200, "ok\n")


KEPT = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


class AdminClient:
    """A client that asks more than once on a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, run: Running) -> Self:
        return cls(*await asyncio.open_connection(*run.events.of("server-started")[0]["admin"].split(":")))

    async def ask(self, asked: bytes) -> bytes:
        """Return the head of the answer, after which the body is read, too; nothing if the connection ends."""
        try:
            self._writer.write(asked)
            head = await self._reader.readuntil(b"\r\n\r\n")
            await self._reader.readexactly(int(re.findall(rb"Content-Length: (\d+)", head)[0]))
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        return head

    async def ends(self) -> bool:
        with suppress(ConnectionError):
            return await self._reader.read() == b""
        return True

    def close(self) -> None:
        self._writer.close()


async def test_the_admin_port_answers_several_requests_on_a_connection() -> None:
    async with running(ADMIN) as run:
        client = await AdminClient.connect(run)
        first, second = await client.ask(KEPT), await client.ask(KEPT)
        last = await client.ask(request("/healthz"))
        ended = await client.ends()
        client.close()

    assert first == second
    assert (b"200 OK" in first, b"Connection" in first) == (True, False)
    assert b"Connection: close" in last
    assert ended


@pytest.mark.parametrize(
    "asked",
    [
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nconnection: Close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_request_after_which_nothing_can_follow_is_the_last(asked: bytes) -> None:
    async with running(ADMIN) as run:
        client = await AdminClient.connect(run)
        answer = await client.ask(asked)
        ended = await client.ends()
        client.close()

    assert b"Connection: close" in answer
    assert ended


async def test_connections_that_wait_give_way_to_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_endpoints, "MAX_CONNECTIONS", 2)
    async with running(ADMIN) as run:
        clients = [await AdminClient.connect(run) for _ in range(3)]
        answers = [await client.ask(KEPT) for client in clients]
        ended = await clients[0].ends()
        again = await clients[1].ask(KEPT)
        for client in clients:
            client.close()

    assert all(answers)
    assert (ended, again) == (True, answers[0])


@pytest.mark.simulated_time
async def test_a_connection_that_waits_too_long_is_closed() -> None:
    async with running(ADMIN) as run:
        client = await AdminClient.connect(run)
        await client.ask(KEPT)
        began = simulated_loop().time()
        await client.ends()
        passed = simulated_loop().time() - began
        client.close()

    assert passed == pytest.approx(IDLE_TIMEOUT, abs=0.2)


async def test_a_server_that_ends_waits_for_no_client() -> None:
    async with running(ADMIN) as run:
        client = await AdminClient.connect(run)
        await client.ask(KEPT)
    assert await client.ends()
    client.close()
