"""Which requests become calls, and how a full server refuses the others."""

import asyncio
import re
from base64 import b64encode
from pathlib import Path

import pytest

from listenctl.server.access.auth_file import set_user
from listenctl.server.access.check_credentials import file_credentials
from listenctl.server.access.client_addresses import AddressRules
from listenctl.server.access.secret_hashes import hash_password
from listenctl.server.limits.server_limits import ServerLimits
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.server import Running, faster, running

pytestmark = pytest.mark.simulated_time

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')
AUDIO = bytes(range(256)) * 4


def head(answer: bytes) -> tuple[int, str | None]:
    """Return the status of an answer, and when it says to try again."""
    lines = answer.partition(b"\r\n\r\n")[0].decode().splitlines()
    retry = [line.partition(": ")[2] for line in lines if line.startswith("Retry-After: ")]
    return int(lines[0].split()[1]), retry[0] if retry else None


async def proxied(run: Running, address: str) -> bytes:
    """Ask for a call from ``address``, and return the head of the answer."""
    peer = await run.open(f"PROXY TCP4 {address} 192.0.2.99 5000 80\r\n".encode() + HANDSHAKE)
    return await peer.read_head()


async def test_calls_of_one_address_are_limited_and_those_of_others_are_not() -> None:
    async with running(faster(max_calls_per_address=2, addresses=AddressRules(proxy_protocol=True))) as run:
        first = await run.open(b"PROXY TCP4 192.0.2.1 192.0.2.99 5000 80\r\n" + HANDSHAKE)
        answers = [await first.read_head()]
        answers += [await proxied(run, f"192.0.2.{number}") for number in (1, 1, 2)]
        await first.send(METADATA, close())
        await run.events.wait_for("call-ended")
        answers += [await proxied(run, "192.0.2.1")]

    assert [head(answer) for answer in answers] == [(101, None), (101, None), (429, "10"), (101, None), (101, None)]
    (refused,) = run.events.of("connection-refused")
    assert refused["remote"] == "192.0.2.1:5000"
    assert refused["limit"] == "max-calls-per-address"
    assert refused["reason"] == "this address has 2 live calls, and --max-calls-per-address allows no more"


async def test_calls_of_one_user_are_limited_and_those_of_others_are_not(tmp_path: Path) -> None:
    users = tmp_path / "users"
    for name in ("anna", "bert"):
        set_user(users, name, hash_password(name))

    def request(name: str) -> bytes:
        return HANDSHAKE[:-2] + b"Authorization: Basic " + b64encode(f"{name}:{name}".encode()) + b"\r\n\r\n"

    async with running(faster(max_calls_per_user=2, credentials=file_credentials(users))) as run:
        first = await run.open(request("anna"))
        answers = [await first.read_head()]
        for name in ("anna", "anna", "bert"):
            peer = await run.open(request(name))
            answers.append(await peer.read_head())
        await first.send(METADATA, close())
        await run.events.wait_for("call-ended")
        again = await run.open(request("anna"))
        answers.append(await again.read_head())

    assert [head(answer) for answer in answers] == [(101, None), (101, None), (429, "10"), (101, None), (101, None)]
    (refused,) = run.events.of("connection-refused")
    assert refused["limit"] == "max-calls-per-user"
    assert refused["reason"] == "this user has 2 live calls, and --max-calls-per-user allows no more"


async def test_handshakes_of_one_address_that_come_too_fast_are_refused_for_a_moment() -> None:
    async with running(faster(max_handshakes=2.0)) as run:
        at_once = [await run.ask(HANDSHAKE.replace(b"websocket", b"http")) for _ in range(3)]
        await asyncio.sleep(0.5)
        later = await run.ask(HANDSHAKE.replace(b"websocket", b"http"))
        probe = await run.ask(b"GET /readyz HTTP/1.1\r\n\r\n")

    assert [head(answer) for answer in at_once] == [(426, None), (426, None), (429, "1")]
    assert at_once[2].endswith(b"\r\n\r\n--max-handshakes allows 2 handshakes a second from one address\n")
    assert head(later) == (426, None)
    assert head(probe) == (200, None)
    assert [event["limit"] for event in run.events.of("connection-refused")] == [None, None, "max-handshakes", None]


async def test_a_request_may_have_as_many_bytes_as_the_limit_and_no_more() -> None:
    async with running(faster(max_header=len(HANDSHAKE))) as run:
        peer = await run.open(HANDSHAKE + METADATA)
        fits = await peer.read_head()
        started = await run.events.wait_for("call-started")
        too_long = await run.ask(HANDSHAKE.replace(b"x=1", b"x=12"))

    assert head(fits) == (101, None)
    assert started["call"] == "CS-A"
    assert head(too_long) == (431, None)
    assert [event["limit"] for event in run.events.of("connection-refused")] == ["max-header"]


async def test_limits_that_change_count_for_new_calls_and_touch_no_live_one() -> None:
    async with running(faster(max_calls=3)) as run:
        peers = [await run.call(METADATA) for _ in range(2)]
        await run.events.wait_for("call-started", 2)
        run.server.limits = ServerLimits(max_calls=1)
        refused = await run.ask(HANDSHAKE)
        for peer in peers:
            await peer.send(binary(AUDIO), close())
        await run.events.wait_for("call-ended", 2)

    assert head(refused) == (503, "10")
    assert [event["closed_by"] for event in run.events.of("call-ended")] == ["jambonz", "jambonz"]
    assert run.events.of("connection-refused")[0]["limit"] == "max-calls"


async def test_refusals_are_counted_by_status_and_limit() -> None:
    async with running(faster(max_calls=1, path="/calls")) as run:
        await run.call(METADATA)
        await run.ask(HANDSHAKE)
        await run.ask(HANDSHAKE)
        await run.ask(HANDSHAKE.replace(b"/calls", b"/other"))
        metrics = await run.ask(b"GET /metrics HTTP/1.1\r\n\r\n")

    assert b'listenctl_connections_refused_total{status="503"} 2.0' in metrics
    assert b'listenctl_connections_refused_total{status="404"} 1.0' in metrics
    assert re.findall(rb"listenctl_limits_reached_total{.*", metrics) == [
        b'listenctl_limits_reached_total{limit="max-calls"} 2.0'
    ]
