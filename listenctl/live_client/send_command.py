"""Send a command to a live call and confirm that jambonz got it."""

from typing import TYPE_CHECKING

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.live_client.attached_call import AttachedCall
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ServerNotice, Synced, ToolMessageType

if TYPE_CHECKING:
    from listenctl.play_to_call.call_messages import ToolConnection


async def send_command(attachment: AttachedCall, text: str, *, ends_call: bool = False) -> None:
    """Send a command and wait until the server has passed it on; one that ``ends_call`` may get no confirmation."""
    await send_and_sync(attachment, text)
    try:
        while parse_synced(await attachment.receive()) is None:
            pass
    except NotFoundError:
        if not (ends_call and attachment.ended):
            raise


async def send_and_sync(connection: "ToolConnection", text: str) -> None:
    """Send a command, and ask the server to say when it has passed it on."""
    await connection.send(text)
    await connection.send(ToolMessageType.SYNC.serialize())


def parse_synced(message: str | bytes) -> Synced | None:
    """Return the state at which the server has passed on everything sent before; raise what it refused."""
    notice = ServerNotice.parse(message)
    if notice is None:
        return None
    if notice.error_detail:
        ending = notice.data.get("reason") == RefusalReason.CALL_ENDING
        raise (NotFoundError if ending else ListenctlError)(notice.error_detail)
    return Synced.parse(notice.data) if notice.type is ToolMessageType.SYNCED else None
