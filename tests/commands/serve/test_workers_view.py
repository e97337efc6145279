"""The live view of a server with workers."""

import io

import pytest

from listenctl.commands.serve.view import render_server
from listenctl.commands.serve.workers_view import WorkersView
from listenctl.events import DtmfEvent, Reporter
from listenctl.protocol.gaps.gap import GapKind
from listenctl.server.workers.worker_pool import WorkerPool
from listenctl.terminal.printable_text import TextStyle
from tests.helpers.server import FAST
from tests.server.workers.test_pool_calls import ENDED, STARTED, gap, take

pytestmark = pytest.mark.simulated_time


async def test_it_shows_the_calls_of_all_workers_without_levels() -> None:
    pool = WorkerPool(FAST, Reporter(), workers=2, options=None, module="", recording=False)
    style = TextStyle(color=False)
    view = WorkersView(pool, io.StringIO(), style, "recording to rec", redact=False)
    take(pool.calls, "one", STARTED, gap(GapKind.PAUSE, 16_000), worker=0)
    take(pool.calls, "two", STARTED, DtmfEvent(digit="7", duration_ms=None, duration=None), worker=1)
    take(pool.calls, "three", STARTED, ENDED, worker=1)
    lines = render_server(view._snapshot(), (130, 20), 0.0, style)
    address, totals, _, titles, first, second = lines

    assert address == f"ws://127.0.0.1:{pool.port}/  recording to rec"
    assert totals == "2 live · 3 in total · 1 failed · gaps 2.0 s"
    assert "LEVEL" not in titles
    assert ("one" in first, "2.0 s" in first) == (True, True)
    assert ("two" in second, " 7 " in second) == (True, True)
