"""Find the simulated calls of this machine by their sockets, and press their DTMF digits from another process."""

import http.client
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from listenctl.errors import NotFoundError
from listenctl.net.own_sockets import connect_privately
from listenctl.net.unix_http import get_over_unix_socket
from listenctl.simulator.dtmf_requests import DtmfRequest, read_answer
from listenctl.simulator.simulated_call_socket import RESOURCE, SimulatedCallEntry

QUERY_TIMEOUT = 2.0
"""Seconds to wait for a call's description; a stopped process never sends one."""
MAX_CALLS = 1000


def find_simulated_calls(folder: Path) -> list[SimulatedCallEntry]:
    """Return the calls that have a socket in ``folder``, oldest first. This blocks."""
    try:
        paths = sorted(folder.glob("*.sock"))[:MAX_CALLS]
    except OSError:
        return []
    found = [call for path in paths if (call := _query(path)) is not None]
    return sorted(found, key=lambda call: call.started)


async def request_dtmf(call: SimulatedCallEntry, request: DtmfRequest, on_digit: Callable[[], None]) -> bool:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, WebSocketException

    try:
        async with connect(
            f"ws://localhost{RESOURCE}",
            sock=await connect_privately(call.socket),
            compression=None,
            ping_interval=None,
            close_timeout=1,
        ) as connection:
            await connection.send(request.serialize())
            while (passed := read_answer(await connection.recv())) is None:
                on_digit()
            return passed
    except (OSError, EOFError, InvalidHandshake, WebSocketException) as exc:
        raise NotFoundError("the call has ended") from exc


def _query(path: Path) -> SimulatedCallEntry | None:
    try:
        status, body = get_over_unix_socket(path, RESOURCE, patience=QUERY_TIMEOUT)
    except ConnectionRefusedError:
        _remove_dead(path)
        return None
    except (OSError, http.client.HTTPException):
        return None
    return SimulatedCallEntry.parse(path, body) if status == http.client.OK else None


def _remove_dead(path: Path) -> None:
    try:
        os.kill(int(path.stem), 0)
    except ProcessLookupError:
        with suppress(OSError):
            path.unlink()
    except (ValueError, OSError):
        pass
