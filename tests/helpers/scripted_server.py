"""A server that says just what a test wants, and a listener that keeps what it is told."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from listenctl.net.call_target import CallTarget
from listenctl.net.client_connection import ClientConnection, ConnectionEnd
from listenctl.net.websocket_url import parse_websocket_url

LIMIT = 100
"""Seconds after which a test has failed."""
ECHOED = b"Sec-WebSocket-Protocol: audio.jambonz.org\r\n"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Heard:
    """A listener; whoever waits is woken by every call."""

    messages: list[tuple[str, bytes, bool]] = field(default_factory=list)
    ends: list[ConnectionEnd] = field(default_factory=list)
    writable: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_text(self, data: bytes, *, fragmented: bool) -> None:
        self.messages.append(("text", data, fragmented))
        self._changed.set()

    def on_audio(self, data: bytes, *, fragmented: bool) -> None:
        self.messages.append(("audio", data, fragmented))
        self._changed.set()

    def on_writable(self) -> None:
        self.writable += 1
        self._changed.set()

    def on_end(self, end: ConnectionEnd) -> None:
        self.ends.append(end)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was told makes ``condition`` true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def serving(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """
    Serve every connection by ``script``, and give the port; an exception in a callback fails the test.

    The scripts must be done before this ends.
    """
    scripts: list[asyncio.Task[None]] = []
    surprises: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: surprises.append(context))

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        scripts.append(asyncio.create_task(serve_one(reader, writer)))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
    async with asyncio.timeout(LIMIT), server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*scripts)
    assert surprises == []


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the request and its key."""
    request = await reader.readuntil(b"\r\n\r\n")
    key = re.search(rb"Sec-WebSocket-Key: (.*)\r\n", request)
    assert key
    return request, key[1]


def accept(key: bytes, headers: bytes = ECHOED) -> bytes:
    """Return the answer that opens a call."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (accept_key(key.decode()).encode(), headers)
    )


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, behind: bytes = b"") -> None:
    """Open a call, with ``behind`` in the same write."""
    _, key = await read_request(reader)
    writer.write(accept(key) + behind)


def target(port: int, scheme: str = "ws", tls: ssl.SSLContext | None = None) -> CallTarget:
    """Return how to call the server on ``port``."""
    return CallTarget(address=parse_websocket_url(f"{scheme}://127.0.0.1:{port}/calls?x=1"), tls=tls)


async def finish(connection: ClientConnection) -> bool:
    """Hang up, and return whether the server ended the call in order."""
    connection.hang_up()
    return await connection.wait_closed(10)


def parse_frames(stream: bytes) -> list[Frame]:
    """Return the frames that a server gets; it fails on one that isn't masked."""
    protocol = ServerProtocol(state=State.OPEN)
    protocol.receive_data(stream)
    return [event for event in protocol.events_received() if isinstance(event, Frame)]
