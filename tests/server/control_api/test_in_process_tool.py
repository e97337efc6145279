"""A tool inside of the server, and the call that it takes part in."""

import asyncio

import pytest

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.server.control_api.attached_tools import AttachedTools
from listenctl.server.control_api.in_process_tool import MAX_TEXTS, InProcessTool
from tests.helpers.server import call_log
from tests.server.control_api.test_attached_tools import FakeConnection

pytestmark = pytest.mark.simulated_time

METADATA = b'{"callSid":"7f1c","sampleRate":8000,"streamRate":16000}'
SECOND = bytes(16000)


@pytest.fixture
def line() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def tools(line: FakeConnection) -> AttachedTools:
    return AttachedTools(line, clock=lambda: 0.0)


async def test_a_tool_has_the_metadata_and_then_what_it_asked_for_in_its_order(tools: AttachedTools) -> None:
    tool, deaf = (InProcessTool(tools, call_log(METADATA), audio=audio) for audio in (True, False))
    tools.take_jambonz_text(b'{"event":"dtmf"}')
    tools.take_jambonz_audio(b"\1\0", 1)
    tools.take_jambonz_text(b"\xff")

    assert tool.metadata.call_sid == "7f1c"
    assert [await tool.receive() for _ in range(3)] == ['{"event":"dtmf"}', b"\1\0", "\ufffd"]
    assert [await deaf.receive() for _ in range(2)] == ['{"event":"dtmf"}', "\ufffd"]


async def test_audio_that_isnt_received_in_time_is_dropped_and_texts_arent(tools: AttachedTools) -> None:
    tool = InProcessTool(tools, call_log(METADATA), audio=True)

    for _ in range(5):
        tools.take_jambonz_audio(SECOND, 8000)
    tools.take_jambonz_text(b"text")
    received = [await tool.receive() for _ in range(4)]
    tools.take_jambonz_audio(b"\1\0", 1)

    assert received == [SECOND, SECOND, SECOND, "text"]
    assert tool.dropped_samples == 16000
    assert await tool.receive() == b"\1\0"


async def test_a_tool_that_leaves_long_texts_unread_is_detached(tools: AttachedTools) -> None:
    tool = InProcessTool(tools, call_log(METADATA), audio=True)
    for _ in range(5):
        tools.take_jambonz_text(bytes(4 * 1024 * 1024))

    assert [len(await tool.receive()) for _ in range(4)] == [4 * 1024 * 1024] * 4
    with pytest.raises(ListenctlError, match="it left 4 texts of the call unread"):
        await tool.receive()


async def test_audio_that_is_forgotten_isnt_taken_for_dropped_and_texts_stay(tools: AttachedTools) -> None:
    tool = InProcessTool(tools, call_log(METADATA), audio=True)
    for _ in range(5):
        tools.take_jambonz_audio(SECOND, 8000)
    tools.take_jambonz_text(b"text")

    tool.discard_audio()
    tools.take_jambonz_audio(b"\1\0", 1)

    assert [await tool.receive() for _ in range(2)] == ["text", b"\1\0"]
    assert tool.dropped_samples == 0


async def test_a_tool_that_leaves_all_texts_unread_is_let_go(tools: AttachedTools) -> None:
    tool = InProcessTool(tools, call_log(METADATA), audio=False)

    for _ in range(MAX_TEXTS + 1):
        tools.take_jambonz_text(b"text")
    received = [await tool.receive() for _ in range(MAX_TEXTS)]

    assert len(received) == MAX_TEXTS
    with pytest.raises(ListenctlError, match="unread"):
        await tool.receive()


async def test_the_end_of_the_call_comes_behind_all_that_it_said(tools: AttachedTools) -> None:
    tool = InProcessTool(tools, call_log(METADATA), audio=False)
    tools.take_jambonz_text(b"last")
    tools.end_call()
    last = await tool.receive()

    assert last == "last"
    with pytest.raises(NotFoundError):
        await tool.receive()
    with pytest.raises(NotFoundError):
        await tool.send("text")


async def test_who_waits_is_woken_by_the_end_of_the_call(tools: AttachedTools) -> None:
    first, second = (InProcessTool(tools, call_log(METADATA), audio=False) for _ in range(2))
    await first.acquire_stream()
    waiting = [asyncio.create_task(second.receive()), asyncio.create_task(second.acquire_stream())]
    await asyncio.sleep(0)
    tools.end_call()

    async with asyncio.timeout(5):
        results = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(result) for result in results] == [NotFoundError, NotFoundError]


async def test_the_stream_goes_round(tools: AttachedTools, line: FakeConnection) -> None:
    first, second = (InProcessTool(tools, call_log(METADATA), audio=False) for _ in range(2))

    await first.acquire_stream()
    await second.request_stream()
    had = first.has_stream, second.has_stream
    await first.release_stream()
    async with asyncio.timeout(5):
        await second.acquire_stream()
    await second.send(b"\1\0")

    assert had == (True, False)
    assert (first.has_stream, second.has_stream) == (False, True)
    assert line.sent == [b"\1\0"]


async def test_a_kill_of_another_ends_the_turn(tools: AttachedTools) -> None:
    first, second = (InProcessTool(tools, call_log(METADATA), audio=False) for _ in range(2))
    await first.acquire_stream()

    await second.send('{"type":"killAudio"}')

    assert not first.has_stream
    await first.acquire_stream()
    assert first.has_stream


async def test_a_tool_learns_how_the_playing_stands(tools: AttachedTools) -> None:
    tool = InProcessTool(tools, call_log(METADATA), audio=False)

    state = await tool.stream_state()

    assert (state.stream_rate, state.stream_rate_from) == (16000, "metadata")
