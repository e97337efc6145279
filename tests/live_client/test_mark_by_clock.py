"""Marks of a jambonz that answers them early or never (protocol.md 6.4): the clock is asked, too."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from listenctl.events import Reporter
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from tests.helpers.cli import listenctl
from tests.helpers.control import Tool, controlled
from tests.helpers.live_call import clips, live_call
from tests.helpers.playout import tone
from tests.helpers.scripted_server import target
from tests.helpers.server import Event, until


@asynccontextmanager
async def streaming(folder: Path, *, stream_rate: int, call_rate: int) -> AsyncIterator[tuple[Tool, SimulatedCall]]:
    """Place a call with a tool that streams to it."""
    option = BidirectionalAudio(streaming=True, sample_rate=stream_rate)
    verb = ListenVerb(bidirectional=option, metadata={"streamRate": stream_rate})
    async with controlled(folder) as server:
        call = SimulatedCall(
            CallPlan(target=target(server.run.port), verb=verb, call_rate=call_rate, duration=20), Reporter()
        )
        over = asyncio.create_task(call.run())
        await server.run.events.wait_for("call-started")
        async with server.attach() as tool:
            yield tool, call
        call.hang_up()
        await over


async def set_mark(folder: Path, *more: str) -> tuple[int, str]:
    done = await asyncio.to_thread(lambda: listenctl("mark", "@latest", "end", "--wait", *more, home=folder))
    assert done.stderr == ""
    return done.returncode, done.stdout


async def test_a_mark_that_is_filtered_away_ends_by_the_clock(tmp_path: Path) -> None:
    async with streaming(tmp_path, stream_rate=16_000, call_rate=8000) as (tool, call):
        await tool.send(tone(16_000 * 3))
        waiting = asyncio.create_task(set_mark(tmp_path, "--json"))
        await until(lambda: bool(call.snapshot().marks))
        # With more audio behind it, its place is within what is resampled.
        await tool.send(tone(16_000))
        status, said = await waiting

    result: Event = json.loads(said)
    assert (status, result["result"], result["by"], result["early_by"]) == (3, "elapsed", "clock", None)
    assert 1.0 < result["seconds"] < 5.0


async def test_a_mark_that_comes_early_is_told_from_one_that_can_be_trusted(tmp_path: Path) -> None:
    async with streaming(tmp_path, stream_rate=8000, call_rate=8000) as (tool, call):
        # A sample of -1 is taken for a mark.
        await tool.send(tone(8000 * 5, -1))
        waiting = asyncio.create_task(set_mark(tmp_path))
        await until(lambda: bool(call.snapshot().marks))
        await tool.send(tone(8000))
        status, said = await waiting

    assert status == 0
    assert "before the audio can have been played; don't trust it" in said


async def test_at_the_call_s_own_rate_the_mark_and_the_clock_agree(tmp_path: Path) -> None:
    async with streaming(tmp_path, stream_rate=8000, call_rate=8000) as (tool, _):
        await tool.send(tone(8000), bytes(2560))
        status, said = await set_mark(tmp_path, "--json")

    result: Event = json.loads(said)
    assert (status, result["result"], result["by"], result["early_by"]) == (0, "playout", "mark", None)


async def test_where_the_call_takes_clips_the_mark_is_not_waited_for(tmp_path: Path) -> None:
    async with live_call(tmp_path, clips()):
        status, said = await set_mark(tmp_path, "--json")

    result: Event = json.loads(said)
    assert (status, result["result"], result["by"]) == (3, "unanswerable", None)
    assert result["seconds"] < 5
