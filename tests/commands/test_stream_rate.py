"""`serve --stream-rate`, as the server's calls have it."""

import asyncio
import json
from pathlib import Path

import pytest

from listenctl.commands.serve.command import ServeOptions, server_settings
from listenctl.errors import UsageError
from listenctl.live_client.list_calls import list_calls
from tests.helpers.control import controlled
from tests.helpers.frames import text
from tests.helpers.server import faster, running


@pytest.mark.parametrize("rate", [None, 0, 8000, 48_000])
def test_a_rate_or_0_for_clips_is_understood(rate: int | None) -> None:
    assert server_settings(ServeOptions(stream_rate=rate), 0.2).stream_rate == rate


@pytest.mark.parametrize("rate", [1, 999])
def test_a_rate_that_no_stream_has_is_refused(rate: int) -> None:
    with pytest.raises(UsageError, match=f"--stream-rate {rate}: give the rate in Hz"):
        server_settings(ServeOptions(stream_rate=rate), 0.2)


@pytest.mark.parametrize(
    ("server_rate", "metadata", "known"),
    [(None, {}, None), (8000, {}, 8000), (8000, {"streamRate": 0}, 0), (None, {"streamRate": 16_000}, 16_000)],
)
async def test_calls_are_listed_with_the_rate_that_is_known(
    server_rate: int | None, metadata: dict[str, int], known: int | None, tmp_path: Path
) -> None:
    socket = tmp_path / "listenctl" / "default.sock"
    async with running(faster(control=socket, stream_rate=server_rate)) as run:
        await run.call(text(json.dumps({"callSid": "a", "sampleRate": 8000} | metadata)))
        await run.events.wait_for("call-started")
        (call,) = (await _list(socket))["calls"]

    assert call["stream_rate"] == known


async def test_what_a_tool_found_out_is_listed(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        await server.run.call(text('{"callSid":"a","sampleRate":8000}'))
        await server.run.events.wait_for("call-started")
        async with server.attach() as tool:
            await tool.send('{"type":"listenctl:acquire","data":{"sampleRate":24000}}')
            await tool.text()
            (call,) = await server.list_calls()

    assert call["stream_rate"] == 24_000


async def _list(socket: Path) -> dict[str, list[dict[str, object]]]:
    return await asyncio.to_thread(list_calls, socket)
