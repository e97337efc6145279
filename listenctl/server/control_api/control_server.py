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
from listenctl.protocol.call_sharing.stream_rate import metadata_stream_rate
from listenctl.protocol.call_sharing.tool_messages import MAX_TOOL_MESSAGE
from listenctl.protocol.find_named_call import find_named_calls
from listenctl.protocol.jambonz_messages import Dtmf
from listenctl.protocol.listen_session import MessageReceived, ProtocolViolation
from listenctl.protocol.opening_handshake import SUBPROTOCOLS
from listenctl.server.calls.live_call import LiveCall
from listenctl.server.calls.live_call_log import LiveCallLog
from listenctl.server.control_api.attached_tools import CALL_ENDED
from listenctl.server.control_api.tool_sender import CLOSE_TIMEOUT, MAX_WAITING, ToolSender, ToolWebSocket
from listenctl.server.handshake_refusal import HandshakeRefusal

if TYPE_CHECKING:
    from listenctl.server.server import ListenServer

OPEN_TIMEOUT = 2.0
"""Seconds for the opening handshake of a tool."""
_MAX_SHOWN_NAME = 140
RESOURCES = "there are /calls, /calls/CALL and /events"

logger = logging.getLogger(__name__)
# Ignore clients that leave before the handshake, such as a server that checks whether this one is alive.
logger.addFilter(lambda record: record.msg != "opening handshake failed")


async def serve_control(listening: socket.socket, server: "ListenServer", name: str) -> Server:
    control = ControlServer(server, name)
    return await unix_serve(
        _handle_connection,
        sock=listening,
        process_request=control.route_request,
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
        if path == "/calls":
            return _json(connection, self.list_calls().serialize())
        if path == "/events":
            connection.handle = partial(self._send_events, connection)
            return None
        if not path.startswith("/calls/"):
            return connection.respond(HTTPStatus.NOT_FOUND, f"{RESOURCES}\n")
        found = find_live_call(self._server.live, unquote(path.removeprefix("/calls/")))
        if isinstance(found, HandshakeRefusal):
            return connection.respond(found.status, f"{found.reason}\n")
        audio = parse_qs(query).get("audio", ["0"])[-1] == "1"
        connection.handle = partial(self._attach_tool, connection, found, audio=audio)
        return None

    def list_calls(self) -> CallListing:
        server, now = self._server, self._server.unix_clock()
        listed = ListedServer(url=server.url, pid=os.getpid(), name=self._name, recording=server.recorder is not None)
        calls = [self._list_call(call, call.log, now) for call in server.live if call.log is not None]
        return CallListing(listed, calls)

    def _list_call(self, call: LiveCall, log: LiveCallLog, now: float) -> ListedCall:
        metadata, audio_format, recording = log.metadata, log.audio_format, call.recording
        return ListedCall(
            id=log.id,
            call_sid=metadata.call_sid,
            started=log.started_at,
            duration=max(0.0, now - log.started_at),
            caller=metadata.get_field("from"),
            callee=metadata.get_field("to"),
            direction=metadata.get_field("direction"),
            sample_rate=audio_format.sample_rate,
            channels=audio_format.channels,
            mix_type=metadata.mix_type,
            remote=log.remote,
            target=log.target,
            recording=(recording and recording.path) or None,
            digits="".join(_digits(log)),
            gap_seconds=log.gap_seconds,
            unwritten_seconds=0.0 if recording is None else audio_format.duration_of(recording.unwritten_samples),
            attached=0 if call.tools is None else len(call.tools),
            stream_rate=self._stream_rate(call, log),
        )

    def _stream_rate(self, call: LiveCall, log: LiveCallLog) -> int | None:
        if call.tools is not None:
            return call.tools.stream_rate.hertz
        rate = metadata_stream_rate(log.metadata.fields)
        return self._server.settings.stream_rate if rate is None else rate

    async def _send_events(self, connection: ControlConnection) -> None:
        """Send every event; messages of the tool are ignored."""
        sender = ToolSender(connection, self._server.tasks)

        def show(event: JsonObject) -> None:
            sender.deliver_text(json_line(event).encode())

        self._server.reporter.add_sink(show)
        try:
            async for _ in connection:
                pass
        finally:
            self._server.reporter.remove_sink(show)
            await sender.wait_closed()

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


def find_live_call(live: Sequence[LiveCall], wanted: str) -> LiveCall | HandshakeRefusal:
    """Return the call that ``wanted`` means, or the answer to the tool; a call without an id yet has no name."""
    named = [(call, call.log) for call in live if call.log is not None]
    if not named:
        return HandshakeRefusal(HTTPStatus.NOT_FOUND, "there is no live call")
    found = find_named_calls(named, wanted, lambda one: (one[1].id, one[1].metadata.call_sid))
    if len(found) == 1:
        return found[0][0]
    if not found:
        return HandshakeRefusal(HTTPStatus.NOT_FOUND, f"there is no live call {_printable_name(wanted)}")
    names = "".join(f"\n{_printable_name(log.id)}" for _, log in found)
    return HandshakeRefusal(HTTPStatus.CONFLICT, f"{_printable_name(wanted)} matches {len(found)} live calls:{names}")


def _printable_name(name: str) -> str:
    """Return a name from a peer that stays in its line."""
    return "".join(character if character.isprintable() else "\ufffd" for character in name[:_MAX_SHOWN_NAME])


def _json(connection: ServerConnection, value: JsonObject) -> Response:
    response = connection.respond(HTTPStatus.OK, "")
    response.body = peer_json.encode(value).encode(errors="backslashreplace") + b"\n"
    del response.headers["Content-Type"], response.headers["Content-Length"]
    response.headers["Content-Type"] = "application/json"
    response.headers["Content-Length"] = str(len(response.body))
    return response


def _digits(log: LiveCallLog) -> list[str]:
    messages = (entry.message for entry in log.entries if isinstance(entry, MessageReceived))
    return [message.digit for message in messages if isinstance(message, Dtmf)]
