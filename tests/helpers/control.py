"""Tools on the control socket of a server under test: requests, conversations, and what they hear."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.typing import Subprotocol

from tests.helpers.server import Event, Running, faster, running


@dataclass(frozen=True, slots=True)
class Tool:
    """A client of the control socket."""

    connection: ClientConnection

    async def send(self, *messages: str | bytes) -> None:
        for message in messages:
            await self.connection.send(message)

    async def text(self) -> str:
        """Return the next message, which must be a text."""
        message = await self.connection.recv()
        assert isinstance(message, str)
        return message

    async def json(self) -> Event:
        """Return the object in the next message."""
        value: Event = json.loads(await self.text())
        return value

    async def audio(self, size: int) -> bytes:
        """Return the next ``size`` bytes of audio; texts and other sizes are faults."""
        heard = b""
        while len(heard) < size:
            message = await self.connection.recv()
            assert isinstance(message, bytes), message
            heard += message
        assert len(heard) == size
        return heard

    async def end(self) -> tuple[list[str | bytes], Close | None]:
        """Return all that still comes and the Close behind it."""
        messages = []
        try:
            while True:
                messages.append(await self.connection.recv())
        except ConnectionClosed as exc:
            return messages, exc.rcvd


@dataclass(frozen=True, slots=True)
class Controlled:
    """A server with a control socket."""

    run: Running
    socket: Path

    @asynccontextmanager
    async def open(self, target: str, *, max_queue: int = 16) -> AsyncIterator[Tool]:
        """Open a conversation."""
        subprotocols = [Subprotocol("audio.jambonz.org")]
        async with unix_connect(
            str(self.socket),
            f"ws://localhost{target}",
            subprotocols=subprotocols,
            max_queue=max_queue,
            max_size=None,
            ping_interval=None,
            close_timeout=1,
        ) as connection:
            yield Tool(connection)

    @asynccontextmanager
    async def attach(self, call: str = "@latest", *, audio: bool = False) -> AsyncIterator[Tool]:
        """Attach to a call; its metadata has been read."""
        async with self.open(f"/calls/{quote(call, safe='')}{'?audio=1' * audio}") as tool:
            await tool.text()
            yield tool

    async def get(self, target: str) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return int(head.split()[1]), body

    async def list_calls(self) -> list[Event]:
        """Return the live calls."""
        status, body = await self.get("/calls")
        assert status == 200
        calls: list[Event] = json.loads(body)["calls"]
        return calls


@asynccontextmanager
async def controlled(
    folder: Path, *, record: bool = False, name: str = "default", read_interval: float = 0.02
) -> AsyncIterator[Controlled]:
    """Run a server with its control socket below ``folder``."""
    path = folder / "listenctl" / f"{name}.sock"
    settings = faster(control=path, read_interval=read_interval)
    async with running(settings, record=folder / "recordings" if record else None) as run:
        yield Controlled(run, path)
