"""The calls that a server lists on its control socket (`listenctl-control(5)`), without asyncio, to start fast."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from listenctl.errors import ListenctlError, NotFoundError, RefusedError
from listenctl.net.own_sockets import ForeignSocketError
from listenctl.net.runtime_folder import DEFAULT_NAME, running_servers

if TYPE_CHECKING:
    from listenctl.call_listing import CallListing

PATIENCE = 10.0
"""Seconds to wait for a server to answer."""


def list_calls(path: Path, *, patience: float = PATIENCE) -> "CallListing":
    """Return what the server at ``path`` says about itself and its calls; blocks ``patience`` seconds at most."""
    # What only attaches to a call starts faster without these.
    from http.client import HTTPException

    from listenctl.net.unix_http import get_over_unix_socket

    try:
        status, body = get_over_unix_socket(path, "/calls", patience=patience)
    except (OSError, HTTPException) as exc:
        raise unreachable_error(path, exc) from exc
    listing = _parse_listing(body)
    if status != HTTPStatus.OK or listing is None:
        raise RefusedError(f"{path}: is not a control socket of listenctl: it answers {status}")
    return listing


def _parse_listing(body: bytes) -> "CallListing | None":
    from listenctl.call_listing import CallListing
    from listenctl.protocol.peer_json import UNBOUNDED, decode

    value, _ = decode(body.decode(errors="replace"), max_items=UNBOUNDED) or (None, 0)
    return CallListing.parse(value)


def read_json_object(text: str | bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def unreachable_error(path: Path, exc: Exception) -> ListenctlError:
    match exc:
        case FileNotFoundError() | ConnectionRefusedError():
            if others := running_servers(path.parent):
                return NotFoundError(
                    f"no server named {path.stem} is running, but {', '.join(others)}; choose one with --name"
                )
            name = "" if path.stem == DEFAULT_NAME else f" --name {path.stem}"
            return NotFoundError(
                f"no server named {path.stem} is running (no socket at {path}); start one with `listenctl serve{name}`"
            )
        case TimeoutError():
            return RefusedError(f"{path}: the server doesn't answer")
        case ForeignSocketError():
            return RefusedError(f"{path}: is not trusted: {exc.strerror}; set XDG_RUNTIME_DIR to a folder of your own")
        case PermissionError():
            return RefusedError(f"{path}: permission denied; run the command as the user who started the server")
        case OSError():
            return RefusedError(f"{path}: can't be reached: {exc.strerror or exc}")
    return RefusedError(f"{path}: is not a control socket of listenctl: {exc}")
