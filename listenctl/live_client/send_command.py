"""What one command tells a live call, and how it knows that it was passed on, or that a mark was reached."""

import asyncio
from dataclasses import dataclass

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.live_client.attached_call import AttachedCall
from listenctl.play_to_call.call_messages import MARK_EARLY, MARK_GRACE, ToolConnection
from listenctl.protocol.application_commands import MarkCommand
from listenctl.protocol.call_sharing.stream_rate import CLIPS
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ServerNotice, Synced, ToolMessageType
from listenctl.protocol.jambonz_messages import Mark, parse_texts


async def send_command(attachment: AttachedCall, text: str, *, ends_call: bool = False) -> None:
    """
    Send a command, and wait until the server has passed it on to jambonz.

    Args:
        ends_call: the command ends the call, perhaps before the server can say that it was passed on.

    Raises:
        NotFoundError: the call ended before that, or is just ending.
        ListenctlError: the server refused it, and says why.
    """
    await _send(attachment, text)
    try:
        while _synced(await attachment.receive()) is None:
            pass
    except NotFoundError:
        if not (ends_call and attachment.ended):
            raise


@dataclass(frozen=True, slots=True)
class MarkResult:
    """
    What became of a mark.

    Attributes:
        event: its answer, ``playout`` or ``cleared``; ``elapsed`` where there is none and the audio before it must
            have been played; ``unanswerable`` where the call is said to take clips, so that none will come.
        seconds: that it took.
        early_by: seconds before the audio can have been played, where the answer can't be trusted (protocol.md 6.4).
    """

    event: str
    seconds: float
    early_by: float | None = None

    @property
    def by(self) -> str | None:
        """Who says so: jambonz with its answer to the ``mark``, or the ``clock``; None if there is nothing to say."""
        if self.event == UNANSWERABLE:
            return None
        return "clock" if self.event == ELAPSED else "mark"


PLAYOUT, ELAPSED, UNANSWERABLE = "playout", "elapsed", "unanswerable"


async def wait_for_mark(conversation: ToolConnection, name: str) -> MarkResult:
    """
    Set a mark and return what becomes of it; where jambonz doesn't answer, the clock decides if it can.

    Raises:
        NotFoundError: the call ended before that, or is just ending.
        ListenctlError: the server refused the mark, and says why.
    """
    now = asyncio.get_running_loop().time
    begin = now()
    end: float | None = None
    await _send(conversation, MarkCommand(name).serialize())
    while True:
        try:
            async with asyncio.timeout_at(None if end is None else end + MARK_GRACE):
                message = await conversation.receive()
        except TimeoutError:
            return MarkResult(ELAPSED, now() - begin)
        if _is_kill(message):
            # Of audio that was streamed over this conversation; whether the mark is cleared, jambonz says.
            continue
        if synced := _synced(message):
            # Who says that it takes clips is wrong where it has answered a mark.
            if synced.stream_rate == CLIPS and not synced.mark_answered:
                return MarkResult(UNANSWERABLE, now() - begin)
            end = _end_of_audio(synced, now())
        elif event := _answer(message, name):
            early = (end or now()) - now() if event == PLAYOUT else 0.0
            return MarkResult(event, now() - begin, early if early > MARK_EARLY else None)


async def _send(conversation: ToolConnection, text: str) -> None:
    await conversation.send(text)
    await conversation.send(ToolMessageType.SYNC.serialize())


def _end_of_audio(synced: Synced, now: float) -> float | None:
    """Return when the audio before a mark has been played, None where nobody knows its rate."""
    return now + synced.playout if synced.stream_rate and synced.playout is not None else None


def _answer(message: str | bytes, name: str) -> str | None:
    if isinstance(message, bytes):
        return None
    answers = (answer for answer in parse_texts(message.encode()) if isinstance(answer, Mark))
    return next((answer.event for answer in answers if answer.name == name), None)


def _is_kill(message: str | bytes) -> bool:
    word = ServerNotice.parse(message)
    return word is not None and word.data.get("reason") == RefusalReason.KILLED


def _synced(message: str | bytes) -> Synced | None:
    """Return what the server says when it has passed on what was sent before."""
    word = ServerNotice.parse(message)
    if word is None:
        return None
    if word.error_detail:
        ending = word.data.get("reason") == RefusalReason.CALL_ENDING
        raise (NotFoundError if ending else ListenctlError)(word.error_detail)
    return Synced.parse(word.data) if word.type is ToolMessageType.SYNCED else None
