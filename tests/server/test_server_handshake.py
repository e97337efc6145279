"""Which requests become calls and what the others are told, on real sockets."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from listenctl.server.access.client_addresses import AddressRules
from listenctl.server.server_handshake import ServerHandshake, split_request
from tests.helpers.capture import Cut, odd_pieces
from tests.helpers.frames import ACCEPT, HANDSHAKE, binary, close, text
from tests.helpers.scripted_server import relaying
from tests.helpers.server import Running, faster, read_sidecar, running, until

pytestmark = pytest.mark.simulated_time

REQUEST_LINE = b"GET /calls?x=1 HTTP/1.1\r\n"
METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')


def with_line(line: bytes) -> bytes:
    return HANDSHAKE.replace(REQUEST_LINE, line + b"\r\n")


def with_protocol(names: bytes) -> bytes:
    return HANDSHAKE.replace(b"audio.jambonz.org", names)


def byte_by_byte(stream: bytes) -> Iterator[bytes]:
    return (bytes([byte]) for byte in stream)


async def call_target(run: Running, request: bytes) -> str:
    """Return the target of the call that ``request`` becomes."""
    peer = await run.open(request)
    assert (await peer.read_head()).startswith(b"HTTP/1.1 101 ")
    await peer.send(METADATA)
    started = await run.events.wait_for("call-started", len(run.events.of("call-started")) + 1)
    target: str = started["target"]
    return target


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (b"audio.jambonz.org", b"audio.jambonz.org"),
        (b"audio.drachtio.org", b"audio.drachtio.org"),
        (b"other, audio.drachtio.org", b"audio.drachtio.org"),
        (None, None),
    ],
)
async def test_the_subprotocol_that_was_offered_is_echoed_in_the_answer_of_v1(
    offered: bytes | None, chosen: bytes | None
) -> None:
    without = HANDSHAKE.replace(b"Sec-WebSocket-Protocol: audio.jambonz.org\r\n", b"")
    async with running() as run:
        peer = await run.open(with_protocol(offered) if offered else without)
        head = await peer.read_head()

    status, *headers = head.rstrip().split(b"\r\n")
    assert status == b"HTTP/1.1 101 Switching Protocols"
    assert b"Upgrade: websocket" in headers
    assert b"Connection: Upgrade" in headers
    assert b"Sec-WebSocket-Accept: " + ACCEPT in headers
    assert [one[24:] for one in headers if one.lower().startswith(b"sec-websocket-protocol: ")] == (
        [chosen] if chosen else []
    )
    assert b"extensions" not in head.lower()


async def test_each_request_is_answered_with_its_own_key_and_checked_for_itself() -> None:
    other_key = HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"AQIDBAUGBwgJCgsMDQ4PEC==")
    async with running(faster(path="/calls", max_calls=2)) as run:
        first = await (await run.open(HANDSHAKE)).read_head()
        elsewhere = await run.ask(other_key.replace(b"/calls", b"/other"))
        second = await (await run.open(other_key)).read_head()
        third = await run.ask(HANDSHAKE)

    assert b"\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n" in first
    assert elsewhere.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nSec-WebSocket-Accept: OfS0wDaT5NoxF2gqm7Zj2YtetzM=\r\n" in second
    assert third.startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("offered", [b"audio.example.com", b"audio.jambonz.org", b"audio.drachtio.org"])
async def test_the_subprotocol_of_a_site_is_accepted_beside_those_of_jambonz(offered: bytes) -> None:
    async with running(faster(subprotocol="audio.example.com")) as run:
        peer = await run.open(with_protocol(offered))
        head = await peer.read_head()
        refusal = await run.ask(with_protocol(b"graphql-ws"))

    assert b"\r\nSec-WebSocket-Protocol: " + offered + b"\r\n" in head
    assert b"audio.jambonz.org and audio.drachtio.org and audio.example.com, and the client" in refusal


async def test_a_foreign_subprotocol_is_refused_and_told_why() -> None:
    async with running() as run:
        answer = await run.ask(with_protocol(b"graphql-ws"))
        refused = await run.events.wait_for("connection-refused")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"audio.jambonz.org and audio.drachtio.org, and the client offers none of them" in answer
    assert (refused["status"], refused["target"]) == (400, "/calls?x=1")
    assert "none of them" in refused["reason"]


async def test_nothing_but_what_the_protocol_needs_has_to_be_there() -> None:
    request = b"".join(
        line + b"\r\n"
        for line in with_line(b"GET /\xff HTTP/1.1").split(b"\r\n")[:-1]
        if not line.startswith((b"Origin", b"Pragma", b"Cache-Control"))
    )
    async with running() as run:
        assert await call_target(run, request) == "/\N{REPLACEMENT CHARACTER}"


async def test_another_path_than_the_one_wanted_is_not_found() -> None:
    async with running(faster(path="/a b")) as run:
        answer = await run.ask(with_line(b"GET /other?x=/a b HTTP/1.1"))
        refused = await run.events.wait_for("connection-refused")
        accepted = [await call_target(run, with_line(b"GET %b HTTP/1.1" % path)) for path in (b"/a b?x=1", b"/a%20b")]

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"calls go to /a b, not to /other" in answer
    assert refused["status"] == 404
    assert accepted == ["/a b?x=1", "/a%20b"]


async def test_calls_beyond_the_limit_are_turned_away_until_one_ends() -> None:
    async with running(faster(max_calls=1)) as run:
        peer = await run.call(METADATA)
        answer = await run.ask(HANDSHAKE)
        await peer.send(close())
        await run.events.wait_for("call-ended")
        await run.call(METADATA)
        await run.events.wait_for("call-started", 2)

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 10" in answer
    assert b"there are 1 live calls" in answer


BROKEN = [
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, b"wss://"),
    (b"\x00\x01\x02\x03garbage\r\n\r\n", 400, b"no valid request"),
    (b"hello\r\n\r\n", 400, b"no valid request"),
    (b"\r\n\r\n", 400, b"no valid request"),
    (HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"), 505, b"unsupported HTTP version"),
    (HANDSHAKE.replace(b"GET", b"POST"), 405, b"unsupported HTTP method"),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426, b""),
    (HANDSHAKE.replace(b"Version: 13", b"Version: 8"), 400, b""),
    (HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ="), 400, b""),
    (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 12_000, 431, b"--max-header"),
]


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    BROKEN,
    ids=["TLS", "garbage", "no HTTP", "empty", "HTTP/1.0", "POST", "no upgrade", "old version", "short key", "no end"],
)
async def test_a_broken_request_is_answered_and_reported_once(request_: bytes, status: int, reason: bytes) -> None:
    async with running(faster(close_timeout=0.1)) as run:
        answer = await run.ask(request_)
        # The next call comes after whatever the first connection still caused.
        await call_target(run, HANDSHAKE)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert reason in answer
    assert [event["status"] for event in run.events.of("connection-refused")] == [status]


@pytest.mark.parametrize("request_", [BROKEN[0][0], b"hello\r\n\r\n"], ids=["TLS", "no HTTP"])
async def test_a_refused_peer_that_goes_on_talking_is_refused_once_and_hung_up_on(request_: bytes) -> None:
    async with running(faster(close_timeout=0.3)) as run:
        peer = await run.open(request_)
        await run.events.wait_for("connection-refused")
        await peer.send(request_)
        answer = await peer.read_to_end()
        await until(lambda: not run.server.connections)

    assert answer.count(b"HTTP/1.1 400 ") == 1
    assert len(run.events.of("connection-refused")) == 1


async def test_a_request_that_never_ends_is_given_up() -> None:
    async with running(faster(handshake_timeout=0.2, close_timeout=0.2)) as run:
        answer = await run.ask(HANDSHAKE[:-2])
        refused = run.events.of("connection-refused")

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert [event["reason"] for event in refused] == ["the handshake took too long"]


async def test_a_request_that_breaks_off_is_reported() -> None:
    async with running() as run:
        peer = await run.open()
        await peer.send(HANDSHAKE[:50])
        await peer.close()
        refused = await run.events.wait_for("connection-refused")

    assert refused["reason"] == "the connection ended too early"


@pytest.mark.parametrize("cut", [odd_pieces(seed=5), byte_by_byte])
async def test_a_request_in_pieces_with_frames_glued_behind_it(cut: Cut) -> None:
    stream = HANDSHAKE + METADATA + binary(b"\x01\x02" * 160) + close()
    async with running() as run:
        peer = await run.open(*cut(stream))
        answer = await peer.read_to_end()
        ended = await run.events.wait_for("call-ended")

    assert ACCEPT in answer
    assert answer.endswith(b"\x88\x02\x03\xe8")
    assert ended["received_samples"] == 160


def test_a_request_is_whole_at_its_empty_line() -> None:
    assert split_request(HANDSHAKE[:-1]) is None
    assert split_request(HANDSHAKE + b"\x82\x80") == ("/calls?x=1", with_line(b"GET / HTTP/1.1"), b"\x82\x80")


@pytest.mark.parametrize(
    ("line", "target"),
    [
        (b"GET /a b HTTP/1.1\r", "/a b"),
        (b"GET /a%20b HTTP/1.1\r", "/a%20b"),
        (b"GET /\xc3\xbc HTTP/1.1\r", "/ü"),
        (b"GET /\xff HTTP/1.1\r", "/\udcff"),
        (b"GET /x?" + b" " * 4000 + b"y HTTP/1.1\r", "/x?" + " " * 4000 + "y"),
        (b"GET /a\x00 HTTP/1.1\r", "/a\0"),
        (b"GET http://h/a HTTP/1.1\r", "http://h/a"),
        (b"GET HTTP/1.1\r", None),
        (b"nothing of the kind\r", None),
    ],
)
def test_path_and_query_are_kept_from_the_library(line: bytes, target: str | None) -> None:
    request = line + b"\nHost: h\r\n\r\n"
    for_library = request if target is None else b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"

    assert split_request(request) == (target, for_library, b"")


async def test_a_fault_while_a_handshake_is_answered_ends_that_handshake_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    async with relaying() as relayed:
        peer = await relayed.run.call(METADATA)
        monkeypatch.setattr(ServerHandshake, "_answer", fail)
        answer = await relayed.run.ask(HANDSHAKE)
        await peer.send(close())
        ended = await relayed.run.events.wait_for("call-ended")

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert relayed.run.events.of("connection-refused")[0]["reason"] == "the handshake failed unexpectedly"
    assert ended["closed_by"] == "jambonz"
    assert "a bug of ours" in caplog.text


V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 10, 0, 0, 1]) + b"\xdc\x04\x0b\xb8"
V1 = b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 3000\r\n"
LOCAL = b"PROXY UNKNOWN\r\n"


@pytest.mark.parametrize("with_tls", [False, True])
@pytest.mark.parametrize("header", [V1, V2, LOCAL], ids=["v1", "v2", "unknown"])
async def test_a_trusted_proxy_says_where_a_call_comes_from(
    header: bytes, with_tls: bool, serving_tls: ssl.SSLContext, certificate: Path
) -> None:
    async with running(
        faster(addresses=AddressRules(proxy_protocol=True), tls=serving_tls if with_tls else None)
    ) as run:
        _, writer = await asyncio.open_connection("127.0.0.1", run.port)
        for byte in header:
            writer.write(bytes([byte]))
            await writer.drain()
        if with_tls:
            trusting = ssl.create_default_context(cafile=certificate.with_suffix(".crt"))
            await writer.start_tls(trusting, server_hostname="127.0.0.1")
        writer.write(HANDSHAKE + text("{}"))
        await writer.drain()
        started = await run.events.wait_for("call-started")
        writer.close()

    assert started["remote"].startswith("127.0.0.1:" if header == LOCAL else "192.0.2.1:56324")


async def test_without_the_header_that_a_proxy_sends_a_connection_is_closed() -> None:
    async with running(faster(addresses=AddressRules(proxy_protocol=True))) as run:
        peer = await run.open(HANDSHAKE)
        assert await peer.read_to_end() == b""
        refused = await run.events.wait_for("connection-refused")

    assert refused["reason"] == "the connection doesn't begin with a PROXY header, which --trust-proxy demands"


async def test_without_trust_a_proxy_header_is_no_request() -> None:
    async with running() as run:
        await (await run.open(V1 + HANDSHAKE)).read_to_end()

        assert (await run.events.wait_for("connection-refused"))["remote"].startswith("127.0.0.1:")


async def test_secrets_of_a_request_are_in_no_event_and_no_sidecar(tmp_path: Path) -> None:
    key = b"0123456789abcdef0123456789abcdef01234567"
    request = with_line(b"GET /calls?x=1&token=" + key + b" HTTP/1.1")
    async with running(record=tmp_path) as run:
        refusal = await run.ask(request.replace(b"audio.jambonz.org", b"token, " + key))
        assert await call_target(run, request) == "/calls?x=1&token=***"
        await run.peers[-1].send(close(1000))
        saved = await run.events.wait_for("recording-saved")

    assert run.events.of("connection-refused")[0]["target"] == "/calls?x=1&token=***"
    assert read_sidecar(saved)["target"] == "/calls?x=1&token=***"
    assert key.decode() not in refusal.decode() + str(run.events.all)
