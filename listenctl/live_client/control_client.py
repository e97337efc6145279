"""Client of the control socket of a running server (`listenctl-control(5)`): follow the events, attach to a call."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from listenctl.errors import ListenctlError, NotFoundError, RefusedError
from listenctl.json_lines import ReportedEvent
from listenctl.live_client.attached_call import AttachedCall, close_error
from listenctl.live_client.list_calls import PATIENCE, read_json_object, unreachable_error
from listenctl.net.own_sockets import connect_privately
from listenctl.protocol.opening_handshake import JAMBONZ_SUBPROTOCOL

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_MAX_MESSAGE = 64 * 1024 * 1024
_MAX_REASON = 4096


@asynccontextmanager
async def attach_to_call(
    path: Path, call: str, *, audio: bool = False, patience: float = PATIENCE
) -> AsyncIterator[AttachedCall]:
    """Attach to a call (id, callSid, unique prefix or ``@latest``); the server must answer within ``patience``."""
    resource = f"/calls/{quote(call, safe='')}{'?audio=1' if audio else ''}"
    async with _connected(path, resource, patience) as connection:
        attachment = AttachedCall(connection)
        try:
            async with asyncio.timeout(min(patience, PATIENCE)):
                await attachment.read_metadata()
        except TimeoutError as exc:
            raise unreachable_error(path, exc) from exc
        yield attachment


@asynccontextmanager
async def follow_events(path: Path, *, patience: float = PATIENCE) -> AsyncIterator[AsyncIterator[ReportedEvent]]:
    """Yield every event of the server from now on, until it ends; it must answer within ``patience``."""
    async with _connected(path, "/events", patience) as connection:
        yield _reports(path, connection)


async def _reports(path: Path, connection: "ClientConnection") -> AsyncIterator[ReportedEvent]:
    from websockets.exceptions import ConnectionClosed

    while True:
        try:
            message = await connection.recv()
        except ConnectionClosed as exc:
            if (wrong := close_error(exc)) is not None:
                raise wrong from exc
            return
        report = read_json_object(message)
        if report is None or not {"event", "ts", "call"} <= report.keys():
            raise RefusedError(f"{path}: is not a control socket of listenctl: it sends something other than events")
        yield report


@asynccontextmanager
async def _connected(path: Path, resource: str, patience: float) -> AsyncIterator["ClientConnection"]:
    # Where no server runs, the error needs none of these imports.
    if not os.access(path, os.F_OK):
        raise unreachable_error(path, FileNotFoundError())
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus
    from websockets.typing import Subprotocol

    try:
        connection = await connect(
            f"ws://localhost{resource}",
            sock=await connect_privately(path),
            subprotocols=[Subprotocol(JAMBONZ_SUBPROTOCOL)],
            compression=None,
            # A tool may be busy with a pipe or a terminal for a long time, and a server that dies closes the socket.
            ping_interval=None,
            open_timeout=min(patience, PATIENCE),
            close_timeout=1,
            max_size=_MAX_MESSAGE,
        )
    except InvalidStatus as exc:
        raise _refusal(path, exc.response.status_code, exc.response.body or b"") from exc
    except (OSError, InvalidHandshake, EOFError) as exc:
        raise unreachable_error(path, exc) from exc
    async with connection:
        yield connection


def _refusal(path: Path, status: int, body: bytes | bytearray) -> ListenctlError:
    head, *candidates = body[:_MAX_REASON].decode(errors="replace").strip().splitlines() or [""]
    text = f"{head} {', '.join(candidates)}".strip()
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT) and text:
        return NotFoundError(text)
    return RefusedError(f"{path}: the server answers {status}{f': {text}' if text else ''}")
