"""What one command tells a live call, and how it knows that it was passed on, or that a mark was reached."""

import asyncio
from dataclasses import dataclass

from listenctl.client.attachment import Attachment
from listenctl.errors import ListenctlError, NotFoundError
from listenctl.protocol.attached import ControlType, ServerWord
from listenctl.protocol.commands import MarkCommand
from listenctl.protocol.messages import Mark, parse_texts


async def deliver(attachment: Attachment, text: str, *, ends_call: bool = False) -> None:
    """
    Send a command, and wait until the server has passed it on to jambonz.

    Args:
        ends_call: the command ends the call, perhaps before the server can say that it was passed on.

    Raises:
        NotFoundError: the call ended before that.
        ListenctlError: the server refused it, and says why.
    """
    await _send(attachment, text)
    try:
        while not _is_passed_on(await attachment.receive()):
            pass
    except NotFoundError:
        if not (ends_call and attachment.ended):
            raise


@dataclass(frozen=True, slots=True)
class MarkResult:
    """The answer to a mark, ``playout`` or ``cleared``, and the seconds that it took."""

    event: str
    seconds: float


async def wait_for_mark(attachment: Attachment, name: str) -> MarkResult:
    """
    Set a mark and return what becomes of it.

    Raises:
        NotFoundError: the call ended before that.
        ListenctlError: the server refused the mark, and says why.
    """
    now = asyncio.get_running_loop().time
    begin = now()
    await _send(attachment, MarkCommand(name).serialize())
    while True:
        message = await attachment.receive()
        if isinstance(message, bytes) or _is_passed_on(message):
            continue
        for answer in parse_texts(message.encode()):
            if isinstance(answer, Mark) and answer.name == name:
                return MarkResult(answer.event, now() - begin)


async def _send(attachment: Attachment, text: str) -> None:
    await attachment.send(text)
    await attachment.send(ControlType.SYNC.serialize())


def _is_passed_on(message: str | bytes) -> bool:
    """Tell whether the server has passed on what was sent before."""
    word = ServerWord.parse(message)
    if word is not None and word.complaint:
        raise ListenctlError(word.complaint)
    return word is not None and word.type is ControlType.SYNCED
