"""What waits: for a server that doesn't read, for us while we don't, and in the kernel after a reset."""

import asyncio
import socket
import struct

from websockets.frames import Frame, Opcode

from listenctl.net.client_connection import ConnectionEnd, connect
from listenctl.net.client_socket import Wire
from listenctl.protocol.frames.frame_format import binary_frame
from tests.helpers.frames import PING, TEXT, frame
from tests.helpers.scripted_server import Heard, finish, parse_frames, serving, shake_hands, target

AUDIO = bytes(320)


async def test_a_close_is_read_though_writing_has_failed_before() -> None:
    reset = asyncio.Event()
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        writer.write(b"\x88\x02\x0f\xa0")
        # Closing a socket with unread data resets the connection behind what was said.
        await reader.readexactly(8)
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        reset.set()

    async with serving(script) as port:
        connection = await connect(target(port), heard)
        connection.pause_reading()
        connection.send_audio(b"ab")
        await reset.wait()
        await asyncio.sleep(0)
        for _ in range(3):
            connection.send_audio(AUDIO)
        await connection.wait_closed(10)

    assert heard.ends == [ConnectionEnd("server", 4000)]


async def test_writes_are_as_long_as_those_of_jambonz() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    wire = Wire(here, None, asyncio.get_running_loop())

    wire.write(binary_frame(bytes(1280), b"mask"))
    wire.write(binary_frame(bytes(320), b"mask"))

    assert [len(there.recv(65536)) for _ in range(3)] == [1044, 244, 328]
    wire.close()
    there.close()


async def test_a_slow_server_makes_us_wait_and_gets_everything_in_the_end() -> None:
    read_on = asyncio.Event()
    received: list[bytes] = []
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await read_on.wait()
        received.append(await reader.read())

    async with serving(script) as port:
        connection = await connect(target(port), heard)
        sent = 0
        while not connection.unsent:
            connection.send_audio(bytes(60_000))
            sent += 1
        assert not connection.writable
        read_on.set()
        await heard.until(lambda: heard.writable > 0)
        assert await finish(connection)

    assert parse_frames(received[0]) == [Frame(Opcode.BINARY, bytes(60_000))] * sent + [
        Frame(Opcode.CLOSE, b"\x03\xe8")
    ]
    assert heard.writable == 1


async def test_pings_of_a_server_that_does_not_read_are_answered_once() -> None:
    read_on = asyncio.Event()
    received: list[bytes] = []
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await reader.readexactly(8)
        writer.write(frame(PING, b"hi", mask=None) * 100 + frame(TEXT, b"done", mask=None))
        await read_on.wait()
        received.append(await reader.read())

    async with serving(script) as port:
        connection = await connect(target(port), heard)
        connection.send_audio(b"ab")
        while not connection.unsent:
            connection.send_audio(bytes(60_000))
        await heard.until(lambda: bool(heard.messages))
        read_on.set()
        await finish(connection)

    # A second ping while a pong waits is dropped (protocol.md 1.6).
    assert [one for one in parse_frames(received[0]) if one.opcode is Opcode.PONG] == [Frame(Opcode.PONG, b"hi")]


async def test_what_waits_at_hanging_up_arrives_before_the_close() -> None:
    read_on = asyncio.Event()
    received: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await read_on.wait()
        received.append(await reader.read())

    async with serving(script) as port:
        connection = await connect(target(port), Heard())
        while connection.writable:
            connection.send_audio(bytes(60_000))
        connection.hang_up()
        read_on.set()
        assert await connection.wait_closed(10)

    assert parse_frames(received[0])[-1] == Frame(Opcode.CLOSE, b"\x03\xe8")


async def test_a_connection_that_is_paused_takes_nothing_until_it_goes_on() -> None:
    spoken = asyncio.Event()
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await reader.readexactly(8)
        writer.write(frame(TEXT, b"late", mask=None) + b"\x88\x00")
        await writer.drain()
        spoken.set()

    async with serving(script) as port:
        connection = await connect(target(port), heard)
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
    heard = Heard()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await reader.readexactly(8)
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with serving(script) as port:
        connection = await connect(target(port), heard)
        connection.pause_reading()
        async with asyncio.timeout(10):
            while not connection._wire._broken:
                connection.send_audio(b"ab")
                await asyncio.sleep(0)
        orderly = await connection.wait_closed(10)

    assert not orderly
    assert [end.by for end in heard.ends] == ["nobody"]
