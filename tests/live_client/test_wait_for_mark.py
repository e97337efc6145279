import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.live_client.attached_call import AttachedCall
from listenctl.live_client.control_client import attach_to_call
from listenctl.live_client.wait_for_mark import MarkResult, wait_for_mark
from listenctl.play_to_call.call_messages import MARK_EARLY, MARK_GRACE
from listenctl.protocol.call_metadata import CallMetadata
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, Synced, ToolRefusal
from listenctl.protocol.jambonz_messages import Mark
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, Profile
from tests.helpers.control import fake_control, mark_answer
from tests.helpers.server import until
from tests.helpers.simulated_calls import LiveCall, live_call, streaming

pytestmark = pytest.mark.simulated_time


class Scripted:
    """A connection on which everything is there at once, and nothing more comes."""

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
    connection = Scripted(*messages)
    result = await wait_for_mark(connection, "end")

    assert [json.loads(text)["type"] for text in connection.sent] == ["mark", "listenctl:sync"]
    return result


PLAYOUT, CLEARED = Mark("end", "playout").serialize(), Mark("end", "cleared").serialize()


KILLED = ToolRefusal(RefusalReason.KILLED, "by a killAudio").serialize()


@pytest.mark.parametrize(
    ("messages", "result"),
    [
        ((PLAYOUT,), ("playout", "mark", None)),
        ((synced(0.0), PLAYOUT), ("playout", "mark", None)),
        ((synced(MARK_EARLY - 0.05), b"audio", PLAYOUT), ("playout", "mark", None)),
        ((synced(5.0), PLAYOUT), ("playout", "mark", pytest.approx(5.0))),
        ((synced(5.0), KILLED, CLEARED), ("cleared", "mark", None)),
        ((synced(0.0, 0),), ("unanswerable", None, None)),
        # A call that has answered a mark doesn't take clips, whatever is said about it.
        ((Synced(0, "metadata", 0.0, mark_answered=True).serialize(), PLAYOUT), ("playout", "mark", None)),
    ],
)
async def test_an_answer_is_trusted_unless_the_audio_cannot_have_been_played_yet(
    messages: tuple[str | bytes, ...], result: tuple[str, str | None, float | None]
) -> None:
    found = await outcome(Mark("other", "playout").serialize(), *messages)

    assert (found.event, found.by, found.early_by) == result


async def test_without_an_answer_the_clock_decides() -> None:
    result = await outcome(synced(0.1))

    assert (result.event, result.by) == ("elapsed", "clock")
    assert result.seconds == pytest.approx(0.1 + MARK_GRACE)


@pytest.mark.parametrize("unknown", [synced(None), synced(0.0, None), '{"type":"listenctl:synced"}'])
async def test_an_unknown_stream_rate_or_playout_never_ends_a_mark(unknown: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1000):
            await outcome(unknown)


@pytest.mark.parametrize(
    ("reason", "error"), [(RefusalReason.CALL_ENDING, NotFoundError), (RefusalReason.JAMBONZ_BUSY, ListenctlError)]
)
async def test_a_refusal_is_an_error_and_a_call_that_is_ending_is_none_to_be_found(
    reason: RefusalReason, error: type[ListenctlError]
) -> None:
    with pytest.raises(ListenctlError, match="not sent: so") as raised:
        await outcome(ToolRefusal(reason, "not sent: so").serialize())

    assert type(raised.value) is error


async def test_what_the_server_refuses_is_an_error_in_its_words(tmp_path: Path) -> None:
    async with fake_control(tmp_path) as control, attach_to_call(control.path, "7f1c") as attachment:
        with pytest.raises(ListenctlError, match="not sent: its name has 2002 characters"):
            await wait_for_mark(attachment, "x" * 2000)

    assert control.sent == []


async def test_a_mark_of_the_same_name_that_another_set_is_none_of_ours(tmp_path: Path) -> None:
    foreign = '{"type": "mark", "data": {"name":"other", "event": "playout"}}'

    def answer(text: str) -> list[str]:
        return [foreign, *mark_answer("cleared")(text)]

    async with fake_control(tmp_path, jambonz=answer) as control, attach_to_call(control.path, "7f1c") as attachment:
        assert (await wait_for_mark(attachment, "intro")).event == "cleared"


SECOND = b"\xe8\x03" * 8000


@asynccontextmanager
async def streaming_call(
    folder: Path, *, stream_rate: int = 8000, profile: Profile = CURRENT
) -> AsyncIterator[tuple[LiveCall, AttachedCall]]:
    """Place a call to stream to, with a tool attached."""
    async with live_call(folder, streaming(stream_rate), profile=profile) as call, call.attached() as tool:
        yield call, tool


async def test_a_mark_after_audio_is_answered_when_it_was_played(tmp_path: Path) -> None:
    async with streaming_call(tmp_path, profile=IDEAL) as (_, tool):
        await tool.send(SECOND)
        result = await wait_for_mark(tool, "end")

    assert (result.event, result.by, result.early_by) == ("playout", "mark", None)
    assert 0.9 < result.seconds < 1.2


async def test_a_mark_that_the_resampler_loses_ends_by_the_clock(tmp_path: Path) -> None:
    async with streaming_call(tmp_path, stream_rate=16_000) as (call, tool), call.attached() as other:
        await tool.send(SECOND * 6)
        await until(lambda: call.sounds)
        waiting = asyncio.create_task(wait_for_mark(other, "end"))
        await until(lambda: bool(call.call.snapshot().marks))
        # With more audio after it, its place is inside what is resampled.
        await tool.send(SECOND * 2)
        result = await waiting

    assert (result.event, result.by) == ("elapsed", "clock")
    assert 3.0 < result.seconds < 5.0
