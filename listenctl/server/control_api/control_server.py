"""Answers on the control socket (`listenctl-control(5)`): the live calls, the events, and connections to each call."""

import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from websockets.asyncio.server import Server, ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from listenctl.call_listing import CallListing, ListedCall, ListedServer
from listenctl.json_lines import JsonObject, json_line
from listenctl.net.client_connection import FLOOD
from listenctl.protocol import peer_json
from listenctl.protocol.call_sharing.tool_messages import MAX_TOOL_MESSAGE
from listenctl.protocol.listen_session import ProtocolViolation
from listenctl.protocol.opening_handshake import SUBPROTOCOLS
from listenctl.server.calls.live_call import LiveCall
from listenctl.server.control_api.attached_tools import CALL_ENDED
from listenctl.server.control_api.control_socket import ControlOwner
from listenctl.server.control_api.find_live_call import find_live_call
from listenctl.server.control_api.list_live_calls import list_live_calls
from listenctl.server.control_api.tool_sender import CLOSE_TIMEOUT, MAX_WAITING, ToolSender, ToolWebSocket
from listenctl.server.handshake_refusal import HandshakeRefusal

if TYPE_CHECKING:
    from listenctl.server.server import ListenServer

OPEN_TIMEOUT = 2.0
"""Seconds for the opening handshake of a tool."""
RESOURCES = "there are /calls, /calls/CALL and /events"

logger = logging.getLogger(__name__)
# Ignore clients that leave before the handshake, such as a server that checks whether this one is alive.
logger.addFilter(lambda record: record.msg != "opening handshake failed")


RouteRequest = Callable[[ServerConnection, Request], Awaitable[Response | None] | Response | None]


async def serve_control(listening: socket.socket, route_request: RouteRequest) -> Server:
    """Serve the tools that arrive at a socket; ``route_request`` answers each request, or sets ``handle``."""
    return await unix_serve(
        _handle_connection,
        sock=listening,
        process_request=route_request,
        select_subprotocol=_select_subprotocol,
        create_connection=ControlConnection,
        compression=None,
        max_size=MAX_TOOL_MESSAGE,
        open_timeout=OPEN_TIMEOUT,
        close_timeout=CLOSE_TIMEOUT,
        # A dead client closes its end; one that is only stopped may continue.
        ping_interval=None,
        write_limit=(MAX_WAITING, MAX_WAITING // 4),
        logger=logger,
    )


class ControlConnection(ToolWebSocket):
    """A connection to the control socket, and what it was opened for."""

    handle: Callable[[], Awaitable[None]]


async def _handle_connection(connection: ServerConnection) -> None:
    assert isinstance(connection, ControlConnection)
    with suppress(ConnectionClosed):
        await connection.handle()


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return next((name for name in offered if name in SUBPROTOCOLS), None)


class ControlServer:
    def __init__(self, server: "ListenServer", name: str) -> None:
        self._server = server
        self._name = name

    def route_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain request, or choose the handler of a WebSocket connection."""
        assert isinstance(connection, ControlConnection)
        path, _, query = request.path.partition("?")
        server = self._server
        if path == "/calls":
            return answer_calls(connection, self._name, server, list_live_calls(server))
        if path == "/events":
            connection.handle = partial(send_events, connection, server)
            return None
        if not path.startswith("/calls/"):
            return connection.respond(HTTPStatus.NOT_FOUND, f"{RESOURCES}\n")
        # The parent of a worker has chosen the call already, from those of all workers.
        wanted = connection.remote_address or unquote(path.removeprefix("/calls/"))
        named = [(call, call.log.id, call.log.metadata.call_sid) for call in server.live if call.log is not None]
        found = find_live_call(named, wanted)
        if isinstance(found, HandshakeRefusal):
            return connection.respond(found.status, f"{found.reason}\n")
        audio = parse_qs(query).get("audio", ["0"])[-1] == "1"
        connection.handle = partial(self._attach_tool, connection, found, audio=audio)
        return None

    async def _attach_tool(self, connection: ControlConnection, call: LiveCall, *, audio: bool) -> None:
        sender, tools = ToolSender(connection, self._server.tasks), self._server.tools_of(call)
        metadata = (call.log and call.log.metadata.raw) or b"{}"
        if tools is None:
            sender.deliver_text(metadata)
            sender.close(1000, CALL_ENDED)
            await sender.wait_closed()
            return
        connection.on_flood = partial(_detach_flooding_tool, sender, call)
        number = tools.attach_tool(sender, metadata, audio=audio)
        try:
            async for message in connection:
                await tools.take_tool_message(number, message)
        finally:
            tools.detach_tool(number)
            await sender.wait_closed()


def _detach_flooding_tool(sender: ToolSender, call: LiveCall) -> None:
    detail = f"an attached tool sent {FLOOD}; it is detached"
    call.take_event(ProtocolViolation(call.session.position, "frame-flood", detail))
    sender.close_flood()


async def send_events(connection: ControlConnection, owner: ControlOwner) -> None:
    """Send every event; messages of the tool are ignored."""
    sender = ToolSender(connection, owner.tasks)

    def show(event: JsonObject) -> None:
        sender.deliver_text(json_line(event).encode())

    owner.reporter.add_sink(show)
    try:
        async for _ in connection:
            pass
    finally:
        owner.reporter.remove_sink(show)
        await sender.wait_closed()


def answer_calls(connection: ServerConnection, name: str, owner: ControlOwner, calls: Sequence[ListedCall]) -> Response:
    """Answer with the live calls of the server ``name``."""
    listed = ListedServer(url=owner.url, pid=os.getpid(), name=name, recording=owner.recording)
    response = connection.respond(HTTPStatus.OK, "")
    listing = CallListing(listed, calls).serialize()
    response.body = peer_json.encode(listing).encode(errors="backslashreplace") + b"\n"
    del response.headers["Content-Type"], response.headers["Content-Length"]
    response.headers["Content-Type"] = "application/json"
    response.headers["Content-Length"] = str(len(response.body))
    return response
