"""What is needed of a live call by whoever plays to it, be it through a control socket or inside of the server."""

from typing import Protocol

from listenctl.protocol.metadata import CallMetadata


class Conversation(Protocol):
    """
    The conversation that jambonz has with the server, as an attached tool has it (`listenctl-control(5)`).

    Both methods raise ``NotFoundError`` when the call has ended, and ``ListenctlError`` when the server lets us go.
    """

    @property
    def metadata(self) -> CallMetadata:
        """Of the call."""

    async def send(self, message: str | bytes) -> None:
        """Send a text (``str``) or audio (``bytes``)."""

    async def receive(self) -> str | bytes:
        """Return the next text or audio of jambonz, or a text of the server."""
