"""
The control socket of a running server: which calls are live, what happens, and a way into each call.

It is HTTP and WebSocket on a Unix socket, as `listenctl-control(5)` writes down.
"""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from listenctl.errors import ListenctlError, NotFoundError, RefusedError
from listenctl.live_client.attached_call import AttachedCall, close_error
from listenctl.net.runtime_folder import DEFAULT_NAME
from listenctl.net.unix_http import get_over_unix_socket
from listenctl.protocol.opening_handshake import JAMBONZ_SUBPROTOCOL

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

Listing = dict[str, Any]
Report = dict[str, Any]

PATIENCE = 10.0
"""Seconds to wait for a server to answer; it has other things to do, but none that takes long."""

_MAX_MESSAGE = 64 * 1024 * 1024
_MAX_REASON = 4096


def list_calls(path: Path, *, patience: float = PATIENCE) -> Listing:
    """
    Return what the server at ``path`` says of itself (``server``) and its live calls (``calls``), oldest first.

    It blocks, for ``patience`` seconds at most.

    Raises:
        NotFoundError: no server is running there.
        RefusedError: it doesn't answer, or what answers is no server of ours.
    """
    try:
        status, body = get_over_unix_socket(path, "/calls", patience=patience)
    except (OSError, http.client.HTTPException) as exc:
        raise _unreachable(path, exc) from exc
    listing = _read_listing(body)
    if status != http.client.OK or listing is None:
        raise RefusedError(f"{path}: is no control socket of listenctl; it answers {status}")
    return listing


@asynccontextmanager
async def attach_to_call(
    path: Path, call: str, *, audio: bool = False, patience: float = PATIENCE
) -> AsyncIterator[AttachedCall]:
    """
    Take part in a live call, until the block is left.

    Args:
        call: its id or callSid, a unique prefix, or ``@latest``.
        audio: have the call's audio as well.
        patience: seconds for the server to answer, if they are fewer than usual.

    Raises:
        NotFoundError: no server is running there, or no one live call is meant by ``call``.
        RefusedError: the server doesn't answer.
    """
    resource = f"/calls/{quote(call, safe='')}{'?audio=1' if audio else ''}"
    async with _connected(path, resource, patience) as connection:
        attachment = AttachedCall(connection)
        try:
            async with asyncio.timeout(min(patience, PATIENCE)):
                await attachment.read_metadata()
        except TimeoutError as exc:
            raise _unreachable(path, exc) from exc
        yield attachment


@asynccontextmanager
async def follow_events(path: Path, *, patience: float = PATIENCE) -> AsyncIterator[AsyncIterator[Report]]:
    """
    Give every event of the server from now on, until it ends.

    Args:
        patience: seconds for the server to answer, if they are fewer than usual.

    Raises:
        NotFoundError: no server is running there.
        RefusedError: the server doesn't answer, or sends what is no event.
        LetGo: the server let us go because we were too slow.
        ListenctlError: it is gone.
    """
    async with _connected(path, "/events", patience) as connection:
        yield _reports(path, connection)


async def _reports(path: Path, connection: "ClientConnection") -> AsyncIterator[Report]:
    from websockets.exceptions import ConnectionClosed

    while True:
        try:
            message = await connection.recv()
        except ConnectionClosed as exc:
            if (wrong := close_error(exc)) is not None:
                raise wrong from exc
            return
        report = _read_object(message)
        if report is None or not {"event", "ts", "call"} <= report.keys():
            raise RefusedError(f"{path}: is no control socket of listenctl; what it sends are no events")
        yield report


@asynccontextmanager
async def _connected(path: Path, resource: str, patience: float) -> AsyncIterator["ClientConnection"]:
    from websockets.asyncio.client import unix_connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus

    try:
        connection = await unix_connect(
            path,
            f"ws://localhost{resource}",
            subprotocols=[_subprotocol()],
            compression=None,
            # A tool may be busy with a pipe or a terminal for long, and a server that dies closes the socket.
            ping_interval=None,
            open_timeout=min(patience, PATIENCE),
            close_timeout=1,
            max_size=_MAX_MESSAGE,
        )
    except InvalidStatus as exc:
        raise _refusal(path, exc.response.status_code, exc.response.body or b"") from exc
    except (OSError, InvalidHandshake, EOFError) as exc:
        raise _unreachable(path, exc) from exc
    async with connection:
        yield connection


def _subprotocol() -> Any:
    from websockets.typing import Subprotocol

    return Subprotocol(JAMBONZ_SUBPROTOCOL)


def _read_listing(body: bytes) -> Listing | None:
    listing = _read_object(body)
    if listing is None or not isinstance(listing.get("calls"), list) or not isinstance(listing.get("server"), dict):
        return None
    return listing if all(isinstance(call, dict) for call in listing["calls"]) else None


def _read_object(text: str | bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _unreachable(path: Path, exc: Exception) -> ListenctlError:
    match exc:
        case FileNotFoundError() | ConnectionRefusedError():
            name = "" if path.stem == DEFAULT_NAME else f" --name {path.stem}"
            return NotFoundError(
                f"no server named {path.stem} is running: there is none at {path}; "
                f"start one with `listenctl serve{name}`, or give --name"
            )
        case TimeoutError():
            return RefusedError(f"{path}: the server doesn't answer")
        case PermissionError():
            return RefusedError(f"{path}: belongs to another user; run the command as the user of the server")
        case OSError():
            return RefusedError(f"{path}: can't be reached: {exc.strerror or exc}")
    return RefusedError(f"{path}: is no control socket of listenctl: {exc}")


def _refusal(path: Path, status: int, body: bytes | bytearray) -> ListenctlError:
    """Return the server's own words for why there is no such call."""
    head, *candidates = body[:_MAX_REASON].decode(errors="replace").strip().splitlines() or [""]
    text = f"{head} {', '.join(candidates)}".strip()
    if status in (http.client.NOT_FOUND, http.client.CONFLICT) and text:
        return NotFoundError(text)
    return RefusedError(f"{path}: the server answers {status}{f': {text}' if text else ''}")
