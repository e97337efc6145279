"""The same calls through TLS, and what fails before there is a call."""

import asyncio
import ssl
from pathlib import Path

import pytest

from listenctl.errors import RefusedError
from listenctl.net import connect as opening
from listenctl.net.call_target import client_tls_context
from listenctl.net.client_connection import ConnectionEnd, connect
from tests.helpers.frames import BINARY, TEXT, frame
from tests.helpers.scripted_server import Heard, finish, serving, shake_hands, target


@pytest.fixture
def serving_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def test_a_call_through_tls_is_complete_and_ends_with_close_notify(
    certificate: Path, serving_tls: ssl.SSLContext
) -> None:
    received: list[bytes] = []
    chosen: list[str | None] = []
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer, behind=frame(TEXT, b"first", mask=None))
        chosen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        writer.write(frame(BINARY, bytes(100_000), mask=None))
        # Without close_notify the end of the stream would be an error.
        received.append(await reader.read())

    async with serving(script, tls=serving_tls) as port:
        connection = await connect(target(port, "wss", client_tls_context(certificate)), heard)
        for _ in range(50):
            connection.send_audio(bytes(1280))
        await heard.until(lambda: len(heard.messages) == 2)
        connection.hang_up()
        in_order = await connection.wait_closed(10)

    assert len(received[0]) == 50 * 1288 + 8
    assert chosen == ["http/1.1"]
    assert heard.messages == [("text", b"first", False), ("audio", bytes(100_000), False)]
    assert heard.ends == [ConnectionEnd("jambonz", 1000)]
    assert in_order
    assert connection.handshake.tls_seconds > 0


async def test_a_close_through_tls_is_echoed(certificate: Path, serving_tls: ssl.SSLContext) -> None:
    received: list[bytes] = []
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        writer.write(frame(0x8, b"\x03\xe9", mask=None))
        received.append(await reader.read())

    async with serving(script, tls=serving_tls) as port:
        connection = await connect(target(port, "wss", client_tls_context(certificate)), heard)
        assert await connection.wait_closed(10)

    assert heard.ends == [ConnectionEnd("server", 1001)]
    assert len(received[0]) == 8


async def test_a_certificate_that_is_not_trusted_is_refused_unless_insecure(serving_tls: ssl.SSLContext) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await reader.read()

    async with serving(script, tls=serving_tls) as port:
        with pytest.raises(
            RefusedError, match=r"its certificate isn't trusted: .*; give its CA with --ca, or --insecure"
        ):
            await connect(target(port, "wss"), Heard())
        await finish(await connect(target(port, "wss", client_tls_context(insecure=True)), Heard()))


async def test_wss_on_a_port_without_tls_is_said() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.write_eof()
        await reader.read()

    async with serving(script) as port:
        with pytest.raises(RefusedError, match="TLS failed: that port speaks no TLS; give ws:// in place of wss://"):
            await connect(target(port, "wss"), Heard())


def test_a_certificate_for_another_name_is_not_mended_by_a_ca() -> None:
    problem = ssl.SSLCertVerificationError()
    problem.verify_code, problem.verify_message = 64, "IP address mismatch, certificate is not valid for '127.0.0.1'."

    assert opening._reason(problem) == (
        "its certificate is for another name: IP address mismatch, certificate is not valid for '127.0.0.1'; "
        "call it by the name in it, or give --insecure"
    )
