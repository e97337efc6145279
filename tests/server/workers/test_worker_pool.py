"""Workers that can't start, or die again and again."""

import errno
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from listenctl.errors import ListenctlError
from listenctl.events import Reporter
from listenctl.server.workers import worker_pool
from listenctl.server.workers.worker_pool import MAX_FAILED_STARTS, WorkerPool
from listenctl.server.workers.worker_process import WorkerProcess, describe_status
from tests.helpers.server import FAST, Events

FRAGILE = """
import os, sys
from pathlib import Path
from listenctl.server.workers.link_messages import WorkerReady
from listenctl.server.workers.worker_context import WorkerContext
from listenctl.server.workers.worker_link import pack_message

def run_worker_process():
    worker = WorkerContext(int(sys.argv[2]))
    starts = Path(worker.options)
    starts.write_text(starts.read_text() + "x")
    if len(starts.read_text()) > 1:
        sys.exit(7)
    os.write(int(sys.argv[2]), pack_message(WorkerReady()))
    os.kill(os.getpid(), 9)
"""


async def run_pool(module: str, options: object = None) -> tuple[ListenctlError, Events]:
    """Return how the server ends, and its events."""
    events = Events()
    pool = WorkerPool(FAST, Reporter(events), workers=1, options=options, module=module, recording=False)
    pool.start()
    with pytest.raises(ListenctlError) as failure:
        await pool.run()
    return failure.value, events


async def test_a_worker_that_cannot_start_ends_the_server_before_it_has_begun() -> None:
    failure, events = await run_pool("tests.no_such_module")

    assert str(failure) == "worker 1 can't start: it ended with status 1"
    assert failure.exit_status == 1
    assert events.of("server-started") == []


async def test_a_worker_that_dies_is_started_again_and_given_up_after_some_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile_worker.py").write_text(FRAGILE)
    (starts := tmp_path / "starts").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(worker_pool, "PAUSES", (0.0,))

    failure, events = await run_pool("fragile_worker", str(starts))

    assert (str(failure), failure.exit_status) == ("worker 1 can't start: it ended with status 7", 7)
    assert len(starts.read_text()) == 1 + MAX_FAILED_STARTS
    assert len(events.of("server-started")) == 1
    details = [event["detail"].partition(") ")[2] for event in events.of("warning")]
    assert details[0] == "was killed by SIGKILL; another one takes its place"
    assert details[1:] == ["ended with status 7; another one takes its place"] * (MAX_FAILED_STARTS - 1)


async def test_a_server_that_is_stopped_before_its_workers_start_starts_none() -> None:
    pool = WorkerPool(FAST, Reporter(), workers=2, options=None, module="tests.no_such_module", recording=False)
    pool.start()
    pool.shutdown.stop()

    await pool.run()

    assert not pool.has_calls


async def test_a_worker_is_started_as_soon_as_the_machine_can_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile_worker.py").write_text(FRAGILE)
    (starts := tmp_path / "starts").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(worker_pool, "PAUSES", (0.0,))
    start, tries = WorkerProcess.start, count(1)

    async def start_sometimes(*arguments: Any) -> WorkerProcess:
        if next(tries) in (2, 3):
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return await start(*arguments)

    monkeypatch.setattr(WorkerProcess, "start", start_sometimes)

    failure, events = await run_pool("fragile_worker", str(starts))

    assert str(failure) == "worker 1 can't start: it ended with status 7"
    assert [event["detail"] for event in events.of("warning") if event["rule"] == "worker-missing"] == [
        "worker 1 can't be started: Resource temporarily unavailable; this is tried again"
    ]


async def test_a_server_whose_first_worker_cannot_be_started_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> WorkerProcess:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(WorkerProcess, "start", fail)

    failure, _ = await run_pool("tests.no_such_module")

    assert (str(failure), failure.exit_status) == ("worker 1 can't start: Resource temporarily unavailable", 1)


def test_how_a_process_ended_is_said_in_words() -> None:
    assert [describe_status(status) for status in (0, 3, -9, -250)] == [
        "ended with status 0",
        "ended with status 3",
        "was killed by SIGKILL",
        "was killed by signal 250",
    ]
