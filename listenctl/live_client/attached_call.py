"""A tool's connection to one live call: the same messages that jambonz and the server exchange."""

from typing import TYPE_CHECKING

from listenctl.errors import CallEndedError, ListenctlError
from listenctl.protocol.call_metadata import CallMetadata

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

_NORMAL, _GOING_AWAY = 1000, 1001


class DroppedByServerError(ListenctlError):
    """The server closed a tool's connection, for example because the tool was too slow; attaching again works."""


def close_error(exc: "ConnectionClosed") -> ListenctlError | None:
    close = exc.rcvd
    if close is None:
        return ListenctlError("the connection to the server broke")
    if close.code in (_NORMAL, _GOING_AWAY):
        return None
    return DroppedByServerError(f"the server closed the connection: {close.reason or close.code}")


class AttachedCall:
    """A connection to a live call: what is sent goes to jambonz, and ``receive`` returns what jambonz sends."""

    def __init__(self, connection: "ClientConnection") -> None:
        self.metadata = CallMetadata.missing()
        self.ended = False  # whether the call has ended normally, or the server with it
        self._connection = connection

    async def read_metadata(self) -> None:
        first = await self.receive()
        self.metadata = CallMetadata.parse(first if isinstance(first, bytes) else first.encode())

    async def send(self, message: str | bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(message)
        except ConnectionClosed as exc:
            raise self._end(exc) from exc

    async def receive(self) -> str | bytes:
        from websockets.exceptions import ConnectionClosed

        try:
            return await self._connection.recv()
        except ConnectionClosed as exc:
            raise self._end(exc) from exc

    def _end(self, exc: "ConnectionClosed") -> ListenctlError:
        error = close_error(exc)
        self.ended = error is None
        return error or CallEndedError("the call has ended")
