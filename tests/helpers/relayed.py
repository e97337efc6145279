"""A relay under test between a client and an application on real sockets, both of which say just what a test wants."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from listenctl.net.call_target import CallTarget
from listenctl.net.websocket_url import parse_websocket_url
from listenctl.server.upstream import RelayTarget
from tests.helpers.frames import HANDSHAKE
from tests.helpers.scripted_server import accept, serving
from tests.helpers.server import Running, faster, running
from tests.helpers.wire_frames import FrameCutter, WireFrame

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
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()


Script = Callable[[Side], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Relayed:
    """A relay, and the application's requests."""

    run: Running
    requests: list[bytes]
    url: str


@asynccontextmanager
async def relaying(
    script: Script,
    *,
    headers: bytes = b"Sec-WebSocket-Protocol: audio.jambonz.org\r\n",
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
    requests: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        requests.append(request)
        key = re.search(rb"Sec-WebSocket-Key: (.*)\r\n", request)
        assert key
        writer.write(accept(key[1], headers))
        await script(Side(request, reader, writer))

    async with answering(take, path=path, tls=tls, **changes) as (run, url):
        yield Relayed(run, requests, url)


@asynccontextmanager
async def answering(
    script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
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


def asking(*lines: bytes, target: bytes = b"/calls?x=1") -> bytes:
    """Return a client's request with more header lines, as jambonz puts them behind the others."""
    head = HANDSHAKE.removesuffix(b"\r\n").replace(b"/calls?x=1", target)
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
