"""What becomes of a mark, with a conversation that says just what a test wants."""

import asyncio
import json

import pytest

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.live_client import send_command as module
from listenctl.live_client.send_command import MarkResult, wait_for_mark
from listenctl.play_to_call.call_messages import MARK_EARLY
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, Synced, ToolRefusal
from listenctl.protocol.jambonz_messages import Mark
from tests.helpers.server import LIMIT


class Scripted:
    """A conversation: everything is there at once, and behind it nothing more comes."""

    def __init__(self, *messages: str | bytes) -> None:
        self.metadata = CallMetadata.missing()
        self.sent: list[str | bytes] = []
        self._messages = list(messages)

    async def send(self, message: str | bytes) -> None:
        self.sent.append(message)

    async def receive(self) -> str | bytes:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)


def synced(playout: float | None, rate: int | None = 8000) -> str:
    return Synced(rate, "server", playout).serialize()


async def outcome(*messages: str | bytes) -> MarkResult:
    async with asyncio.timeout(LIMIT):
        return await wait_for_mark(Scripted(*messages), "end")


PLAYOUT, CLEARED = Mark("end", "playout").serialize(), Mark("end", "cleared").serialize()


async def test_a_mark_is_set_and_the_clock_is_asked_at_once() -> None:
    conversation = Scripted(PLAYOUT)

    await wait_for_mark(conversation, "end")

    assert [json.loads(text)["type"] for text in conversation.sent] == ["mark", "listenctl:sync"]


@pytest.mark.parametrize(
    "messages", [(PLAYOUT,), (synced(0.0), PLAYOUT), (synced(MARK_EARLY - 0.05), b"audio", PLAYOUT)]
)
async def test_an_answer_when_the_clock_says_so_is_trusted(messages: tuple[str | bytes, ...]) -> None:
    result = await outcome(Mark("other", "playout").serialize(), *messages)

    assert (result.event, result.by, result.early_by) == ("playout", "mark", None)


async def test_an_answer_before_the_audio_can_have_been_played_says_how_early_it_came() -> None:
    result = await outcome(synced(5.0), PLAYOUT)

    assert (result.event, result.by) == ("playout", "mark")
    assert result.early_by == pytest.approx(5.0, abs=0.5)


async def test_a_mark_that_was_cleared_is_never_early() -> None:
    result = await outcome(synced(5.0), ToolRefusal(RefusalReason.KILLED, "by a killAudio").serialize(), CLEARED)

    assert (result.event, result.by, result.early_by) == ("cleared", "mark", None)


async def test_without_an_answer_the_clock_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MARK_GRACE", 0.05)

    result = await outcome(synced(0.1))

    assert (result.event, result.by) == ("elapsed", "clock")
    assert result.seconds >= 0.15


@pytest.mark.parametrize("synced_", [synced(None), synced(0.0, None), '{"type":"listenctl:synced"}'])
async def test_where_nobody_knows_the_rate_the_clock_decides_nothing(
    synced_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MARK_GRACE", 0.0)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await wait_for_mark(Scripted(synced_), "end")


async def test_where_the_call_takes_clips_nothing_is_waited_for() -> None:
    result = await outcome(synced(0.0, 0))

    assert (result.event, result.by) == ("unanswerable", None)


async def test_a_call_that_has_answered_a_mark_is_not_believed_to_take_clips() -> None:
    result = await outcome(Synced(0, "metadata", 0.0, mark_answered=True).serialize(), PLAYOUT)

    assert (result.event, result.by) == ("playout", "mark")


@pytest.mark.parametrize(
    ("reason", "error"), [(RefusalReason.CALL_ENDING, NotFoundError), (RefusalReason.JAMBONZ_BUSY, ListenctlError)]
)
async def test_a_refusal_is_an_error_and_a_call_that_is_ending_is_none_to_be_found(
    reason: RefusalReason, error: type[ListenctlError]
) -> None:
    with pytest.raises(ListenctlError, match="not sent: so") as raised:
        await outcome(ToolRefusal(reason, "not sent: so").serialize())

    assert type(raised.value) is error
