"""The view of one call while it runs: what is drawn, what lasts, and what is given back."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from listenctl.commands.call.view import CallView
from listenctl.media.measure_levels import Level
from listenctl.simulator.call_snapshot import CallSnapshot
from listenctl.terminal.printable_text import TextStyle
from tests.helpers.job import Quiet
from tests.helpers.server import until

HEAD = {"v": 1, "ts": "2026-11-20T22:33:44.567Z", "call": "CS-A", "call_sid": "CS-A"}


class Changing:
    """A call that looks as the test says."""

    def __init__(self) -> None:
        self.now = Quiet().snapshot()

    def snapshot(self) -> CallSnapshot:
        return self.now


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {**HEAD, "event": name, **fields}


@asynccontextmanager
async def running(call: Changing) -> AsyncIterator[tuple[CallView, io.StringIO]]:
    stream = io.StringIO()
    view = CallView(call, stream, TextStyle(color=False))
    async with asyncio.timeout(15):
        task = asyncio.create_task(view.run())
        await until(lambda: "ws://h/" in stream.getvalue())
        yield view, stream
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_it_follows_the_call() -> None:
    call = Changing()

    async with running(call) as (_, stream):
        assert "no audio yet" in stream.getvalue()
        call.now = replace(call.now, sent=(Level(0.0, 0.0), Level()), digits="5")

        await until(lambda: "keys       5 · Ctrl-C hangs up" in stream.getvalue())

        assert "L ████" in stream.getvalue()


async def test_what_lasts_stays_in_the_scrollback_and_the_rest_goes_with_the_view() -> None:
    async with running(Changing()) as (view, stream):
        view.take(event("dtmf", digit="5", time=1.0))
        view.take(event("warning", detail="look out"))
        view.take(event("levels"))
        await until(lambda: "dtmf CS-A 5 at 0:01.0" in stream.getvalue())

        assert "warning CS-A look out\r\n" in stream.getvalue()
        assert "levels" not in stream.getvalue()

    assert stream.getvalue().endswith("\r\x1b[J\x1b[?25h")


async def test_a_line_that_came_last_is_not_lost() -> None:
    async with running(Changing()) as (view, stream):
        view.take(event("warning", detail="the end"))

    assert "the end\r\n" in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[?25h")
