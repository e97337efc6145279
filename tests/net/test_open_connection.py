import asyncio
import re
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from listenctl.errors import RefusedError
from listenctl.net.client_connection import ClientConnection, connect
from listenctl.net.server_address import CallTarget, client_tls_context
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.protocol.opening_handshake import Credentials
from tests.helpers.scripted_server import (
    ECHOED,
    HeardMessages,
    Script,
    accept,
    finish,
    read_request,
    serving,
    shake_hands,
    target,
)

pytestmark = pytest.mark.simulated_time

NO_HTTP = "answered with something that isn't HTTP; check whether it is a listen server"
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


async def call(script: Script) -> tuple[ClientConnection, int]:
    """Return a connection, which has been closed in order, and the port of its server."""
    async with serving(script) as port:
        connection = await connect(target(port), HeardMessages())
        await finish(connection)
    return connection, port


async def refusal(script: Script) -> str:
    """Return what is said of a server that can't be called, behind its URL."""
    async with serving(script) as port:
        with pytest.raises(RefusedError) as caught:
            await connect(target(port), HeardMessages())
    url, _, problem = str(caught.value).partition(": ")
    assert url.partition(" → ")[0] == f"ws://127.0.0.1:{port}/calls?x=1"
    return problem


async def test_a_handshake_tells_how_it_went_and_has_a_fresh_key() -> None:
    connection, port = await call(upgrading())
    another, _ = await call(upgrading())

    shaken = connection.handshake
    assert shaken.subprotocol == "audio.jambonz.org"
    assert shaken.remote == f"127.0.0.1:{port}"
    assert shaken.request.startswith(b"GET /calls?x=1 HTTP/1.1\r\nPragma: no-cache\r\n")
    assert (shaken.redirects, shaken.warnings, shaken.tls_seconds) == ((), (), 0.0)
    assert 0 <= shaken.connect_seconds + shaken.upgrade_seconds <= shaken.seconds
    assert shaken.request != another.handshake.request


async def test_a_server_on_a_unix_socket_is_called(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    async with serving(upgrading(), socket_path=path):
        address = parse_websocket_url(f"ws+unix:{path}:/calls?x=1")
        connection = await connect(CallTarget(address=address), HeardMessages())
        ended = await finish(connection)

    request = connection.handshake.request
    assert request.startswith(b"GET /calls?x=1 HTTP/1.1\r\n")
    assert b"\r\nHost: localhost\r\nOrigin: http://localhost\r\n" in request
    assert (ended, connection.handshake.remote, connection.handshake.warnings) == (True, str(path), ())


async def test_a_socket_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"none\.sock:/: can't connect: No such file or directory"):
        await connect(CallTarget(address=parse_websocket_url(f"ws+unix:{tmp_path}/none.sock")), HeardMessages())


async def test_a_server_at_an_ipv6_address_is_called_with_a_note() -> None:
    async with serving(upgrading(), host="::1") as port:
        address = parse_websocket_url(f"ws://[::1]:{port}/")
        connection = await connect(CallTarget(address=address), HeardMessages())
        await finish(connection)

    assert b"\r\nHost: [::1]\r\nOrigin: http://[::1]\r\n" in connection.handshake.request
    assert connection.handshake.remote == f"[::1]:{port}"
    assert connection.handshake.warnings == address.warnings


async def test_keepalive_is_that_of_jambonz() -> None:
    async with serving(upgrading()) as port:
        connection = await connect(target(port), HeardMessages())
        taken = connection._socket._socket
        names = (socket.TCP_NODELAY, socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT, socket.TCP_KEEPINTVL)
        options = [taken.getsockopt(socket.IPPROTO_TCP, name) for name in names]
        assert taken.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await finish(connection)

    assert options == [1, 55, 4, 5]


async def test_an_answer_without_a_subprotocol_is_taken_and_warned_of() -> None:
    connection, _ = await call(upgrading(b""))

    assert connection.handshake.subprotocol is None
    assert connection.handshake.warnings == (
        "answered without a subprotocol; jambonz accepts that, but a server should echo audio.jambonz.org",
    )


async def test_a_server_need_not_echo_a_subprotocol_that_is_not_jambonz_s() -> None:
    async with serving(upgrading(b"")) as port:
        connection = await connect(replace(target(port), subprotocol="wrong.example.org"), HeardMessages())
        await finish(connection)

    assert connection.handshake.warnings == ("answered without a subprotocol; jambonz accepts that",)


async def test_what_is_odd_about_url_and_credentials_is_warned_of() -> None:
    async with serving(upgrading()) as port:
        odd = CallTarget(
            address=parse_websocket_url(f"ws://127.0.0.1:{port}/a b"), credentials=Credentials("u", "p" * 100)
        )
        connection = await connect(odd, HeardMessages())
        await finish(connection)

    space, long = connection.handshake.warnings
    assert "sends the space" in space
    assert "have 101 characters" in long
    assert b"authorization" not in connection.handshake.request


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        (
            b"Sec-WebSocket-Protocol: audio.drachtio.org\r\n",
            "answered with subprotocol audio.drachtio.org; jambonz closes the connection at once; echo ",
        ),
        (b"Sec-WebSocket-Protocol: audio.jambonz.org, x\r\n", "answered with subprotocol audio.jambonz.org, ***; "),
        (
            ECHOED + b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
            "answered with the extension permessage-deflate",
        ),
        (ECHOED + b"Sec-WebSocket-Accept: again\r\n", "its Sec-WebSocket-Accept doesn't match our key"),
    ],
    ids=["subprotocol", "two subprotocols", "extension", "two accepts"],
)
async def test_an_answer_that_jambonz_closes_on_is_refused(headers: bytes, problem: str) -> None:
    assert problem in await refusal(upgrading(headers))


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
            "refused with 401 Unauthorized; give credentials that the server accepts",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "refused with 200 OK: hi"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "isn't a listen server: its 101 lacks `Upgrade: websocket` or `Connection: Upgrade`",
        ),
        (accept(b"another key"), "isn't a listen server: its Sec-WebSocket-Accept doesn't match our key"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", NO_HTTP),
        (b"HTTP/1.1 okay\r\n\r\n", NO_HTTP),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000, NO_HTTP),
        (b"", "closed the connection without an answer; check whether it is a listen server, on ws or wss"),
        (
            b"HTTP/1.1 101 Sw",
            "closed the connection in the middle of its answer; check whether it is a listen server, on ws or wss",
        ),
    ],
    ids=[
        "403", "404", "long body", "chunked", "HTTP/1.0", "401", "200", "no upgrade", "accept", "SSH", "no status",
        "endless", "nothing", "half",
    ],
)  # fmt: skip
async def test_a_refusal_says_why(answer: bytes, problem: str) -> None:
    assert await refusal(answering(answer)) == problem


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\nbecause", "refused with 403 Forbidden: because"),
        (b"", "no answer within 5 s; check whether it is a listen server"),
    ],
)
async def test_an_answer_that_never_ends_is_given_up(answer: bytes, problem: str) -> None:
    stays = asyncio.Event()

    async with serving(answering(answer, stays=stays)) as port:
        hasty = CallTarget(address=parse_websocket_url(f"ws://127.0.0.1:{port}/"), deadline=5)
        with pytest.raises(RefusedError, match=rf"{problem}$"):
            await connect(hasty, HeardMessages())
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

    connection, port = await call(script)

    assert requests == [b"GET /calls?x=1 HTTP/1.1", b"GET /other?y=2 HTTP/1.1"]
    assert connection.handshake.redirects == (f"ws://127.0.0.1:{port}/other?y=2",)


async def test_a_redirect_to_another_host_takes_the_credentials_along_and_says_so() -> None:
    async with (
        serving(upgrading()) as port,
        serving(answering(REDIRECT % (302, b"ws://localhost:%d/" % port))) as first,
    ):
        called = CallTarget(address=parse_websocket_url(f"ws://127.0.0.1:{first}/"), credentials=Credentials("u", "p"))
        connection = await connect(called, HeardMessages())
        await finish(connection)

    assert b"Host: localhost\r\n" in connection.handshake.request
    assert b"authorization: Basic dTpw\r\n" in connection.handshake.request
    assert "a redirect sent the credentials to another host" in connection.handshake.warnings[0]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (REDIRECT % (302, b"/again"), "redirected more than 5 times"),
        (REDIRECT % (302, b"ws://::1/"), "redirected to ws://::1/: an IPv6 address must be in brackets"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "redirected with 302, but without one Location"),
    ],
)
async def test_a_redirect_that_leads_nowhere_is_refused(answer: bytes, problem: str) -> None:
    assert problem in await refusal(answering(answer))


async def test_a_server_that_is_not_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free_port = server.getsockname()[1]

    with pytest.raises(RefusedError, match=r"can't connect: .*; check whether a server is running there"):
        await connect(target(free_port), HeardMessages())


@pytest.mark.parametrize(
    ("host", "problem"), [("a..b", "its name is invalid"), ("nowhere", "Name or service not known; check")]
)
async def test_a_host_that_has_no_address_is_said(host: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    if host == "nowhere":
        # A real name would be asked of whatever resolver the machine has.
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(RefusedError, match=rf"^ws://{re.escape(host)}/: can't resolve the host: {problem}"):
        await connect(CallTarget(address=parse_websocket_url(f"ws://{host}/")), HeardMessages())


async def test_a_certificate_that_is_not_trusted_is_refused_unless_insecure(serving_tls: ssl.SSLContext) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await reader.read()

    async with serving(script, tls=serving_tls) as port:
        with pytest.raises(
            RefusedError, match=r"its certificate isn't trusted: .*; use --ca with its CA, or --insecure"
        ):
            await connect(target(port, "wss"), HeardMessages())
        await finish(await connect(target(port, "wss", client_tls_context(insecure=True)), HeardMessages()))


async def test_wss_on_a_port_without_tls_is_said() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.write_eof()
        await reader.read()

    async with serving(script) as port:
        with pytest.raises(RefusedError, match="TLS failed: the port doesn't speak TLS; use ws:// instead of wss://"):
            await connect(target(port, "wss"), HeardMessages())
