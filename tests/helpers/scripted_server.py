"""Applications under test: servers that say just what a test wants or what a capture holds, alone or behind a relay."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from listenctl.net.client_connection import ClientConnection, ConnectionEnd
from listenctl.net.server_address import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.server.upstream import RelayTarget
from tests.helpers.capture import client_stream
from tests.helpers.frames import FrameCutter, WireFrame
from tests.helpers.server import LIMIT, Running, faster, running

ECHOED = b"Sec-WebSocket-Protocol: audio.jambonz.org\r\n"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class HeardMessages:
    """A listener; whoever waits is woken by every call."""

    messages: list[tuple[str, bytes, bool]] = field(default_factory=list)
    ends: list[ConnectionEnd] = field(default_factory=list)
    writable: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_text(self, data: bytes, *, fragments: Sequence[int]) -> None:
        self.messages.append(("text", data, bool(fragments)))
        self._changed.set()

    def on_audio(self, data: bytes, *, fragments: Sequence[int]) -> None:
        self.messages.append(("audio", data, bool(fragments)))
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
async def serving(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", socket_path: Path | None = None
) -> AsyncIterator[int]:
    """
    Serve every connection by ``script``, and give the port; an exception in a callback fails the test.

    The scripts must be done before this ends. On a Unix socket, the port is 0.
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

    if socket_path is None:
        server = await asyncio.start_server(accepted, host, 0, ssl=tls)
    else:
        server = await asyncio.start_unix_server(accepted, socket_path, ssl=tls)
    async with asyncio.timeout(LIMIT), server:
        yield 0 if socket_path else server.sockets[0].getsockname()[1]
        await asyncio.gather(*scripts)
    assert surprises == []


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
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


TEXT, AUDIO, CLOSE = 0x81, 0x82, 0x88


@dataclass(slots=True)
class Side:
    """The application's end of one connection: what it is told, and what it says."""

    request: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: list[WireFrame] = field(default_factory=list)
    _cutter: FrameCutter = field(default_factory=FrameCutter)

    async def read_frames(self, number: int) -> list[WireFrame]:
        """Return the first ``number`` frames that the relay has sent."""
        while len(self.frames) < number:
            data = await self.reader.read(65_536)
            assert data, f"the relay ended the connection after {len(self.frames)} frames"
            self.frames += self._cutter.feed(data)
        return self.frames[:number]

    async def read_to_end(self) -> list[WireFrame]:
        """Return all frames, when the relay has ended the connection."""
        while data := await self.reader.read(65_536):
            self.frames += self._cutter.feed(data)
        return self.frames

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


SideScript = Callable[[Side], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Relayed:
    """A relay, and the connections that the application has taken."""

    run: Running
    url: str
    sides: list[Side]

    @property
    def side(self) -> Side:
        (side,) = self.sides
        return side


@asynccontextmanager
async def relaying(
    script: SideScript = Side.read_to_end,
    *,
    headers: bytes = ECHOED,
    path: str = "",
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    **changes: Any,
) -> AsyncIterator[Relayed]:
    """
    Relay to an application that takes each call and does what ``script`` says.

    Args:
        headers: of its answer.
        tls: the contexts of the application and of the relay.
    """
    sides: list[Side] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, key = await read_request(reader)
        writer.write(accept(key, headers))
        sides.append(Side(request, reader, writer))
        await script(sides[-1])

    async with answering(take, path=path, tls=tls, **changes) as (run, url):
        yield Relayed(run, url, sides)


@asynccontextmanager
async def answering(
    script: Script,
    *,
    path: str = "",
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    deadline: float = 10.0,
    record: Path | None = None,
    **changes: Any,
) -> AsyncIterator[tuple[Running, str]]:
    """Relay to an application that answers even the request as ``script`` says."""
    async with serving(script, tls=tls[0] if tls else None) as port:
        url = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}{path}"
        application = RelayTarget(
            CallTarget(address=parse_websocket_url(url), tls=tls[1] if tls else None, deadline=deadline)
        )
        async with running(faster(upstream=application, **changes), record=record) as run:
            yield run, url


CLOSED = b"\x88\x02\x03\xe8"


def recorded_frames(name: str) -> list[WireFrame]:
    """Return what the client of a capture sent, with seconds from the first of it."""
    _, *stream = client_stream(name)
    began_at = stream[0][0]
    cutter = FrameCutter()
    frames = [frame for time, data in stream for frame in cutter.feed(data, time - began_at)]
    assert cutter.rest == b""
    return frames
