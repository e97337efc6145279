import asyncio
import socket

import pytest

from listenctl.errors import RefusedError
from listenctl.net.call_target import CallTarget
from listenctl.net.client_connection import connect
from listenctl.net.client_handshake import build_request
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.opening_handshake import Credentials
from tests.helpers.frames import HANDSHAKE
from tests.helpers.scripted_server import (
    ECHOED,
    Heard,
    Script,
    accept,
    finish,
    read_request,
    serving,
    target,
)

VECTOR_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
NO_HTTP = "answered with something that is no HTTP; see whether it is a listen server"
REDIRECT = b"HTTP/1.1 %d Elsewhere\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"


def answering(answer: bytes, *, stays: asyncio.Event | None = None) -> Script:
    """Return a server that answers any request with ``answer``, and closes unless it ``stays``."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        if stays is not None:
            await writer.drain()
            await stays.wait()

    return script


def upgrading(headers: bytes = ECHOED) -> Script:
    """Return a server that accepts the call with ``headers`` and waits for its end."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, key = await read_request(reader)
        writer.write(accept(key, headers))
        await reader.read()

    return script


def test_the_request_is_that_of_jambonz_byte_for_byte() -> None:
    called = CallTarget(address=parse_websocket_url("ws://myrecorder.example.com:3000/calls?x=1"))

    assert build_request(called, called.address, VECTOR_KEY) == HANDSHAKE


def test_what_is_asked_for_stands_where_jambonz_puts_it() -> None:
    called = CallTarget(
        address=parse_websocket_url("wss://h/a b"),
        credentials=Credentials("listen", "s3cret"),
        subprotocol=None,
        user_agent="jambonz/1",
    )

    assert build_request(called, called.address, VECTOR_KEY) == (
        b"GET /a b HTTP/1.1\r\n"
        b"Pragma: no-cache\r\n"
        b"Cache-Control: no-cache\r\n"
        b"Host: h\r\n"
        b"Origin: https://h\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"User-Agent: jambonz/1\r\n"
        b"authorization: Basic bGlzdGVuOnMzY3JldA==\r\n"
        b"\r\n"
    )


async def test_a_handshake_tells_how_it_went() -> None:
    async with serving(upgrading()) as port:
        connection = await connect(target(port), Heard())
        await finish(connection)

    shaken = connection.handshake
    assert shaken.subprotocol == "audio.jambonz.org"
    assert shaken.remote == f"127.0.0.1:{port}"
    assert shaken.request.startswith(b"GET /calls?x=1 HTTP/1.1\r\nPragma: no-cache\r\n")
    assert (shaken.redirects, shaken.warnings, shaken.tls_seconds) == ((), (), 0.0)
    assert shaken.connect_seconds > 0
    assert shaken.upgrade_seconds > 0
    assert shaken.connect_seconds + shaken.upgrade_seconds <= shaken.seconds


async def test_every_call_has_a_fresh_key() -> None:
    requests: set[bytes] = set()

    async with serving(upgrading()) as port:
        for _ in range(2):
            connection = await connect(target(port), Heard())
            requests.add(connection.handshake.request)
            await finish(connection)

    assert len(requests) == 2


async def test_keepalive_is_that_of_jambonz() -> None:
    options: list[tuple[int, ...]] = []

    async with serving(upgrading()) as port:
        connection = await connect(target(port), Heard())
        taken = connection._wire._socket
        names = (socket.TCP_NODELAY, socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT, socket.TCP_KEEPINTVL)
        options.append(tuple(taken.getsockopt(socket.IPPROTO_TCP, name) for name in names))
        assert taken.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await finish(connection)

    assert options == [(1, 55, 4, 5)]


async def test_an_answer_without_a_subprotocol_is_taken_and_warned_of() -> None:
    async with serving(upgrading(b"")) as port:
        connection = await connect(target(port), Heard())
        await finish(connection)

    assert connection.handshake.subprotocol is None
    assert connection.handshake.warnings == (
        "answered without a subprotocol; jambonz takes that, but a server should echo audio.jambonz.org",
    )


async def test_what_is_odd_about_url_and_credentials_is_warned_of() -> None:
    async with serving(upgrading()) as port:
        odd = CallTarget(
            address=parse_websocket_url(f"ws://127.0.0.1:{port}/a b"), credentials=Credentials("u", "p" * 100)
        )
        connection = await connect(odd, Heard())
        await finish(connection)

    space, long = connection.handshake.warnings
    assert "has a space" in space
    assert "have 101 characters" in long
    assert b"authorization" not in connection.handshake.request


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        (
            b"Sec-WebSocket-Protocol: audio.drachtio.org\r\n",
            "answered with subprotocol audio.drachtio.org; jambonz closes at once; echo audio.jambonz.org",
        ),
        (b"Sec-WebSocket-Protocol: audio.jambonz.org, x\r\n", "answered with subprotocol audio.jambonz.org, x; "),
        (
            ECHOED + b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
            "answered with the extension permessage-deflate",
        ),
        (ECHOED + b"Sec-WebSocket-Accept: again\r\n", "its Sec-WebSocket-Accept doesn't belong to our key"),
    ],
    ids=["subprotocol", "two subprotocols", "extension", "two accepts"],
)
async def test_an_answer_that_jambonz_closes_on_is_refused(headers: bytes, problem: str) -> None:
    async with serving(upgrading(headers)) as port:
        with pytest.raises(RefusedError) as caught:
            await connect(target(port), Heard())

    assert str(caught.value).startswith(f"ws://127.0.0.1:{port}/calls?x=1: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\non\n\x1b[1mme", "refused with 403 Forbidden: on [1mme"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "refused with 404 Not Found"),
        (b"HTTP/1.1 500 Oops\r\n\r\n" + b"x" * 5000, "refused with 500 Oops: " + "x" * 200),
        (b"HTTP/1.1 503 Full\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "refused with 503 Full: abc"),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\nno", "refused with 502 Bad Gateway: no"),
        (
            b"HTTP/1.1 401 Unauthorized\r\n\r\n",
            "refused with 401 Unauthorized; give credentials that the server knows",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "refused with 200 OK: hi"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "is no listen server: its 101 lacks `Upgrade: websocket` or `Connection: Upgrade`",
        ),
        (accept(b"another key"), "is no listen server: its Sec-WebSocket-Accept doesn't belong to our key"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", NO_HTTP),
        (b"HTTP/1.1 okay\r\n\r\n", NO_HTTP),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000, NO_HTTP),
        (b"", "closed the connection without an answer; see whether it is a listen server, and ws or wss"),
        (
            b"HTTP/1.1 101 Sw",
            "closed the connection in the midst of its answer; see whether it is a listen server, and ws or wss",
        ),
    ],
    ids=[
        "403", "404", "long body", "chunked", "HTTP/1.0", "401", "200", "no upgrade", "accept", "SSH", "no status",
        "endless", "nothing", "half",
    ],
)  # fmt: skip
async def test_a_refusal_says_why(answer: bytes, problem: str) -> None:
    async with serving(answering(answer)) as port:
        with pytest.raises(RefusedError) as caught:
            await connect(target(port), Heard())

    assert str(caught.value) == f"ws://127.0.0.1:{port}/calls?x=1: {problem}"


async def test_a_refusal_whose_body_never_ends_is_told_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.net.connect.BODY_DEADLINE", 0.05)
    stays = asyncio.Event()

    async with serving(answering(b"HTTP/1.1 403 Forbidden\r\n\r\nbecause", stays=stays)) as port:
        with pytest.raises(RefusedError, match=r"refused with 403 Forbidden: because$"):
            await connect(target(port), Heard())
        stays.set()


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    stays = asyncio.Event()

    async with serving(answering(b"", stays=stays)) as port:
        hasty = CallTarget(address=parse_websocket_url(f"ws://127.0.0.1:{port}/"), deadline=0.05)
        with pytest.raises(RefusedError, match=r"no answer within 0\.05 s; see whether it is a listen server$"):
            await connect(hasty, Heard())
        stays.set()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(status: int) -> None:
    requests: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, key = await read_request(reader)
        requests.append(request.splitlines()[0])
        if len(requests) == 1:
            writer.write(REDIRECT % (status, b"/other?y=2"))
            return
        writer.write(accept(key))
        await reader.read()

    async with serving(script) as port:
        connection = await connect(target(port), Heard())
        await finish(connection)

    assert requests == [b"GET /calls?x=1 HTTP/1.1", b"GET /other?y=2 HTTP/1.1"]
    assert connection.handshake.redirects == (f"ws://127.0.0.1:{port}/other?y=2",)


async def test_a_redirect_to_another_host_takes_the_credentials_along_and_says_so() -> None:
    async with (
        serving(upgrading()) as port,
        serving(answering(REDIRECT % (302, b"ws://localhost:%d/" % port))) as first,
    ):
        called = CallTarget(address=parse_websocket_url(f"ws://127.0.0.1:{first}/"), credentials=Credentials("u", "p"))
        connection = await connect(called, Heard())
        await finish(connection)

    assert b"Host: localhost\r\n" in connection.handshake.request
    assert b"authorization: Basic dTpw\r\n" in connection.handshake.request
    assert "the credentials went to another host" in connection.handshake.warnings[0]


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        (b"/again", "redirected more than 5 times"),
        (b"ws://[::1]/", r"redirected to ws://\[::1\]/: jambonz can't read an IPv6 address"),
    ],
)
async def test_a_redirect_that_leads_nowhere_is_refused(location: bytes, problem: str) -> None:
    async with serving(answering(REDIRECT % (302, location))) as port:
        with pytest.raises(RefusedError, match=problem):
            await connect(target(port), Heard())


async def test_a_redirect_without_a_location_is_refused() -> None:
    async with serving(answering(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")) as port:
        with pytest.raises(RefusedError, match="redirected with 302, but to nowhere"):
            await connect(target(port), Heard())


async def test_a_server_that_is_not_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free_port = server.getsockname()[1]

    with pytest.raises(RefusedError, match=r"can't connect: .*; see whether a server is running there"):
        await connect(target(free_port), Heard())


async def test_a_host_that_cannot_exist_is_said() -> None:
    with pytest.raises(RefusedError, match=r"^ws://a\.\.b/: can't find the host: no such name can exist"):
        await connect(CallTarget(address=parse_websocket_url("ws://a..b/")), Heard())


async def test_a_host_that_is_not_found_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # A real name would be asked of whatever resolver the machine has.
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(RefusedError, match=r"^ws://nowhere/: can't find the host: Name or service not known; see"):
        await connect(CallTarget(address=parse_websocket_url("ws://nowhere/")), Heard())
