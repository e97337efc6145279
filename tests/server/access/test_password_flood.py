"""Floods of wrong passwords against a real server with live calls."""

import asyncio
import base64
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import repeat
from pathlib import Path
from random import Random

import pytest

from listenctl.background_task import background_task
from listenctl.media.files.wav_header import HEADER_BYTES
from listenctl.server.access.auth_file import set_user
from listenctl.server.access.check_credentials import THREADS
from listenctl.server.access.failure_limit import MAX_FAILURES
from listenctl.server.access.secret_hashes import hash_password
from listenctl.server.access.verification_queue import MAX_WAITING_OF_CLIENT
from tests.helpers.capture import END_OF_HEAD
from tests.helpers.cli import service
from tests.helpers.frames import HANDSHAKE, binary, close, text

BLOCK = 320
"""Bytes of 20 ms."""
BYTES_A_SECOND = 16_000
CALLS = 4
FLOOD = 500


def basic(credentials: str) -> bytes:
    value = base64.b64encode(credentials.encode())
    return HANDSHAKE[:-2] + b"Authorization: Basic " + value + b"\r\n\r\n"


@asynccontextmanager
async def asking(
    port: int, request: bytes, source: str = "127.0.0.1"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send a request from an address."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        writer.write(request)
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def status_of(port: int, credentials: str, source: str = "127.0.0.1") -> int:
    async with asking(port, basic(credentials), source) as (reader, _):
        return int((await reader.readuntil(END_OF_HEAD)).split(b" ")[1])


class NoisyCall:
    """A call that sends noise in real time, and catches up when it is late."""

    def __init__(self, name: str) -> None:
        self.sent = bytearray()
        self.name = name
        self._noise = Random(name)
        self._began = 0.0

    @asynccontextmanager
    async def talking(self, port: int) -> AsyncIterator[None]:
        async with asking(port, basic("listen:s3cret")) as (reader, writer):
            assert (await reader.readuntil(END_OF_HEAD)).startswith(b"HTTP/1.1 101 ")
            writer.write(text(f'{{"sampleRate":8000,"mixType":"mono","callSid":"{self.name}"}}'))
            self._began = asyncio.get_running_loop().time()
            async with background_task(self._talk(writer)):
                yield
            self._catch_up(writer)
            writer.write(close())
            await reader.read()

    async def _talk(self, writer: asyncio.StreamWriter) -> None:
        while True:
            self._catch_up(writer)
            await asyncio.sleep(0.02)

    def _catch_up(self, writer: asyncio.StreamWriter) -> None:
        while len(self.sent) < (asyncio.get_running_loop().time() - self._began) * BYTES_A_SECOND:
            block = self._noise.randbytes(BLOCK)
            self.sent += block
            writer.write(binary(block))


class Flood:
    """Requests with wrong passwords, each another one."""

    def __init__(self, port: int, sources: Iterable[str]) -> None:
        self.statuses: Counter[int] = Counter()
        self._port = port
        self._sources = sources

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number, source in enumerate(self._sources):
                tasks.create_task(self._ask(number, source))

    async def _ask(self, number: int, source: str) -> None:
        self.statuses[await status_of(self._port, f"listen:{number}", source)] += 1


async def checked_credentials(port: int) -> dict[str, int]:
    async with asking(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") as (reader, _):
        answer = (await reader.read()).decode()
    found = re.findall(r'listenctl_credentials_checked_total\{result="([\w-]+)"\} (\d+)', answer)
    return {result: int(number) for result, number in found}


ONE = list(repeat("127.0.0.9", FLOOD))
MANY = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(FLOOD)]


@pytest.mark.parametrize("sources", [ONE, MANY], ids=["one address", "many addresses"])
async def test_calls_and_right_users_notice_nothing_of_a_flood(sources: list[str], tmp_path: Path) -> None:
    for user in ("listen", "new"):
        set_user(tmp_path / "users", user, hash_password("s3cret"))
    calls = [NoisyCall(f"CS-{number}") for number in range(CALLS)]
    options = ("record", "out", "--port", "0", "--json", "--auth-file", "users")
    async with service(*options, home=tmp_path) as server:
        port = (await server.started())["port"]
        async with AsyncExitStack() as talking:
            for call in calls:
                await talking.enter_async_context(call.talking(port))
            flood = Flood(port, sources)
            async with background_task(flood.run()) as flooding:
                known = await status_of(port, "listen:s3cret")
                # After a change its password has to be verified again.
                await asyncio.to_thread(set_user, tmp_path / "users", "listen", hash_password("changed"))
                changed = await status_of(port, "listen:changed")
                # Whoever was never there takes turns with the addresses of the flood.
                new = await status_of(port, "new:s3cret", "127.0.0.3") if sources is ONE else 101
                await flooding
            counted = await checked_credentials(port)
        reported = [await server.next("recording-saved") for _ in calls]
        await server.end()

    assert (known, changed, new) == (101, 101, 101)
    # Whoever waits for too long for its password to be verified gets 408.
    assert flood.statuses.keys() <= {401, 408, 429, 503}
    assert flood.statuses.total() == FLOOD
    assert counted["accepted"] == CALLS + (3 if sources is ONE else 2)
    assert counted.get("unchecked", 0) == flood.statuses[503]
    # Of those that got 408, some had been checked.
    assert FLOOD - flood.statuses[408] <= sum(counted.values()) - counted["accepted"] <= FLOOD
    if sources is ONE:
        assert counted.get("wrong", 0) <= MAX_FAILURES + MAX_WAITING_OF_CLIENT + THREADS
    for call, saved in zip(calls, sorted(reported, key=lambda saved: str(saved["call"])), strict=True):
        assert (saved["call"], saved["complete"], saved["unrecorded_samples"]) == (call.name, True, 0)
        assert (tmp_path / saved["path"]).read_bytes()[HEADER_BYTES:] == call.sent
