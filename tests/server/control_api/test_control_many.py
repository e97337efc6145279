"""Twenty tools and twenty commands on one call at once, in both of jambonz's modes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from listenctl.events import Reporter
from listenctl.live_client.control_client import attach_to_call
from listenctl.live_client.send_command import send_command
from listenctl.protocol.application_commands import PlayAudio
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from tests.helpers.cli import listenctl
from tests.helpers.control import Controlled, Tool, controlled
from tests.helpers.scripted_server import target
from tests.helpers.server import Event, Events

TOOLS = 20
STREAM = ListenVerb(
    bidirectional=BidirectionalAudio(streaming=True, sample_rate=8000), metadata={"streamRate": 8000}, sample_rate=8000
)
CLIPS = ListenVerb(metadata={"streamRate": 0})


@asynccontextmanager
async def placed(server: Controlled, verb: ListenVerb) -> AsyncIterator[Events]:
    """Place a call; what it does with what it is sent must be what was meant."""
    events = Events()
    call = SimulatedCall(CallPlan(target=target(server.run.port), verb=verb), Reporter(events))
    running = asyncio.create_task(call.run())
    await server.run.events.wait_for("call-started")
    yield events
    call.hang_up()
    await running
    assert [event["detail"] for event in events.of("verdict") if event["wrong"]] == []


def clip(own: object, milliseconds: int = 20) -> str:
    audio = (1000).to_bytes(2, "little") * 8 * milliseconds
    encoded = PlayAudio.encode(audio, "raw", sample_rate=8000, queue_play=True)
    return PlayAudio(encoded.audio_content, "raw", 8000, True, own).serialize()


async def test_clips_of_twenty_tools_all_play_and_each_is_answered_to_its_sender(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server, placed(server, CLIPS) as events, AsyncExitStack() as stack:
        tools = [await stack.enter_async_context(server.attach()) for _ in range(TOOLS)]

        async def play(tool: Tool, number: int) -> list[Event]:
            # The same ids as all others, and one of its own.
            await tool.send(clip("same"), clip(number))
            return [await tool.json() for _ in range(2)]

        answers = await asyncio.gather(*(play(tool, number) for number, tool in enumerate(tools)))
        played = [event for event in events.of("verdict") if event["outcome"] == "finished"]

    assert [[answer["data"]["id"] for answer in one] for one in answers] == [["same", n] for n in range(TOOLS)]
    # More than jambonz keeps, and not one is lost.
    assert len(played) == 2 * TOOLS


async def test_a_kill_silences_all_that_wait_and_each_tool_hears_of_its_own(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server, placed(server, CLIPS), AsyncExitStack() as stack:
        tools = [await stack.enter_async_context(server.attach()) for _ in range(TOOLS)]
        for number, tool in enumerate(tools):
            await tool.send(clip(number, 100))
            # Those whose clip waits aren't answered before it goes.
            if number < 8:
                await tool.send('{"type":"listenctl:sync"}')
                assert (await tool.json())["data"]["clipSeconds"] > 0
        async with server.attach() as other:
            while (await state(other))["waitingClips"] < TOOLS - 8:
                pass
            await other.send('{"type":"killAudio"}')

            killed = [await tool.json() for tool in tools[8:]]
            after = await state(other)

    assert [one["data"]["reason"] for one in killed] == ["killed"] * (TOOLS - 8)
    assert [one["data"]["id"] for one in killed] == list(range(8, TOOLS))
    assert after["waitingClips"] == 0


async def state(tool: Tool) -> Event:
    """Return how the playing of the call stands."""
    await tool.send('{"type":"listenctl:sync"}')
    while (word := await tool.json())["type"] != "listenctl:synced":
        pass
    data: Event = word["data"]
    return data


async def test_a_command_with_a_clip_that_waits_ends_when_it_was_passed_on(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server, placed(server, CLIPS) as events, server.attach() as tool:
        await tool.send(*(clip(number, 60) for number in range(10)))

        async with attach_to_call(server.socket, "@latest") as attachment:
            await send_command(attachment, clip("behind", 20))

        # Nobody waits for it any more, and it plays all the same.
        await events.wait_for("play-done", 11)


async def test_twenty_mark_commands_at_once_all_end_right(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server, placed(server, STREAM) as events, server.attach() as streamer:
        await streamer.send('{"type":"listenctl:acquire","data":{"sampleRate":8000}}', b"\x10\0" * 8000 * 2)
        # What comes last is played only if something comes behind it (listenctl-protocol(7) 6.2).
        await streamer.send(bytes(2560))

        def set_mark(number: int) -> Event:
            arguments = ["mark", "@latest", f"end {number % 2}", "--wait", "--json"]
            done = listenctl(*arguments, home=tmp_path)
            result: Event = json.loads(done.stdout)
            return result | {"status": done.returncode, "stderr": done.stderr}

        results = await asyncio.gather(*(asyncio.to_thread(set_mark, number) for number in range(TOOLS)))
        answered = [event["name"] for event in events.of("mark")]

    assert [(one["name"], one["result"], one["status"], one["stderr"]) for one in results] == [
        (f"end {number % 2}", "playout", 0, "") for number in range(TOOLS)
    ]
    assert len(set(answered)) == TOOLS
