"""One live call as an attached tool has it: the conversation that jambonz has with the server."""

from typing import TYPE_CHECKING

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.protocol.call_metadata import CallMetadata

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

_NORMAL, _GOING_AWAY = 1000, 1001


class DroppedByServer(ListenctlError):
    """The server ended a conversation of which it had enough, as with a tool that is too slow; it takes another one."""


def close_error(exc: "ConnectionClosed") -> ListenctlError | None:
    """Return why the server ended a conversation, None if it did so in order."""
    close = exc.rcvd
    if close is None:
        return ListenctlError("the server went away")
    if close.code in (_NORMAL, _GOING_AWAY):
        return None
    return DroppedByServer(f"the server let us go: {close.reason or close.code}")


class AttachedCall:
    """
    Talk to a live call; what is sent goes to jambonz, what jambonz sends comes from ``receive``.

    Attributes:
        metadata: of the call.
        ended: whether the call has ended, or the server with it, in order.
    """

    def __init__(self, connection: "ClientConnection") -> None:
        self.metadata = CallMetadata.missing()
        self.ended = False
        self._connection = connection

    async def read_metadata(self) -> None:
        """Take the metadata, which come first."""
        first = await self.receive()
        self.metadata = CallMetadata.parse(first if isinstance(first, bytes) else first.encode())

    async def send(self, message: str | bytes) -> None:
        """
        Send a text (``str``) or audio (``bytes``), as soon as the server takes it.

        Raises:
            NotFoundError: the call has ended.
            ListenctlError: the server let us go, or is gone.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(message)
        except ConnectionClosed as exc:
            raise self._end(exc) from exc

    async def receive(self) -> str | bytes:
        """
        Return the next text (``str``) or audio (``bytes``) of the call, or what the server says of itself.

        Raises:
            NotFoundError: the call has ended.
            LetGo: the server let us go, as when we are too slow.
            ListenctlError: it is gone.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            return await self._connection.recv()
        except ConnectionClosed as exc:
            raise self._end(exc) from exc

    def _end(self, exc: "ConnectionClosed") -> ListenctlError:
        wrong = close_error(exc)
        self.ended = wrong is None
        return wrong or NotFoundError("the call has ended")
