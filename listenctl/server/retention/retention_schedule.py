"""Delete the recordings of a running server that have been kept long enough, every few minutes."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from listenctl.background_task import background_task, log_failure
from listenctl.events import RecordingDeletedEvent, Reporter, WarningEvent
from listenctl.json_lines import timestamp
from listenctl.protocol.peer_json import count_in, decode, list_in, number_in, string_in

if TYPE_CHECKING:
    from listenctl.server.retention.delete_recordings import RetentionSettings

INTERVAL = 600.0
"""Seconds between two looks at all recordings."""
MAX_PROBLEMS = 10
"""Warnings of one look."""

# As the processes that convert recordings are started.
_WORKER = (
    "import os, sys; os.nice(19); settings = sys.argv[1]; sys.path[:] = sys.argv[2:]; "
    "from listenctl.server.retention.retention_worker import run_retention; run_retention(settings)"
)


@asynccontextmanager
async def deleting_recordings(reporter: Reporter, settings: "RetentionSettings | None") -> AsyncIterator[None]:
    """Delete recordings while the block runs; None deletes none."""
    if settings is None:
        yield
        return
    async with background_task(_delete_regularly(reporter, settings)):
        yield


async def _delete_regularly(reporter: Reporter, settings: "RetentionSettings") -> None:
    while True:
        await log_failure(partial(delete_once, reporter, settings), "the deletion of old recordings")
        await asyncio.sleep(INTERVAL)


async def delete_once(reporter: Reporter, settings: "RetentionSettings") -> None:
    """Delete what the policy doesn't keep, in a process of its own, and report it."""
    from listenctl.server.retention.retention_worker import describe_settings

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", _WORKER, describe_settings(settings), *sys.path),
        stdin=DEVNULL,
        stdout=PIPE,
        start_new_session=True,  # Ctrl-C on the terminal is for the server, which ends this process.
    )
    assert process.stdout is not None
    problems = 0
    try:
        async for line in process.stdout:
            fields, _ = decode(line.decode()) or (None, 0)
            assert isinstance(fields, dict)
            if problem := string_in(fields, "problem"):
                problems += 1
                if problems <= MAX_PROBLEMS:
                    reporter.emit(WarningEvent(rule="retention-failed", detail=problem))
            else:
                reporter.emit(_describe(fields))
        if status := await process.wait():
            detail = f"the process that deletes old recordings ended with status {status}; it is started again"
            reporter.emit(WarningEvent(rule="retention-failed", detail=detail))
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _describe(fields: Mapping[str, object]) -> RecordingDeletedEvent:
    paths = [str(path) for path in list_in(fields, "paths")]
    return RecordingDeletedEvent(
        path=paths[0],
        paths=paths,
        sidecar=string_in(fields, "sidecar"),
        bytes=count_in(fields, "bytes"),
        ended=timestamp(number_in(fields, "ended") or 0.0),
        reason=string_in(fields, "reason"),
    )
