"""Put the client side of a connection onto a real socket, as fast as it goes."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable, Iterator

Cut = Callable[[bytes], Iterator[bytes]]

END_OF_HEAD = b"\r\n\r\n"
PIECES = (1, 2, 7, 125, 1043, 16_384, 65_536)


async def replay(host: str, port: int, stream: bytes, *, cut: Cut, tls: ssl.SSLContext | None = None) -> bytes:
    """
    Send ``stream``, handshake request first, and return everything that the server sent until it closed.

    What follows the request goes out once the server has answered it with 101, and not at all after another answer.
    """
    head = stream.index(END_OF_HEAD) + len(END_OF_HEAD)
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        await _send(writer, cut(stream[:head]))
        answer = await _read_head(reader)
        if not answer.startswith(b"HTTP/1.1 101 "):
            return answer + await _read_to_end(reader)

        async with asyncio.TaskGroup() as group:
            # Reads meanwhile, so that a server that answers at length never waits for us.
            rest = group.create_task(_read_to_end(reader))
            await _send(writer, cut(stream[head:]))
        return answer + rest.result()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def whole(stream: bytes) -> Iterator[bytes]:
    """Cut nothing: one write for all."""
    yield stream


def odd_pieces(seed: int) -> Cut:
    """Return a cut into pieces of ``PIECES`` bytes in an order that ``seed`` decides."""

    def cut(stream: bytes) -> Iterator[bytes]:
        chance = random.Random(seed)
        at = 0
        while at < len(stream):
            size = chance.choice(PIECES)
            yield stream[at : at + size]
            at += size

    return cut


async def _send(writer: asyncio.StreamWriter, pieces: Iterator[bytes]) -> None:
    # A server that gave up has said why in what it sent; that is what the caller gets.
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            # Let a server in the same event loop read, or it would get all pieces as one.
            await asyncio.sleep(0)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(END_OF_HEAD)
    except asyncio.IncompleteReadError as exc:
        return exc.partial


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            received += data
    return bytes(received)
