import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.frames import Frame, Opcode

from listenctl.net.client_connection import ClientConnection, ConnectionEnd, connect, fresh_mask
from listenctl.net.server_address import client_tls_context
from listenctl.protocol.frames.frame_format import binary_frame
from tests.helpers.frames import BINARY, CONTINUATION, PING, TEXT, frame
from tests.helpers.scripted_server import HeardMessages, Script, finish, parse_frames, serving, shake_hands, target
from tests.helpers.server import reset_connection

pytestmark = pytest.mark.simulated_time

AUDIO = bytes(range(256)) + bytes(64)
BY_SERVER_GONE = ConnectionEnd("server", None, "", "the server closed the connection without a Close")


def said(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """Return a frame as a server sends it."""
    return frame(opcode, payload, fin=fin, rsv=rsv, mask=None)


class Server:
    """Opens a call, says ``pieces``, and keeps all that comes until the end."""

    def __init__(self, *pieces: bytes, behind: bytes = b"", reads: asyncio.Event | None = None) -> None:
        self._pieces = pieces
        self._behind = behind
        self._reads = reads
        self.received = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer, behind=self._behind)
        for piece in self._pieces:
            writer.write(piece)
            await writer.drain()
        if self._reads is not None:
            await self._reads.wait()
        try:
            while data := await reader.read(65536):
                self.received += data
        except ConnectionError:
            self.received += b"RESET"

    def frames(self) -> list[Frame]:
        return parse_frames(self.received)


@asynccontextmanager
async def calling(
    script: Script, heard: HeardMessages, *, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
) -> AsyncIterator[ClientConnection]:
    """Call a server that does what ``script`` says."""
    async with serving(script, tls=tls[0] if tls else None) as port:
        yield await connect(target(port, "wss", tls[1]) if tls else target(port), heard)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take a call and reset it at its first frame."""
    await shake_hands(reader, writer)
    await reader.readexactly(8)
    reset_connection(writer)


async def talk(server: Server, heard: HeardMessages) -> bool:
    """Call, wait until the server has ended the call, and return whether it did so in order."""
    async with calling(server, heard) as connection:
        await heard.until(lambda: bool(heard.ends))
        return await connection.wait_closed(10)


async def test_what_is_sent_arrives_masked_and_whole_and_then_close_and_fin() -> None:
    server, heard = Server(), HeardMessages()

    async with calling(server, heard) as connection:
        connection.send_text(b'{"callSid":"c"}')
        connection.send_audio(AUDIO)
        connection.send_audio(b"")
        connection.send_audio(bytes(70_000))
        connection.send_frames(binary_frame(b"ab", b"\x01\x02\x03\x04"))
        in_order = await finish(connection)

    # The server doesn't answer Close: the stream had an end nevertheless.
    assert server.frames() == [
        Frame(Opcode.TEXT, b'{"callSid":"c"}'),
        Frame(Opcode.BINARY, AUDIO),
        Frame(Opcode.BINARY, b""),
        Frame(Opcode.BINARY, bytes(70_000)),
        Frame(Opcode.BINARY, b"ab"),
        Frame(Opcode.CLOSE, b"\x03\xe8"),
    ]
    assert in_order
    assert heard.ends == [ConnectionEnd("jambonz", 1000)]


async def test_messages_are_handed_up_in_order_from_the_first_byte_behind_the_handshake() -> None:
    pieces = [
        said(TEXT, b'{"type":"killAudio"}') + said(BINARY, AUDIO)[:100],
        said(BINARY, AUDIO)[100:] + said(TEXT, b"\xff\xfe"),
        said(BINARY, b"ab", fin=False) + said(PING, b"hi") + said(CONTINUATION, b"cd"),
        said(BINARY, bytes(9_600_000)),
        frame(0x8, b"\x03\xe8bye", mask=None),
    ]
    server, heard = Server(*pieces, behind=said(TEXT, b"first")), HeardMessages()

    await talk(server, heard)

    assert heard.messages == [
        ("text", b"first", False),
        ("text", b'{"type":"killAudio"}', False),
        ("audio", AUDIO, False),
        ("text", b"\xff\xfe", False),
        ("audio", b"abcd", True),
        ("audio", bytes(9_600_000), False),
    ]
    assert server.frames() == [Frame(Opcode.PONG, b"hi"), Frame(Opcode.CLOSE, b"\x03\xe8bye")]
    assert heard.ends == [ConnectionEnd("server", 1000, "bye")]


async def test_fresh_masks_differ() -> None:
    masks = [fresh_mask() for _ in range(3000)]

    assert {len(mask) for mask in masks} == {4}
    assert len(set(masks)) > 2990


@pytest.mark.parametrize(
    ("frames", "answer", "end"),
    [
        (b"\x88\x05\x03\xe8bye", b"\x03\xe8bye", ConnectionEnd("server", 1000, "bye")),
        (b"\x88\x02\x0f\xa0", b"\x0f\xa0", ConnectionEnd("server", 4000)),
        (b"\x88\x00", b"", ConnectionEnd("server", None)),
        (b"\x88\x01\x03", b"", ConnectionEnd("server", None, "", "the server sent a Close of one byte")),
        (
            b"\x88\x02\x03\xe7",
            b"\x03\xea",
            ConnectionEnd("server", 999, "", "the server sent a Close with the invalid code 999"),
        ),
        (b"\x82\x81abcd!", b"\x03\xea", ConnectionEnd("jambonz", 1002, "", "the server sent a masked frame")),
    ],
    ids=["reason", "own code", "empty", "one byte", "999", "masked"],
)
async def test_a_close_or_a_masked_frame_is_answered_with_close_and_fin(
    frames: bytes, answer: bytes, end: ConnectionEnd
) -> None:
    server, heard = Server(frames), HeardMessages()

    await talk(server, heard)

    assert server.frames() == [Frame(Opcode.CLOSE, answer)]
    assert heard.ends == [end]


async def test_a_faulty_frame_ends_the_connection_without_a_close() -> None:
    server, heard = Server(b"SSH-2.0-OpenSSH_9.2\r\n"), HeardMessages()

    await talk(server, heard)

    assert server.received in (b"", b"RESET")
    assert heard.ends == [ConnectionEnd("jambonz", None, "", "the server sent a frame with reserved bits")]


@pytest.mark.parametrize(
    ("end", "well"),
    [
        (ConnectionEnd("server", 1000), True),
        (ConnectionEnd("server", 1001), True),
        (ConnectionEnd("server", None), True),
        (ConnectionEnd("server", 3000), True),
        (ConnectionEnd("server", 1011, "out of memory"), False),
        (BY_SERVER_GONE, False),
        (ConnectionEnd("jambonz", 1000), True),
        (ConnectionEnd("jambonz", 1002, "", "the server sent a masked frame"), False),
        (ConnectionEnd("nobody", None), False),
    ],
)
def test_a_call_ended_well_unless_with_an_error_or_without_a_close(end: ConnectionEnd, *, well: bool) -> None:
    assert end.ended_well is well


async def test_nothing_is_sent_or_told_after_the_servers_close() -> None:
    server, heard = Server(b"\x88\x02\x03\xe8" + said(TEXT, b"late") + said(PING, b"hi")), HeardMessages()

    async with calling(server, heard) as connection:
        await heard.until(lambda: bool(heard.ends))
        connection.send_text(b"too late")
        connection.hang_up()
        in_order = await connection.wait_closed(10)

    assert server.frames() == [Frame(Opcode.CLOSE, b"\x03\xe8")]
    assert heard.messages == []
    assert heard.ends == [ConnectionEnd("server", 1000)]
    assert in_order


async def test_nothing_is_told_after_hanging_up_and_twice_is_once() -> None:
    received: list[list[Frame]] = []
    heard = HeardMessages()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        received.append(parse_frames(await reader.read()))
        writer.write(said(TEXT, b"late") + b"\x88\x02\x0f\xa0")
        await writer.drain()

    async with calling(script, heard) as connection:
        connection.hang_up(1001)
        assert await finish(connection)

    assert received == [[Frame(Opcode.CLOSE, b"\x03\xe9")]]
    assert heard.messages == []
    assert heard.ends == [ConnectionEnd("jambonz", 1001)]


async def test_a_message_can_make_the_listener_hang_up() -> None:
    class Brief(HeardMessages):
        def on_text(self, data: bytes, *, fragments: Sequence[int]) -> None:
            super().on_text(data, fragments=fragments)
            connection.hang_up()

    server, heard = Server(behind=said(TEXT, b"one") + said(TEXT, b"two")), Brief()

    async with calling(server, heard) as connection:
        await heard.until(lambda: bool(heard.ends))
        await connection.wait_closed(10)

    assert heard.messages == [("text", b"one", False)]
    assert server.frames() == [Frame(Opcode.CLOSE, b"\x03\xe8")]


async def test_a_server_that_ends_without_a_close_is_told_apart_from_a_broken_connection() -> None:
    gone, broken = HeardMessages(), HeardMessages()

    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await writer.drain()

    async with calling(leave, gone) as connection:
        assert await connection.wait_closed(10)
    async with calling(reset, broken) as connection:
        connection.send_audio(b"ab")
        assert not await connection.wait_closed(10)

    assert gone.ends == [BY_SERVER_GONE]
    assert broken.ends == [ConnectionEnd("nobody", None, "", "the connection broke: Connection reset by peer")]


async def test_abort_is_a_reset_without_a_close() -> None:
    server, heard = Server(), HeardMessages()

    async with calling(server, heard) as connection:
        connection.abort()
        connection.abort()
        await connection.wait_closed(10)

    assert server.received == b"RESET"
    assert heard.ends == [ConnectionEnd("jambonz", None, "", "broken off")]


async def test_a_server_that_never_ends_is_left() -> None:
    reads, heard = asyncio.Event(), HeardMessages()

    async with calling(Server(reads=reads), heard) as connection:
        connection.hang_up()
        in_order = await connection.wait_closed(30)
        reads.set()

    assert not in_order
    assert heard.ends == [ConnectionEnd("jambonz", 1000, "", "the server didn't end the connection within 30 s")]


async def test_a_close_is_read_though_writing_has_failed_before() -> None:
    reset = asyncio.Event()
    heard = HeardMessages()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        writer.write(b"\x88\x02\x0f\xa0")
        # Closing a socket with unread data resets the connection behind what was said.
        await reader.readexactly(8)
        reset_connection(writer)
        reset.set()

    async with calling(script, heard) as connection:
        connection.pause_reading()
        connection.send_audio(b"ab")
        await reset.wait()
        await asyncio.sleep(0)
        for _ in range(3):
            connection.send_audio(AUDIO)
        await connection.wait_closed(10)

    assert heard.ends == [ConnectionEnd("server", 4000)]


@pytest.mark.parametrize("waits", [True, False])
async def test_a_slow_server_makes_us_wait_and_gets_everything_before_the_close(waits: bool) -> None:
    reads, heard = asyncio.Event(), HeardMessages()
    server = Server(reads=reads)

    async with calling(server, heard) as connection:
        sent = 0
        while not connection.unsent:
            connection.send_audio(bytes(60_000))
            sent += 1
        assert not connection.writable
        if waits:
            reads.set()
            await heard.until(lambda: heard.writable > 0)
        connection.hang_up()
        reads.set()
        assert await connection.wait_closed(10)

    assert server.frames() == [Frame(Opcode.BINARY, bytes(60_000))] * sent + [Frame(Opcode.CLOSE, b"\x03\xe8")]
    assert heard.writable == waits


async def test_frames_that_may_not_wait_are_not_sent_behind_others() -> None:
    reads = asyncio.Event()
    server = Server(reads=reads)
    audio = binary_frame(bytes(60_000), b"\x01\x02\x03\x04")

    async with calling(server, HeardMessages()) as connection:
        sent = 0
        while (unsent := connection.send_unless_blocked(audio)) is not None:
            sent += 1
            assert unsent == connection.unsent
        assert connection.unsent
        connection.hang_up()
        reads.set()
        assert await connection.wait_closed(10)

    assert server.frames() == [Frame(Opcode.BINARY, bytes(60_000))] * sent + [Frame(Opcode.CLOSE, b"\x03\xe8")]


async def test_pings_of_a_server_that_does_not_read_are_answered_once() -> None:
    reads, heard = asyncio.Event(), HeardMessages()
    server = Server(said(PING, b"hi") * 100 + said(TEXT, b"done"), reads=reads)

    async with calling(server, heard) as connection:
        while not connection.unsent:
            connection.send_audio(bytes(60_000))
        await heard.until(lambda: bool(heard.messages))
        reads.set()
        await finish(connection)

    # A second ping while a pong waits is dropped (listenctl-protocol(7) 1.6).
    assert [one for one in server.frames() if one.opcode is Opcode.PONG] == [Frame(Opcode.PONG, b"hi")]


async def test_a_connection_that_is_paused_takes_nothing_until_it_goes_on() -> None:
    spoken = asyncio.Event()
    heard = HeardMessages()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await reader.readexactly(8)
        writer.write(frame(TEXT, b"late", mask=None) + b"\x88\x00")
        await writer.drain()
        spoken.set()

    async with calling(script, heard) as connection:
        connection.pause_reading()
        connection.send_audio(b"ab")
        await spoken.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        before = len(heard.messages)
        connection.resume_reading()
        await heard.until(lambda: bool(heard.ends))
        await connection.wait_closed(10)

    assert before == 0
    assert heard.messages == [("text", b"late", False)]


async def test_a_reset_that_a_write_meets_first_is_still_a_reset() -> None:
    heard = HeardMessages()

    async with calling(reset, heard) as connection:
        connection.pause_reading()
        async with asyncio.timeout(10):
            while not connection._socket._broken:
                connection.send_audio(b"ab")
                await asyncio.sleep(0)
        orderly = await connection.wait_closed(10)

    assert not orderly
    assert [end.by for end in heard.ends] == ["nobody"]


@pytest.mark.parametrize("by_server", [False, True])
async def test_a_call_through_tls_is_complete_and_ends_with_close_notify(
    by_server: bool, certificate: Path, serving_tls: ssl.SSLContext
) -> None:
    received: list[bytes] = []
    chosen: list[str | None] = []
    heard = HeardMessages()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer, behind=said(TEXT, b"first"))
        chosen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        writer.write(said(BINARY, bytes(100_000)))
        received.append(await reader.readexactly(50 * 1288))
        if by_server:
            writer.write(b"\x88\x02\x03\xe9")
        # Without close_notify the end of the stream would be an error.
        received.append(await reader.read())

    async with calling(script, heard, tls=(serving_tls, client_tls_context(certificate))) as connection:
        for _ in range(50):
            connection.send_audio(bytes(1280))
        await heard.until(lambda: len(heard.messages) == 2)
        if not by_server:
            connection.hang_up()
        assert await connection.wait_closed(10)

    assert [len(part) for part in received] == [50 * 1288, 8]
    assert chosen == ["http/1.1"]
    assert heard.messages == [("text", b"first", False), ("audio", bytes(100_000), False)]
    assert heard.ends == [ConnectionEnd("server", 1001) if by_server else ConnectionEnd("jambonz", 1000)]
