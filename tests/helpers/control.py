"""Both ends of the control socket: tools that talk to a server under test, and a server that a command talks to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from listenctl.protocol.call_sharing.shared_call import SharedCall
from listenctl.protocol.call_sharing.sharing_actions import RefuseTool, TextToEveryone, TextToJambonz, TextToTool
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from tests.helpers.frames import text
from tests.helpers.server import LIMIT, Event, Peer, Running, faster, running, until


@dataclass(frozen=True, slots=True)
class Tool:
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

    async def end(self) -> tuple[list[str | bytes], Close]:
        """Return all that still comes and the Close behind it, which must come."""
        messages = []
        with suppress(ConnectionClosed):
            while True:
                messages.append(await self.connection.recv())
        close = self.connection.protocol.close_rcvd
        assert close is not None
        return messages, close


@dataclass(frozen=True, slots=True)
class Controlled:
    run: Running
    socket: Path

    @asynccontextmanager
    async def open(self, target: str, *, max_queue: int = 16) -> AsyncIterator[Tool]:
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
    async def attach(self, *, audio: bool = False) -> AsyncIterator[Tool]:
        """Attach to the latest call; its metadata has been read."""
        async with self.open(f"/calls/@latest{'?audio=1' * audio}") as tool:
            await tool.text()
            yield tool

    async def place_call(self, call: str, *, rate: int = 8000, mix: str = "mono") -> Peer:
        """Place a call and wait until it is live."""
        number = len(self.run.events.of("call-started"))
        peer = await self.run.call(text(json.dumps({"callSid": call, "sampleRate": rate, "mixType": mix})))
        await self.run.events.wait_for("call-started", number + 1)
        return peer

    async def wait_for_tools(self, number: int = 1) -> None:
        """Wait until there are so many calls and each has a tool."""
        await until(lambda: [len(call.tools or ()) for call in self.run.server.live] == [1] * number)

    async def get(self, target: str) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return int(head.split()[1]), body

    async def list_calls(self) -> list[Event]:
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


METADATA = '{"sampleRate":8000,"mixType":"mono","callSid":"7f1c9a52-aaaa"}'
SERVER = {"url": "ws://127.0.0.1:3000/", "pid": 7, "name": "default", "recording": False}

Jambonz = Callable[[str], list[str]]
"""Answers a text as jambonz would."""


def live_call(call: str = "7f1c9a52-aaaa", **changes: object) -> dict[str, Any]:
    return {
        "call": call,
        "call_sid": call,
        "started": "2026-11-20T22:33:44.567Z",
        "duration": 83.4,
        "from": "15083084809",
        "to": "15084901000",
        "direction": "inbound",
        "sample_rate": 8000,
        "channels": 1,
        "mix_type": "mono",
        "remote": "127.0.0.1:5",
        "target": "/",
        "recording": None,
        "digits": "",
        "gap_seconds": 0.0,
        "unwritten_seconds": 0.0,
        "attached": 0,
        "stream_rate": None,
    } | changes


@dataclass(slots=True)
class FakeControl:
    """
    What the server has, and what it was told.

    Attributes:
        refusals: what is answered instead of attaching to a call, by its name.
        end_at: the ``type`` of the command at which the call ends.
        close: code and reason of the Close at the end of a call.
        events: sent to whoever follows, who is then let go.
    """

    path: Path
    calls: list[dict[str, Any]] = field(default_factory=list)
    listing: bytes | None = None
    refusals: Mapping[str, tuple[HTTPStatus, str]] = field(default_factory=dict)
    jambonz: Jambonz = lambda _: []
    end_at: str | None = None
    silent: bool = False
    close: tuple[int, str] = (1000, "call ended")
    events: list[dict[str, Any]] = field(default_factory=list)
    hold_events: bool = False
    targets: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    audio: bytes = b""
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    connections: list[ServerConnection] = field(default_factory=list)

    def abort(self) -> None:
        """End every connection without a word, as a server that is killed."""
        for connection in self.connections:
            connection.transport.abort()

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        self.targets.append(request.path)
        if request.path == "/calls":
            body = self.listing or json.dumps({"v": 1, "server": SERVER, "calls": self.calls}).encode()
            return connection.respond(HTTPStatus.OK, body.decode())
        refusal = self.refusals.get(unquote(request.path.removeprefix("/calls/")))
        return connection.respond(*refusal) if refusal else None

    async def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.connections.append(connection)
        if connection.request.path == "/events":
            for event in self.events:
                await connection.send(json.dumps(event))
            if self.hold_events:
                await connection.wait_closed()
            return
        await connection.send(METADATA)
        if "audio=1" in connection.request.path:
            await connection.send(b"\1\0\2\0")
        with suppress(ConnectionClosed):
            await self._converse(connection)

    async def _converse(self, connection: ServerConnection) -> None:
        shared = SharedCall()
        tool = shared.attach_tool()
        async for message in connection:
            raw = (
                TextMessage(message.encode()) if isinstance(message, str) else BinaryMessages(message, len(message), 1)
            )
            self.heard.set()
            if self.silent:
                continue
            for action in shared.take_tool_message(tool, raw):
                if isinstance(action, TextToJambonz):
                    text = action.text.decode()
                    self.sent.append(text)
                    if self.end_at is not None and f'"{self.end_at}"' in text:
                        await connection.close(*self.close)
                        return
                    for answer in self.jambonz(text):
                        for returned in shared.take_jambonz_text(answer.encode()):
                            assert isinstance(returned, TextToTool | TextToEveryone)
                            await connection.send(returned.text.decode())
                elif isinstance(action, TextToTool):
                    await connection.send(action.text.decode())
                elif isinstance(action, RefuseTool):
                    await connection.send(action.refusal.serialize())
                else:
                    self.audio += getattr(action, "data", b"")


@asynccontextmanager
async def fake_control(folder: Path, **behaviour: Any) -> AsyncIterator[FakeControl]:
    """Serve on the socket of the server `default`, as a command finds it with ``folder`` as XDG_RUNTIME_DIR."""
    path = folder / "listenctl" / "default.sock"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    control = FakeControl(path, **behaviour)
    async with asyncio.timeout(LIMIT), unix_serve(control.serve, path, process_request=control.check):
        yield control


def mark_answer(event: str) -> Jambonz:
    """Return a jambonz that answers every mark at once, in its own form."""

    def answer(text: str) -> list[str]:
        value = json.loads(text)
        if value["type"] != "mark":
            return []
        return [f'{{"type": "mark", "data": {{"name":"{value["data"]["name"]}", "event": "{event}"}}}}']

    return answer
