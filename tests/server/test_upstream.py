"""How a relayed call begins: what the application is asked, and what jambonz is told when it doesn't take the call."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from listenctl.net.server_address import CallTarget, client_tls_context
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.server.access.auth_file import set_user
from listenctl.server.access.check_credentials import file_credentials, shared_credentials
from listenctl.server.access.secret_hashes import hash_token
from listenctl.server.upstream import RelayTarget, UpstreamConnection, upstream_path
from tests.helpers.frames import HANDSHAKE, WireFrame, binary, close, text
from tests.helpers.scripted_server import Script, Side, accept, answering, read_request, relaying, serving
from tests.helpers.server import Running, faster, read_sidecar, running, until

pytestmark = pytest.mark.simulated_time

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')
AUTHORIZATION = b"authorization: Basic bGlzdGVuOnMzY3JldA=="


def asking(*lines: bytes, target: bytes = b"/calls?x=1") -> bytes:
    """Return a client's request with more header lines, as jambonz puts them behind the others."""
    head = HANDSHAKE.removesuffix(b"\r\n").replace(b"/calls?x=1", target)
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


async def read_to_end(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def asked_for(*lines: bytes, path: str = "", target: bytes = b"/calls?x=1") -> list[bytes]:
    """Return the lines of the request that the application gets for one of jambonz."""
    async with relaying(path=path) as relayed:
        peer = await relayed.run.open(asking(*lines, target=target))
        assert (await peer.read_head()).startswith(b"HTTP/1.1 101 ")
        await peer.close()
    return relayed.side.request.split(b"\r\n")[:-2]


# The request.


async def test_the_application_is_asked_as_jambonz_would_ask_it() -> None:
    line, *headers = await asked_for(AUTHORIZATION)

    assert line == b"GET /calls?x=1 HTTP/1.1"
    assert [header.partition(b":")[0] for header in headers] == [
        b"Pragma",
        b"Cache-Control",
        b"Host",
        b"Origin",
        b"Upgrade",
        b"Connection",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Protocol",
        b"Sec-WebSocket-Version",
        b"authorization",
    ]
    assert headers[2:4] == [b"Host: 127.0.0.1", b"Origin: http://127.0.0.1"]
    assert headers[-1] == AUTHORIZATION
    # A key of our own: the answer to it is for us.
    assert headers[6] not in HANDSHAKE


@pytest.mark.parametrize("lines", [[], [b"User-Agent: jambonz/0.9", b"authorization: Basic \xfc\xc3\xbc"]])
async def test_only_the_user_agent_and_credentials_of_jambonz_are_sent_as_they_are(lines: list[bytes]) -> None:
    headers = await asked_for(*lines)

    assert [header for header in headers if header.lower().startswith((b"authorization", b"user-agent"))] == lines


@pytest.mark.parametrize("target", [b"/", b"/a b?c=d e", "/zürich?n=ø".encode(), b"/\xff?\xfe", b"/x?" + b"y" * 4000])
async def test_path_and_query_are_passed_on_as_they_are(target: bytes) -> None:
    line, *_ = await asked_for(target=target)

    assert line == b"GET %b HTTP/1.1" % target


async def test_a_path_with_control_characters_is_not_passed_on() -> None:
    async with relaying() as relayed:
        answer = await relayed.run.ask(asking(target=b"/a\rX-Evil: 1"))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert relayed.sides == []


@pytest.mark.parametrize(
    ("own", "wanted", "path"),
    [
        ("/", "/calls?x=1", "/calls?x=1"),
        ("/bot", "/calls", "/bot"),
        ("/bot", "/calls?x=1", "/bot?x=1"),
        ("/bot?y=2", "/calls?x=1", "/bot?y=2"),
        ("/bot", "/calls?", "/bot"),
    ],
)
def test_a_path_of_the_url_goes_before_that_of_jambonz(own: str, wanted: str, path: str) -> None:
    assert upstream_path(own, wanted) == path


async def test_a_request_that_is_no_upgrade_doesnt_reach_the_application() -> None:
    async with relaying() as relayed:
        answer = await relayed.run.ask(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b"upgrade: websocket" in answer.lower()
    assert relayed.sides == []


# The subprotocol.


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (b"audio.jambonz.org", None),
        (b"audio.jambonz.org", "audio.jambonz.org"),
        (b"other, more", "more"),
    ],
    ids=["none", "echo", "unknown to us"],
)
async def test_jambonz_gets_the_subprotocol_that_the_application_chose(offered: bytes, chosen: str | None) -> None:
    line = f"Sec-WebSocket-Protocol: {chosen}\r\n".encode() if chosen else b""
    async with relaying(headers=line) as relayed:
        peer = await relayed.run.open(HANDSHAKE.replace(b"audio.jambonz.org", offered) + METADATA)
        head = await peer.read_head()
        started = await relayed.run.events.wait_for("call-started")
        await peer.send(close())

    assert b"Sec-WebSocket-Protocol: " + offered + b"\r\n" in relayed.side.request
    assert line in head
    assert head.lower().count(b"sec-websocket-protocol") == bool(chosen)
    # One that isn't known could be a key.
    assert started["subprotocol"] == ("***" if chosen == "more" else chosen)


# Refusals.


@asynccontextmanager
async def refusing(answer: bytes) -> AsyncIterator[Running]:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with answering(script) as (run, _):
        yield run


@pytest.mark.parametrize(
    ("status", "header"),
    [
        (b"401 Unauthorized", b'WWW-Authenticate: Basic realm="bots"\r\n'),
        (b"403 Forbidden", b""),
        (b"404 No such bot", b""),
        (b"500 Internal Server Error", b"Content-Type: text/html\r\n"),
        (b"499 Whatever", b"Retry-After: 7\r\n"),
        (b"200 OK", b""),
    ],
)
async def test_a_refusal_is_passed_on(status: bytes, header: bytes) -> None:
    body = "nö\n".encode()
    async with refusing(b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, header, len(body), body)) as run:
        answer = await run.ask(HANDSHAKE)
        refused = await run.events.wait_for("connection-refused")

    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert header.strip() in head
    assert head.lower().count(b"content-length:") == 1
    assert rest == body
    assert refused["status"] == int(status[:3])
    assert status.decode() in refused["reason"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n0\r\n\r\n",
        b"HTTP/1.0 403 Forbidden\r\n\r\nno!",
        b"HTTP/1.1 403 Forbidden\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nno!",
    ],
    ids=["chunked", "to the end", "keep-alive"],
)
async def test_the_body_of_a_refusal_is_passed_on_however_it_came(answer: bytes) -> None:
    async with refusing(answer) as run:
        received = await run.ask(HANDSHAKE)

    head, _, body = received.partition(b"\r\n\r\n")
    assert body == b"no!"
    assert b"Content-Length: 3" in head
    assert b"chunked" not in head
    assert b"keep-alive" not in head


async def test_the_body_of_a_refusal_is_bounded() -> None:
    async with refusing(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 9_000_000) as run:
        answer = await run.ask(HANDSHAKE)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert 60_000 < len(body) < 200_000
    assert b"Content-Length: %d" % len(body) in head


async def test_an_application_that_isnt_there_is_a_bad_gateway() -> None:
    async with serving(lambda *_: asyncio.sleep(0)) as port:
        pass
    application = RelayTarget(CallTarget(address=parse_websocket_url(f"ws://127.0.0.1:{port}")))
    async with running(faster(upstream=application)) as run:
        answer = await run.ask(HANDSHAKE)
        refused = await run.events.wait_for("connection-refused")

    assert answer.startswith(b"HTTP/1.1 502 ")
    # Where it is, is not for everyone.
    assert answer.endswith(b"\r\n\r\nthe application can't be reached, or doesn't take calls\n")
    assert refused["status"] == 502
    assert "can't connect" in refused["reason"]


async def accept_another_subprotocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    _, key = await read_request(reader)
    writer.write(accept(key, b"Sec-WebSocket-Protocol: audio.drachtio.org\r\n"))
    await reader.read()


@pytest.mark.parametrize(
    ("script", "scheme", "status", "reason"),
    [
        (accept_another_subprotocol, "ws", 502, "audio.drachtio.org"),
        (read_to_end, "ws", 504, "no answer within"),
        (read_to_end, "wss", 502, "certificate isn't trusted"),
    ],
    ids=["subprotocol", "silent", "certificate"],
)
async def test_an_application_that_cannot_take_the_call_is_a_bad_gateway(
    script: Script, scheme: str, status: int, reason: str, serving_tls: ssl.SSLContext
) -> None:
    tls = (serving_tls, client_tls_context()) if scheme == "wss" else None
    async with answering(script, deadline=0.5, tls=tls) as (run, _):
        answer = await run.ask(HANDSHAKE)
        refused = await run.events.wait_for("connection-refused")

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert refused["status"] == status
    assert reason in refused["reason"]


async def test_a_redirect_is_followed_as_jambonz_does() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, key = await read_request(reader)
        if b"/there" not in request:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")
            return
        writer.write(accept(key))
        await reader.read()

    async with answering(script) as (run, url):
        peer = await run.call(METADATA)
        started = await run.events.wait_for("call-started")
        await peer.send(close())

    assert started["upstream"] == f"{url}/there"


async def test_our_own_credentials_are_asked_for_first() -> None:
    async with relaying(credentials=shared_credentials("listen:s3cret")) as relayed:
        refused = await relayed.run.ask(HANDSHAKE)
        peer = await relayed.run.open(asking(AUTHORIZATION))
        accepted = await peer.read_head()

    assert refused.startswith(b"HTTP/1.1 401 ")
    assert b'realm="listenctl"' in refused
    assert accepted.startswith(b"HTTP/1.1 101 ")
    assert AUTHORIZATION in relayed.side.request


@pytest.mark.parametrize("checked", [True, False])
async def test_a_token_is_for_whoever_checks_it(checked: bool, tmp_path: Path) -> None:
    token = "lctok_0123456789abcdefghijklmnopqrstuv"
    set_user(tmp_path / "users", "app", hash_token(token))
    credentials = file_credentials(tmp_path / "users") if checked else None
    async with relaying(credentials=credentials) as relayed:
        peer = await relayed.run.open(HANDSHAKE.replace(b"/calls", f"/{token}/calls".encode()), METADATA)
        assert (await peer.read_head()).startswith(b"HTTP/1.1 101 ")
        started = await relayed.run.events.wait_for("call-started")

    line = relayed.side.request.partition(b"\r\n")[0].decode()
    assert line == f"GET {'' if checked else f'/{token}'}/calls?x=1 HTTP/1.1"
    assert token not in str(started)


# While the application makes up its mind.


async def test_what_comes_while_the_application_is_asked_waits() -> None:
    frames: list[WireFrame] = []
    asked, decided = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, key = await read_request(reader)
        asked.set()
        await decided.wait()
        writer.write(accept(key))
        frames.extend(await Side(request, reader, writer).read_to_end())

    async with answering(script) as (run, _):
        peer = await run.open(HANDSHAKE, METADATA)
        await asked.wait()
        # Begins like TLS, and isn't.
        await peer.send(binary(b"\x16\x03" * 160))
        decided.set()
        await peer.read_head()
        await peer.send(close())
        await peer.read_to_end()

    assert frames[1].payload == b"\x16\x03" * 160


async def test_a_jambonz_that_gives_up_takes_the_request_to_the_application_back() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        assert await reader.read() == b""
        gone.set()

    async with answering(script) as (run, _):
        peer = await run.open(HANDSHAKE)
        await asked.wait()
        await peer.close()
        await gone.wait()
        refused = await run.events.wait_for("connection-refused")

    assert refused["reason"] == "the connection ended before it was answered"


async def test_a_call_too_many_is_refused_also_if_it_came_while_another_waited() -> None:
    async with relaying(max_calls=1) as relayed:
        peers = await asyncio.gather(*(relayed.run.open(HANDSHAKE) for _ in range(3)))
        heads = [(await peer.read_head())[:13] for peer in peers]

    assert sorted(heads) == [b"HTTP/1.1 101 ", b"HTTP/1.1 503 ", b"HTTP/1.1 503 "]


# TLS.


async def test_the_application_can_be_behind_tls(certificate: Path, serving_tls: ssl.SSLContext) -> None:
    async with relaying(tls=(serving_tls, client_tls_context(certificate))) as relayed:
        peer = await relayed.run.call(METADATA, *(binary(bytes(1280)) for _ in range(50)), close(4000, "x"))
        await peer.read_to_end()

    assert [len(frame.payload) for frame in relayed.side.frames[1:-1]] == [1280] * 50
    assert relayed.side.frames[-1].payload == b"\x0f\xa0x"
    assert json.loads(relayed.side.frames[0].payload)["callSid"] == "CS-A"


# Loops.


class Proxy:
    """Leads each request to a port of this machine."""

    port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", self.port)
        there.write(await reader.readuntil(b"\r\n\r\n"))
        writer.write(await back.read())
        there.close()


async def test_a_request_that_comes_back_to_us_is_refused_as_a_loop() -> None:
    proxy = Proxy()
    async with answering(proxy) as (run, _):
        proxy.port = run.port
        answer = await run.ask(asking())
        refused = [event["status"] for event in run.events.of("connection-refused")]

    assert answer.startswith(b"HTTP/1.1 508 ")
    assert refused == [508, 508]


@pytest.mark.parametrize(("most", "max_calls"), [(20, 1000), (1000, 20)])
async def test_a_chain_that_leads_back_to_us_ends(most: int, max_calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.server.upstream.MAX_UNANSWERED", most)
    proxy = Proxy()
    async with answering(proxy, max_calls=max_calls) as (last, _):
        application = RelayTarget(CallTarget(address=parse_websocket_url(f"ws://127.0.0.1:{last.port}/")))
        async with running(faster(upstream=application)) as first:
            proxy.port = first.port
            answer = await first.ask(asking())
            refused = len(first.events.of("connection-refused")) + len(last.events.of("connection-refused"))

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert 20 <= refused <= 50


# Faults of ours.


@pytest.mark.parametrize("faulty", ["open", "_wait_closed"])
async def test_a_fault_in_one_connection_to_the_application_ends_no_other_call(
    faulty: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    async with relaying(record=tmp_path) as relayed:
        peer = await relayed.run.call(METADATA)
        await relayed.run.events.wait_for("call-started")
        monkeypatch.setattr(UpstreamConnection, faulty, fail)
        other = await relayed.run.open(HANDSHAKE)
        head = await other.read_head()
        await other.send(METADATA, close()) if head.startswith(b"HTTP/1.1 101 ") else None
        await until(lambda: "a bug of ours" in caplog.text)
        await peer.send(close())
        saved = await relayed.run.events.wait_for_one("recording-saved", call="CS-A")

    assert head[:13] == (b"HTTP/1.1 500 " if faulty == "open" else b"HTTP/1.1 101 ")
    assert read_sidecar(saved)["close"]["by"] == "jambonz"
