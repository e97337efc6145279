"""A web server that takes action hooks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from tests.helpers.scripted_server import serving


@dataclass(slots=True)
class HookServer:
    """Answers all requests alike, and keeps the line, headers and body of each."""

    url: str = ""
    status: int = 204
    body: bytes = b""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        self.requests.append((line, headers, await reader.readexactly(int(headers.get("content-length", 0)))))
        head = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\nLocation: /elsewhere\r\n"
        writer.write(f"{head}Content-Length: {len(self.body)}\r\nConnection: close\r\n\r\n".encode() + self.body)


@asynccontextmanager
async def serving_hooks() -> AsyncIterator[HookServer]:
    server = HookServer()
    async with serving(server.serve) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server
