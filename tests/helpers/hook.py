"""An application's web server that takes action hooks."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.helpers.scripted_server import serving


@dataclass(slots=True)
class Hook:
    """Where to post to, and what has been posted."""

    url: str = ""
    payloads: list[dict[str, Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        _, _, rest = head.partition("content-length: ")
        self.payloads.append(json.loads(await reader.readexactly(int(rest.split("\r\n")[0]))))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


@asynccontextmanager
async def hooked() -> AsyncIterator[Hook]:
    """Serve an action hook."""
    hook = Hook()
    async with serving(hook.serve) as port:
        hook.url = f"http://127.0.0.1:{port}/done"
        yield hook
