"""
Look at disk and memory once a second, and say when one runs short: a server that stops taking calls in time completes
those that it has.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from listenctl.background_task import in_daemon_thread
from listenctl.events import WarningEvent
from listenctl.server.handshake_refusal import HandshakeRefusal, full_server
from listenctl.server.limits.disk_limit import DiskLimit, DiskSpace, default_min_free, read_disk_space
from listenctl.server.limits.memory_use import default_max_memory, read_memory_use
from listenctl.terminal.printable_text import format_size

if TYPE_CHECKING:
    from listenctl.server.server import ListenServer

INTERVAL = 1.0
DISK_PATIENCE = 0.5
"""Seconds for which metrics, and the look at memory, wait for the disk."""


class ResourceWatch:
    """``folder`` is that of the recordings, None if there are none."""

    def __init__(self, server: "ListenServer", folder: Path | None) -> None:
        self._server = server
        self._folder = folder
        self._disk = DiskLimit()
        self._space: DiskSpace | None = None  # what was last known
        self._looking: asyncio.Future[DiskSpace | None] | None = None
        self._default_max_memory: int | None = None
        self._memory = 0

    async def run(self) -> None:
        self._default_max_memory = default_max_memory()
        while True:
            self._look_at_memory()
            if self._folder is not None:
                # While a network file system hangs, what was known before counts, and memory fills up.
                space = await _wait_for_space(self._look_at_disk(self._folder))
                if space is not None:
                    self._take_space(self._folder, space)
            await asyncio.sleep(INTERVAL)

    async def free_bytes(self) -> int | None:
        """Return what was last free for recordings; None without recordings, or if the disk does not answer."""
        if self._folder is None:
            return None
        # A thread for each request would cost as much as all the rest of its answer.
        space = await _wait_for_space(self._looking or self._look_at_disk(self._folder))
        return None if space is None else space.free

    def check_server(self) -> HandshakeRefusal | None:
        """Return why no call can be taken now, None if one can."""
        if not self._disk.takes_calls and self._space is not None:
            return full_server(
                "min-free",
                f"only {format_size(self._space.free)} are free for recordings, "
                f"and --min-free is {format_size(self._disk.min_free)}: calls are accepted again from "
                f"{format_size(self._disk.wanted)} on",
                "the server has no space for more recordings",
            )
        most = self._max_memory
        # Memory that is free again doesn't always return to the system; a server without calls is never full.
        if most is not None and self._memory > most and self._server.live:
            return full_server(
                "max-memory",
                f"the server has {format_size(self._memory)}, and --max-memory is {format_size(most)}",
                "the server has no memory for more calls",
            )
        return None

    @property
    def _max_memory(self) -> int | None:
        chosen = self._server.limits.max_memory
        return self._default_max_memory if chosen is None else chosen or None

    def _look_at_disk(self, folder: Path) -> asyncio.Future[DiskSpace | None]:
        """Have one thread at a time ask for the space, because a network file system can hang."""
        if self._looking is None or self._looking.done():
            self._looking = in_daemon_thread(partial(read_disk_space, folder), "disk-space")
        return self._looking

    def _look_at_memory(self) -> None:
        most, before = self._max_memory, self._memory
        self._memory = read_memory_use() or 0
        if most is not None and before <= most < self._memory:
            detail = f"the server has {format_size(self._memory)}, and --max-memory is {format_size(most)}"
            self._warn("memory-high", f"{detail}: no new calls are accepted beside live ones")

    def _take_space(self, folder: Path, space: DiskSpace) -> None:
        disk, chosen, known = self._disk, self._server.limits.min_free, self._space
        took_calls, recorded = disk.takes_calls, disk.records
        self._space = space
        disk.update(space, chosen)
        free = f"{folder}: {format_size(space.free)} are free"
        if known is None and chosen is None and space.free < default_min_free(space):
            self._warn(
                "disk-low", f"{free}; below {format_size(disk.min_free)}, no new calls are accepted (--min-free)"
            )
        if recorded and not disk.records:
            self._stop_recording(free)
        elif not recorded and disk.records:
            self._pause_recording("")
        if took_calls and not disk.takes_calls:
            wanted = format_size(disk.wanted)
            self._warn("disk-low", f"{free}; no new calls are accepted until there are {wanted} (--min-free)")
        elif not took_calls and disk.takes_calls:
            self._warn("disk-freed", f"{free}; new calls are accepted again")

    def _stop_recording(self, free: str) -> None:
        self._warn("disk-nearly-full", f"{free}; live calls go on, but are not recorded until there is more")
        self._pause_recording("the disk is nearly full, and the rest is kept for files to be finished (--min-free)")

    def _pause_recording(self, reason: str) -> None:
        if self._server.recorder is not None:
            self._server.recorder.pause_recording(reason)

    def _warn(self, rule: str, detail: str) -> None:
        self._server.reporter.emit(WarningEvent(rule=rule, detail=detail))


async def _wait_for_space(looking: asyncio.Future[DiskSpace | None]) -> DiskSpace | None:
    """Return the space, None if it isn't known, or if the disk does not answer for a while."""
    if not looking.done():
        await asyncio.wait({looking}, timeout=DISK_PATIENCE)
    return looking.result() if looking.done() else None
