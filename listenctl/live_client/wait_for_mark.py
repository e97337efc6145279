"""Send a mark to a live call and wait until it is reached."""

import asyncio
from dataclasses import dataclass

from listenctl.live_client.send_command import parse_synced, send_and_sync
from listenctl.play_to_call.call_messages import MARK_EARLY, MARK_GRACE, ToolConnection
from listenctl.protocol.application_commands import MarkCommand
from listenctl.protocol.call_sharing.stream_rate import PLAYS_CLIPS
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ServerNotice
from listenctl.protocol.jambonz_messages import Mark, parse_texts

PLAYOUT, ELAPSED, UNANSWERABLE = "playout", "elapsed", "unanswerable"


@dataclass(frozen=True, slots=True)
class MarkResult:
    """The result of a mark."""

    event: str
    """
    The answer, ``playout`` or ``cleared``; ``elapsed`` where there is none and the audio before the mark must have been
    played; ``unanswerable`` where the call takes clips, so there will be none.
    """
    seconds: float
    early_by: float | None = None
    """Seconds by which it came too early to be trusted (listenctl-protocol(7) 6.4); None otherwise."""

    @property
    def by(self) -> str | None:
        """The evidence: jambonz's answer to the ``mark``, or the ``clock``; None if there is no result."""
        if self.event == UNANSWERABLE:
            return None
        return "clock" if self.event == ELAPSED else "mark"


async def wait_for_mark(connection: ToolConnection, name: str) -> MarkResult:
    """Send a mark and wait for its answer; if none comes, the clock decides where it can."""
    now = asyncio.get_running_loop().time
    begin = now()
    end: float | None = None
    await send_and_sync(connection, MarkCommand(name).serialize())
    while True:
        try:
            async with asyncio.timeout_at(None if end is None else end + MARK_GRACE):
                message = await connection.receive()
        except TimeoutError:
            return MarkResult(ELAPSED, now() - begin)
        if _is_kill_notice(message):
            # This is about audio streamed on this connection; jambonz reports whether the mark is cleared.
            continue
        if synced := parse_synced(message):
            # A call that has answered a mark streams, whatever is said about it.
            if synced.stream_rate == PLAYS_CLIPS and not synced.mark_answered:
                return MarkResult(UNANSWERABLE, now() - begin)
            known = synced.stream_rate and synced.playout is not None
            end = now() + (synced.playout or 0.0) if known else None
        elif event := _answer_to(name, message):
            early = (end or now()) - now() if event == PLAYOUT else 0.0
            return MarkResult(event, now() - begin, early if early > MARK_EARLY else None)


def _answer_to(name: str, message: str | bytes) -> str | None:
    if isinstance(message, bytes):
        return None
    answers = (answer for answer in parse_texts(message.encode()) if isinstance(answer, Mark))
    return next((answer.event for answer in answers if answer.name == name), None)


def _is_kill_notice(message: str | bytes) -> bool:
    notice = ServerNotice.parse(message)
    return notice is not None and notice.data.get("reason") == RefusalReason.KILLED
