"""TLS: the same calls through it, read in batches too, and what fails before there is a call."""

import asyncio
import socket
import ssl
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from listenctl.net.batched_socket import MAX_UNSENT_BYTES, PlainLink, TlsLink
from listenctl.server.check_credentials import SharedCredentials
from listenctl.server.settings import ServerSettings
from tests.helpers.capture import client_bytes, received_audio
from tests.helpers.control import Controlled
from tests.helpers.frames import HANDSHAKE, binary, close, text
from tests.helpers.replay import Cut, odd_pieces, replay, whole
from tests.helpers.server import faster, recorded_audio, running

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A"}')


@pytest.fixture
def settings(certificate: Path) -> ServerSettings:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return faster(tls=context, drain_timeout=0.2)


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


@pytest.mark.parametrize("name", ["d_wss_mono16k_decrypted", "i_stereo48k", "g_slow_handshake_backlog"])
@pytest.mark.parametrize("cut", [whole, odd_pieces(seed=4)], ids=["whole", "odd pieces"])
async def test_a_call_through_tls_is_recorded_sample_for_sample(
    name: str, cut: Cut, settings: ServerSettings, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    async with running(settings, record=tmp_path) as run:
        await replay("127.0.0.1", run.port, client_bytes(name), cut=cut, tls=trusting)
        saved = await run.events.wait_for("recording-saved")

    assert recorded_audio(saved) == received_audio(name).data


async def test_the_credentials_of_the_capture_give_access(settings: ServerSettings, trusting: ssl.SSLContext) -> None:
    stream = client_bytes("d_wss_mono16k_decrypted")
    async with running(replace(settings, access=SharedCredentials("jambonz:secret"))) as run:
        answer = await replay("127.0.0.1", run.port, stream, cut=whole, tls=trusting)
        ended = await run.events.wait_for("call-ended")

    assert answer.startswith(b"HTTP/1.1 101 ")
    assert ended["received_samples"] == 192_000


async def test_a_call_through_tls_is_read_in_batches(
    settings: ServerSettings, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    def read(link: TlsLink) -> bytes | None:
        data = whole_read(link)
        reads.append(len(data or b""))
        return data

    whole_read = TlsLink.read
    async with running(settings) as run:
        peer = await run.call(METADATA, tls=trusting)
        await run.events.wait_for("call-started")
        monkeypatch.setattr(TlsLink, "read", read)
        for _ in range(50):
            await peer.send(binary(bytes(320)))
        await peer.send(close())
        ended = await run.events.wait_for("call-ended")

    assert ended["received_samples"] == 50 * 160
    assert len([size for size in reads if size]) < 25


async def test_a_tool_talks_to_a_call_through_tls(
    settings: ServerSettings, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    socket_path = tmp_path / "listenctl" / "default.sock"
    async with running(replace(settings, control=socket_path, read_interval=1.5)) as run:
        peer = await run.call(METADATA, tls=trusting)
        await run.events.wait_for("call-started")
        async with Controlled(run, socket_path).attach(audio=True) as tool:
            await tool.send('{"type":"killAudio"}', b"\1\2")
            frames = [await peer.read_frame(), await peer.read_frame()]
            for number in range(10):
                await peer.send(binary(bytes([number]) * 320))
                assert await tool.audio(320) == bytes([number]) * 320
        [connection] = run.server._connections
        unsent = connection.unsent

    assert frames == [b'\x81\x14{"type":"killAudio"}', b"\x82\x02\1\2"]
    assert unsent == 0


async def test_an_end_of_the_stream_within_tls_loses_nothing(
    settings: ServerSettings, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    audio = struct.pack("<1600h", *range(1600))
    async with running(settings, record=tmp_path) as run:
        peer = await run.call(METADATA, binary(audio), tls=trusting)
        await peer.close()
        ended = await run.events.wait_for("call-ended")
        saved = await run.events.wait_for("recording-saved")

    assert ended["closed_by"] == "nobody"
    assert recorded_audio(saved) == audio


async def test_a_reset_after_the_last_audio_loses_nothing(
    settings: ServerSettings, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    audio = struct.pack("<16000h", *range(16000))
    async with running(settings, record=tmp_path) as run:
        peer = await run.call(METADATA, tls=trusting)
        await run.events.wait_for("call-started")
        await peer.send(binary(audio))
        await peer.reset()
        saved = await run.events.wait_for("recording-saved")

    assert recorded_audio(saved) == audio


async def test_our_close_goes_through_tls_in_order(settings: ServerSettings, trusting: ssl.SSLContext) -> None:
    async with running(settings) as run:
        peer = await run.call(METADATA, binary(b""), tls=trusting)
        assert await peer.read_frame() == b"\x88\x02\x03\xe8"
        await peer.send(close())
        assert await peer.read_to_end() == b""


async def test_plaintext_on_a_tls_port_is_refused_and_reported(settings: ServerSettings) -> None:
    async with running(settings) as run:
        answer = await run.ask(HANDSHAKE)
        refused = await run.events.wait_for("connection-refused")

    assert b"101" not in answer
    assert refused["reason"].startswith("TLS failed: ")


async def test_a_client_that_distrusts_the_certificate_is_reported(settings: ServerSettings) -> None:
    def connect(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            ssl.create_default_context().wrap_socket(connection, server_hostname="127.0.0.1")

    async with running(settings) as run:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(connect, run.port)
        refused = await run.events.wait_for("connection-refused")

    assert "UNKNOWN_CA" in refused["reason"]


async def test_a_tls_handshake_that_stalls_is_given_up(settings: ServerSettings) -> None:
    async with running(replace(settings, handshake_timeout=0.2, close_timeout=0.1)) as run:
        peer = await run.open(b"\x16\x03\x01\x02\x00\x01")
        assert await peer.read_to_end() == b""
        refused = await run.events.wait_for("connection-refused")

    assert refused["status"] == 408


async def test_a_slow_reader_gets_everything_in_order() -> None:
    ours, theirs = socket.socketpair()
    link = PlainLink(ours, asyncio.get_running_loop())
    reader, writer = await asyncio.open_connection(sock=theirs)
    pieces = [bytes([number % 256]) * 50_000 for number in range(100)]

    for piece in pieces:
        link.write(piece)
    link.end_writing()
    received = await reader.read()

    assert received == b"".join(pieces)
    link.close()
    writer.close()
    await writer.wait_closed()


async def test_what_waits_for_a_peer_that_reads_nothing_is_bounded() -> None:
    ours, theirs = socket.socketpair()
    link = PlainLink(ours, asyncio.get_running_loop())

    for _ in range(40):
        link.write(bytes(1024 * 1024))
        assert len(link._unsent) <= MAX_UNSENT_BYTES
    theirs.send(b"still heard")

    assert link.read() == b"still heard"
    link.close()
    theirs.close()


async def test_what_waited_costs_nothing_more_when_it_has_been_read() -> None:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    far.setblocking(False)
    link = PlainLink(near, loop)
    with far:
        link.write(bytes(8_000_000))
        while link.unsent:
            await loop.sock_recv(far, 1_000_000)
        was_watched = loop.remove_writer(near)
        link.close()

    assert not was_watched
