"""The tools of one call, without sockets: what goes where, and when jambonz doesn't read."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from listenctl.protocol.application_commands import Command, parse_command
from listenctl.protocol.call_sharing.clip_queue import GIVE_UP_AFTER, MAX_AT_JAMBONZ
from listenctl.server.control_api.attached_tools import BUSY_TIMEOUT, MAX_UNSENT, AttachedTools
from tests.helpers.playout import play, tone
from tests.helpers.simulated_time import simulated_loop

pytestmark = pytest.mark.simulated_time

ACQUIRE = '{"type":"listenctl:acquire"}'
KILL = '{"type":"killAudio"}'
GRANTED = b'{"type":"listenctl:granted"}'


@dataclass(slots=True)
class FakeConnection:
    """A connection to jambonz."""

    unsent: int = 0
    closing: bool = False
    sent: list[bytes] = field(default_factory=list)
    read_at_once_calls: list[bool] = field(default_factory=list)

    def send_command(self, text: bytes, command: Command | None, /) -> bool:
        assert command in (None, parse_command(text))
        return self.send_audio(text)

    def send_audio(self, data: bytes, /) -> bool:
        if not self.closing:
            self.sent.append(data)
        return not self.closing

    def read_at_once(self, at_once: bool, /) -> None:
        self.read_at_once_calls.append(at_once)


@dataclass(slots=True)
class FakeTool:
    """A way to a tool."""

    texts: list[bytes] = field(default_factory=list)
    heard: bytes = b""
    samples: int = 0
    closed: list[tuple[int, str]] = field(default_factory=list)

    def deliver_text(self, data: bytes) -> None:
        self.texts.append(data)

    def deliver_audio(self, data: bytes, samples: int) -> None:
        self.heard += data
        self.samples += samples

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


def new_tools(connection: FakeConnection, *, server_rate: int | None = None) -> AttachedTools:
    return AttachedTools(connection, clock=simulated_loop().time, server_rate=server_rate)


async def test_only_the_first_and_the_last_tool_change_how_the_call_is_read() -> None:
    line = FakeConnection()
    tools = new_tools(line)

    numbers = [tools.attach_tool(FakeTool(), b"{}", audio=False) for _ in range(3)]
    for tool in numbers:
        tools.detach_tool(tool)

    assert line.read_at_once_calls == [True, False]


async def test_one_tool_streams_at_a_time_and_the_next_is_told() -> None:
    line = FakeConnection()
    tools = new_tools(line)
    first, second = FakeTool(), FakeTool()
    streaming, waiting = (tools.attach_tool(tool_end, b"{}", audio=False) for tool_end in (first, second))

    await tools.take_tool_message(streaming, b"\1\2\3")
    await tools.take_tool_message(waiting, ACQUIRE)
    await tools.take_tool_message(waiting, b"\5\6")
    refused = second.texts[1:]
    tools.detach_tool(streaming)

    assert line.sent == [b"\1\2\3", b"\0"]
    assert [b"stream-busy" in one for one in refused] == [True]
    assert second.texts[2:] == [GRANTED]


async def test_a_tool_that_comes_when_the_call_has_just_ended_is_told() -> None:
    tools = new_tools(FakeConnection())
    tool_end = FakeTool()

    tools.end_call()
    tools.attach_tool(tool_end, b"{}", audio=False)

    assert (tool_end.texts, tool_end.closed) == ([b"{}"], [(1000, "call ended")])


async def test_a_message_waits_for_room_towards_jambonz() -> None:
    line = FakeConnection(unsent=MAX_UNSENT + 1)
    tools = new_tools(line)
    tool_end = FakeTool()
    tool = tools.attach_tool(tool_end, b"{}", audio=False)

    asyncio.get_running_loop().call_later(BUSY_TIMEOUT / 2, setattr, line, "unsent", 0)
    await tools.take_tool_message(tool, KILL)

    assert (line.sent, tool_end.texts) == ([KILL.encode()], [b"{}"])


async def test_a_tool_is_told_that_jambonz_doesnt_read() -> None:
    line = FakeConnection(unsent=MAX_UNSENT + 1)
    tools = new_tools(line)
    tool_end = FakeTool()
    tool = tools.attach_tool(tool_end, b"{}", audio=False)

    for message in (b"\1\2", b"\3\4", KILL, ACQUIRE):
        await tools.take_tool_message(tool, message)
    line.unsent = 0
    await tools.take_tool_message(tool, b"\5\6")

    # Once for the audio, once for the command; what is between the tool and us goes on.
    assert [b'"jambonz-busy"' in text for text in tool_end.texts] == [False, True, True, False]
    assert tool_end.texts[-1] == GRANTED
    assert line.sent == [b"\5\6"]


async def test_a_tool_is_told_that_the_call_is_ending_once_for_its_audio() -> None:
    line = FakeConnection(closing=True)
    tools = new_tools(line)
    tool_end = FakeTool()
    tool = tools.attach_tool(tool_end, b"{}", audio=False)

    for message in (KILL, b"\1\2", b"\3\4", KILL):
        await tools.take_tool_message(tool, message)

    assert line.sent == []
    assert [json.loads(text)["data"]["reason"] for text in tool_end.texts[1:]] == ["call-ending"] * 3


def queued(own: str) -> str:
    return play(tone(8), queuePlay=True, id=own).decode()


async def filled(tools: AttachedTools, tool_end: FakeTool) -> int:
    """Attach a tool and have it send one clip more than jambonz gets at once."""
    tool = tools.attach_tool(tool_end, b"{}", audio=False)
    for number in range(MAX_AT_JAMBONZ + 1):
        await tools.take_tool_message(tool, queued(str(number)))
    return tool


async def test_a_clip_is_passed_on_in_time_though_jambonz_answers_none() -> None:
    line = FakeConnection()
    tools = new_tools(line)
    await filled(tools, FakeTool())
    before = len(line.sent)

    await asyncio.sleep(GIVE_UP_AFTER + 1)

    assert before == MAX_AT_JAMBONZ
    assert len(line.sent) > MAX_AT_JAMBONZ
    tools.end_call()


async def test_clips_wait_while_jambonz_doesnt_read() -> None:
    line = FakeConnection()
    tools = new_tools(line)
    await filled(tools, FakeTool())

    line.unsent = MAX_UNSENT + 1
    await asyncio.sleep(GIVE_UP_AFTER + 1)
    waiting = len(line.sent)
    line.unsent = 0
    await asyncio.sleep(GIVE_UP_AFTER)

    assert waiting == MAX_AT_JAMBONZ
    assert len(line.sent) > MAX_AT_JAMBONZ
    tools.end_call()


async def test_no_timer_is_left_when_the_call_is_over() -> None:
    line = FakeConnection()
    tools = new_tools(line)
    tool = await filled(tools, FakeTool())

    tools.end_call()
    tools.detach_tool(tool)
    await asyncio.sleep(100 * GIVE_UP_AFTER)

    assert len(line.sent) == MAX_AT_JAMBONZ
