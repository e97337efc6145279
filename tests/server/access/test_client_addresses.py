"""Where calls may come from, and who is behind a proxy, on real sockets."""

import ssl
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.server.access.client_addresses import AddressRules
from listenctl.server.access.networks import parse_networks
from listenctl.server.access.refusal_reports import MAX_REPORTS_OF_CLIENT
from tests.helpers.frames import HANDSHAKE, text
from tests.helpers.server import Running, faster, running

pytestmark = pytest.mark.simulated_time

V1 = b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 3000\r\n"


def rules(allow: str = "", proxies: str = "", *, proxy_protocol: bool = False) -> AddressRules:
    allowed, known = (parse_networks([one], "") if one else () for one in (allow, proxies))
    return AddressRules(allowed, known, proxy_protocol)


def with_headers(*headers: str) -> bytes:
    return HANDSHAKE[:-2] + "".join(f"{header}\r\n" for header in headers).encode() + b"\r\n"


async def remote_of_call(run: Running, request: bytes) -> str:
    """Return the address of the call that ``request`` becomes."""
    peer = await run.open(request)
    assert (await peer.read_head()).startswith(b"HTTP/1.1 101 ")
    await peer.send(text("{}"))
    started = await run.events.wait_for("call-started", len(run.events.of("call-started")) + 1)
    remote: str = started["remote"]
    return remote


@pytest.mark.parametrize("allowed", ["127.0.0.0/8", "10.0.0.0/8,127.0.0.1"])
async def test_calls_come_from_where_they_may(allowed: str) -> None:
    async with running(faster(addresses=rules(allowed))) as run:
        assert (await remote_of_call(run, HANDSHAKE)).startswith("127.0.0.1:")


async def test_a_call_from_elsewhere_is_refused_before_its_request_is_read() -> None:
    async with running(faster(addresses=rules("10.0.0.0/8,127.0.0.2"))) as run:
        answer = await run.ask(b"no HTTP at all")
        refused = await run.events.wait_for("connection-refused")

        assert not run.server.connections
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(b"calls may not come from this address\n")
    assert refused["remote"].startswith("127.0.0.1:")
    assert (refused["status"], refused["target"]) == (403, None)


async def test_with_tls_a_call_from_elsewhere_is_cut(serving_tls: ssl.SSLContext, certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate.with_suffix(".crt"))
    async with running(faster(addresses=rules("10.0.0.0/8"), tls=serving_tls)) as run:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await run.open(tls=trusting)
        refused = await run.events.wait_for("connection-refused")

    assert (refused["status"], refused["reason"]) == (403, "calls may not come from this address")


async def test_a_flood_from_elsewhere_is_counted_and_not_all_reported() -> None:
    async with running(faster(addresses=rules("10.0.0.0/8"))) as run:
        for _ in range(MAX_REPORTS_OF_CLIENT + 5):
            await run.ask(HANDSHAKE)
        counted = [family for family in await run.server.metrics.collect() if family.name == "connections_refused"]
    warning = await run.events.wait_for_warning("refusals-unreported")

    assert len(run.events.of("connection-refused")) == MAX_REPORTS_OF_CLIENT
    assert warning["detail"] == "within 10 s, 5 more connections were refused than are reported: 5 with 403"
    assert "15" in str(counted)


@pytest.mark.parametrize(
    ("headers", "remote"),
    [
        (["X-Forwarded-For: 192.0.2.1"], "192.0.2.1:0"),
        (["x-forwarded-for:192.0.2.1:4711"], "192.0.2.1:4711"),
        (["X-Forwarded-For: 203.0.113.9, 192.0.2.1"], "192.0.2.1:0"),
        (["X-Forwarded-For: 203.0.113.9, 192.0.2.1, 127.0.0.9"], "192.0.2.1:0"),
        (["X-Forwarded-For: 203.0.113.9, 192.0.2.1", "X-Forwarded-For: 127.0.0.9,127.0.0.8"], "192.0.2.1:0"),
        (["X-Forwarded-For: rubbish, 192.0.2.1"], "192.0.2.1:0"),
        (["X-Forwarded-For: 2001:db8::1"], "2001:db8::1:0"),
        (["X-Forwarded-For: [2001:db8::1]:4711"], "2001:db8::1:4711"),
        (["X-Forwarded-For: ::ffff:192.0.2.1"], "192.0.2.1:0"),
        (['Forwarded: for=203.0.113.9, by=127.0.0.1;FOR="192.0.2.1:47";proto=https'], "192.0.2.1:47"),
        (['Forwarded: for="[2001:db8::1]"'], "2001:db8::1:0"),
        (["Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1"], "192.0.2.1:0"),
    ],
)
async def test_the_client_is_the_last_that_is_no_proxy(headers: Sequence[str], remote: str) -> None:
    async with running(faster(addresses=rules("192.0.2.0/24,2001:db8::/32", "127.0.0.0/8"))) as run:
        assert await remote_of_call(run, with_headers(*headers)) == remote


@pytest.mark.parametrize("headers", [[], ["X-Forwarded-For: "], ["X-Forwarded-For: unknown"], ["Forwarded: for=_x"]])
async def test_without_a_client_the_proxy_itself_asks(headers: Sequence[str]) -> None:
    request = with_headers(*headers)
    async with running(faster(addresses=rules("", "127.0.0.1"))) as run:
        assert (await remote_of_call(run, request)).startswith("127.0.0.1:")
    async with running(faster(addresses=rules("192.0.2.1", "127.0.0.1"))) as run:
        assert (await run.ask(request)).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (["X-Forwarded-For: 192.0.2.1, rubbish"], "the proxy's header has 'rubbish' instead of an address"),
        (["X-Forwarded-For: 192.0.2.1:x"], "the proxy's header has '192.0.2.1:x' instead of an address"),
        (["Forwarded: for=300.0.0.1"], "the proxy's header has '300.0.0.1' instead of an address"),
        (
            ["Forwarded: for=203.0.113.9", "X-Forwarded-For: 192.0.2.1"],
            "Forwarded and X-Forwarded-For differ; let the proxy remove the one that it doesn't set",
        ),
    ],
)
async def test_a_header_that_says_nothing_certain_is_refused(headers: Sequence[str], reason: str) -> None:
    async with running(faster(addresses=rules("", "127.0.0.1"))) as run:
        answer = await run.ask(with_headers(*headers))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(f"\r\n\r\n{reason}\n".encode())


async def test_the_headers_of_others_than_proxies_say_nothing() -> None:
    async with running(faster(addresses=rules("", "10.0.0.0/8"))) as run:
        assert (await remote_of_call(run, with_headers("X-Forwarded-For: 192.0.2.1"))).startswith("127.0.0.1:")


async def test_a_client_that_may_not_call_is_refused_behind_a_proxy_too() -> None:
    async with running(faster(addresses=rules("192.0.2.0/24", "127.0.0.1"))) as run:
        answer = await run.ask(with_headers("X-Forwarded-For: 192.0.2.1, 203.0.113.9"))
        refused = await run.events.wait_for("connection-refused")

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert (refused["remote"], refused["target"]) == ("203.0.113.9:0", "/calls?x=1")


@pytest.mark.parametrize("with_tls", [False, True])
async def test_behind_a_proxy_header_a_client_that_may_not_call_is_refused_before_tls(
    with_tls: bool, serving_tls: ssl.SSLContext
) -> None:
    tls = serving_tls if with_tls else None
    async with running(faster(addresses=rules("10.0.0.0/8", proxy_protocol=True), tls=tls)) as run:
        assert await run.ask(V1 + HANDSHAKE) == b""
        refused = await run.events.wait_for("connection-refused")

    assert (refused["remote"], refused["status"]) == ("192.0.2.1:56324", 403)
    assert refused["reason"] == "calls may not come from this address"


async def test_only_proxies_send_a_proxy_header_if_they_are_known() -> None:
    async with running(faster(addresses=rules("", "10.0.0.0/8", proxy_protocol=True))) as run:
        assert (await remote_of_call(run, HANDSHAKE)).startswith("127.0.0.1:")
        assert (await run.ask(V1 + HANDSHAKE)).startswith(b"HTTP/1.1 400 ")
    async with running(faster(addresses=rules("", "127.0.0.1", proxy_protocol=True))) as run:
        assert await remote_of_call(run, V1 + HANDSHAKE) == "192.0.2.1:56324"
        assert await run.ask(HANDSHAKE) == b""


async def test_a_chain_of_proxies_is_followed_from_the_proxy_header_into_the_request() -> None:
    async with running(faster(addresses=rules("203.0.113.0/24", "127.0.0.1,192.0.2.1", proxy_protocol=True))) as run:
        assert await remote_of_call(run, V1 + with_headers("X-Forwarded-For: 203.0.113.9")) == "203.0.113.9:0"


async def test_requests_that_are_the_same_but_for_the_client_are_each_checked() -> None:
    async with running(faster(addresses=rules("192.0.2.1,127.0.0.1", "127.0.0.1"))) as run:
        assert await remote_of_call(run, with_headers("X-Forwarded-For: 192.0.2.1")) == "192.0.2.1:0"
        assert (await run.ask(with_headers("X-Forwarded-For: 192.0.2.9"))).startswith(b"HTTP/1.1 403 ")


@pytest.mark.simulated_time(False)
@given(st.text(alphabet='for=Fx";:,[]._-0127 \t\r\n', max_size=80))
def test_whatever_a_proxy_says_is_an_address_or_an_error(value: str) -> None:
    known = rules("", "127.0.0.0/8,10.0.0.0/8")
    for name in ("Forwarded", "X-Forwarded-For"):
        head = f"GET / HTTP/1.1\r\n{name}: {value}\r\n\r\n".encode()
        with suppress(ValueError):
            host, _, port = known.find_client("127.0.0.1:1", head).rpartition(":")
            ip_address(host)
            assert port.isdigit()
