"""A control server that says just what a test wants, with the real sharing of a call behind it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from listenctl.protocol.call_sharing.shared_call import SharedCall
from listenctl.protocol.call_sharing.sharing_actions import RefuseTool, TextToEveryone, TextToJambonz, TextToTool
from listenctl.protocol.frames.websocket_messages import BinaryMessages, TextMessage
from tests.helpers.server import LIMIT

METADATA = '{"sampleRate":8000,"mixType":"mono","callSid":"7f1c9a52-aaaa"}'
SERVER = {"url": "ws://127.0.0.1:3000/", "pid": 7, "name": "default", "recording": False}

Jambonz = Callable[[str], list[str]]
"""Answers a text as jambonz would."""


def live_call(call: str = "7f1c9a52-aaaa", **changes: object) -> dict[str, Any]:
    """Return a call as it is listed."""
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
        "attached": 0,
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
